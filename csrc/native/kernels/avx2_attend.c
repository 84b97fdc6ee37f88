/* avx2_attend.c - keys and values into pages, and attention over them.
 *
 * Scores of all positions first, then softmax, then the sum of values: page by page, so that a page stays in
 * the cache while all rows and parts of a head meet it. Lanes and pages are counted from position 0, so that
 * a row's sums do not depend on where the other rows begin and end: to a row, positions that only others look
 * at are zeros.
 */
#include "avx2.h"

#ifdef LTLM_HAS_AVX2

enum {
    ROWS = 6,  /* rows of queries that share a load */
    TILE = LTLM_KEY_TILE,
    TILES = LTLM_PAGE / LTLM_KEY_TILE
};

LTLM_TARGET_BEGIN("avx2,fma,f16c")

LTLM_INLINE __m256 load(bool wide, const uint8_t *p, size_t index)
{
    return wide ? _mm256_loadu_ps((const float *)(const void *)p + index) : ltlm__load_half(p + index * 2);
}

/* head_dim is a multiple of 8. */
static void store(const float *x, int32_t n, bool wide, uint8_t *to, size_t step)
{
    for (int32_t i = 0; i < n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        if (wide) {
            float floats[8];
            _mm256_storeu_ps(floats, v);
            for (int32_t j = 0; j < 8; j++) {
                memcpy(to + (size_t)(i + j) * step * sizeof *floats, floats + j, sizeof *floats);
            }
        } else {
            uint16_t halves[8];
            __m256 most = _mm256_set1_ps(65504.0f), least = _mm256_set1_ps(-65504.0f);
            v = _mm256_max_ps(least, _mm256_min_ps(most, v)); /* no infinity; NaN stays */
            _mm_storeu_si128((__m128i *)halves, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
            for (int32_t j = 0; j < 8; j++) {
                memcpy(to + (size_t)(i + j) * step * sizeof *halves, halves + j, sizeof *halves);
            }
        }
    }
}

void ltlm__avx2_store_key(const float *key, int32_t head_dim, bool wide, uint8_t *page, int32_t slot)
{
    size_t at = (size_t)(slot / TILE) * head_dim * TILE + slot % TILE;
    store(key, head_dim, wide, page + at * (wide ? 4 : 2), TILE);
}

void ltlm__avx2_store_value(const float *value, int32_t head_dim, bool wide, uint8_t *page, int32_t slot)
{
    store(value, head_dim, wide, page + (size_t)slot * head_dim * (wide ? 4 : 2), 1);
}

/* What all parts of one attend share. */
typedef struct {
    const ltlm_attention *job;
    int32_t from, to;   /* positions that any row looks at, `to` not included */
    int32_t base;       /* the tile of `from` begins there; scores are counted from it */
    size_t span;        /* floats from one row's scores to the next: whole tiles */
    float *scores;      /* [rows, span] */
    float *factor;      /* [rows]: what a row's sum of values is multiplied by */
    float *wide;        /* keys or values as float32, of one tile or page */
} parts;

static size_t spread(int32_t positions)
{
    return ((size_t)positions + LTLM_QUERY_BLOCK + 2 * TILE) / TILE * TILE;
}

size_t ltlm__avx2_attend_scratch(int32_t positions, int32_t head_dim)
{
    size_t floats = LTLM_QUERY_BLOCK * (spread(positions) + 1) + (size_t)LTLM_PAGE * head_dim;
    return floats * sizeof(float);
}

/* float16 at p -> float32; n is a multiple of 8. */
static void widen(const uint8_t *p, size_t n, float *out)
{
    for (size_t i = 0; i < n; i += 8) {
        _mm256_storeu_ps(out + i, ltlm__load_half(p + i * 2));
    }
}

/* ---- scores ---- */

/* A product of query and keys -> scores. */
LTLM_INLINE __m256 finish_score(const ltlm_attention *job, __m256 v)
{
    v = _mm256_mul_ps(v, _mm256_set1_ps(job->scale));
    if (job->softcap > 0) {
        __m256 cap = _mm256_set1_ps(job->softcap);
        v = _mm256_mul_ps(ltlm__tanh8(_mm256_div_ps(v, cap)), cap);
    }
    return v;
}

/* Query rows row..row + rows - 1 times one tile of keys; rows is a constant where this is inlined. What comes
 * `after` the tile is asked for meanwhile: in another page, where no prefetcher of the CPU expects it. */
LTLM_INLINE void score(const parts *t, int32_t row, int rows, bool wide, const uint8_t *keys,
                       const uint8_t *after, float *out)
{
    const ltlm_attention *job = t->job;
    __m256 a[ROWS][2];
    const float *query[ROWS];
    LTLM_UNROLL
    for (int i = 0; i < rows; i++) {
        a[i][0] = a[i][1] = _mm256_setzero_ps();
        query[i] = job->query[row + i];
    }
    for (int32_t d = 0; d < job->head_dim; d++) {
        __m256 low = load(wide, keys, (size_t)d * TILE), high = load(wide, keys, (size_t)d * TILE + 8);
        if (!wide) {
            _mm_prefetch((const char *)after + (size_t)d * TILE * 2, _MM_HINT_T1);
        }
#define STEP(i)                                                  \
    if (i < rows) {                                              \
        __m256 x = _mm256_broadcast_ss(query[i] + d);            \
        a[i][0] = _mm256_fmadd_ps(x, low, a[i][0]);              \
        a[i][1] = _mm256_fmadd_ps(x, high, a[i][1]);             \
    }
        STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5)
#undef STEP
    }
    LTLM_UNROLL
    for (int i = 0; i < rows; i++) {
        LTLM_UNROLL
        for (int j = 0; j < 2; j++) {
            _mm256_storeu_ps(out + (size_t)i * t->span + j * 8, finish_score(job, a[i][j]));
        }
    }
}

/* Both tiles of a page at once, for one or two rows: with one tile their sums would wait for each other. */
LTLM_INLINE void score_page(const parts *t, int rows, const uint8_t *keys, const uint8_t *after, float *out)
{
    const ltlm_attention *job = t->job;
    size_t tile = (size_t)job->head_dim * TILE;
    __m256 a[2][4];
    LTLM_UNROLL
    for (int i = 0; i < rows; i++) {
        a[i][0] = a[i][1] = a[i][2] = a[i][3] = _mm256_setzero_ps();
    }
    for (int32_t d = 0; d < job->head_dim; d++) {
        size_t at = (size_t)d * TILE;
        __m256 k[4] = {load(false, keys, at), load(false, keys, at + 8), load(false, keys, tile + at),
                       load(false, keys, tile + at + 8)};
        _mm_prefetch((const char *)after + at * 4, _MM_HINT_T1);
        LTLM_UNROLL
        for (int i = 0; i < rows; i++) {
            __m256 x = _mm256_broadcast_ss(job->query[i] + d);
            LTLM_UNROLL
            for (int j = 0; j < 4; j++) {
                a[i][j] = _mm256_fmadd_ps(x, k[j], a[i][j]);
            }
        }
    }
    LTLM_UNROLL
    for (int i = 0; i < rows; i++) {
        LTLM_UNROLL
        for (int j = 0; j < 4; j++) {
            _mm256_storeu_ps(out + (size_t)i * t->span + j * 8, finish_score(job, a[i][j]));
        }
    }
}

/* As many rows as share a load: float16 keys are widened as they are read. */
LTLM_INLINE void score_few(const parts *t, int rows)
{
    const ltlm_attention *job = t->job;
    size_t tile = (size_t)job->head_dim * TILE * 2;
    for (int32_t p = t->base; p < t->to;) {
        size_t within = (size_t)(p / TILE % TILES) * tile;
        const uint8_t *keys = job->pages[p / LTLM_PAGE] + job->keys + within;
        /* After the keys come the values. */
        const uint8_t *after = p / LTLM_PAGE < (t->to - 1) / LTLM_PAGE
                                   ? job->pages[p / LTLM_PAGE + 1] + job->keys + within
                                   : job->pages[t->from / LTLM_PAGE] + job->values + within;
        float *out = t->scores + (p - t->base);
        if (rows <= 2 && p % LTLM_PAGE == 0 && p + TILE < t->to) {
            score_page(t, rows, keys, after, out);
            p += LTLM_PAGE;
        } else {
            score(t, 0, rows, false, keys, after, out);
            p += TILE;
        }
    }
}

static void score_wide(const parts *t, int32_t row, int32_t rows, const uint8_t *keys, float *out)
{
    switch (rows) {
    case 1: score(t, row, 1, true, keys, keys, out); return;
    case 2: score(t, row, 2, true, keys, keys, out); return;
    case 3: score(t, row, 3, true, keys, keys, out); return;
    case 4: score(t, row, 4, true, keys, keys, out); return;
    case 5: score(t, row, 5, true, keys, keys, out); return;
    default: score(t, row, 6, true, keys, keys, out); return;
    }
}

/* More rows: keys are widened once. */
static void score_many(const parts *t)
{
    const ltlm_attention *job = t->job;
    size_t tile = (size_t)job->head_dim * TILE;
    for (int32_t p = t->base; p < t->to; p += TILE) {
        const uint8_t *keys = job->pages[p / LTLM_PAGE] + job->keys;
        keys += (size_t)(p / TILE % TILES) * tile * (job->wide ? 4 : 2);
        float *out = t->scores + (p - t->base);
        if (!job->wide) {
            widen(keys, tile, t->wide);
            keys = (const uint8_t *)t->wide;
        }
        for (int32_t row = 0; row < job->rows; row += ROWS) {
            score_wide(t, row, job->rows - row < ROWS ? job->rows - row : ROWS, keys,
                       out + (size_t)row * t->span);
        }
    }
}

static void score_all(const parts *t)
{
    switch (t->job->wide ? ROWS + 1 : t->job->rows) {
    case 1: score_few(t, 1); return;
    case 2: score_few(t, 2); return;
    case 3: score_few(t, 3); return;
    case 4: score_few(t, 4); return;
    case 5: score_few(t, 5); return;
    case 6: score_few(t, 6); return;
    default: score_many(t); return;
    }
}

/* ---- softmax ---- */

/* Lanes of positions p..p + 7 that lie in first..last. */
LTLM_INLINE __m256 looked_at(int32_t p, int32_t first, int32_t last)
{
    return _mm256_castsi256_ps(_mm256_andnot_si256(ltlm__lanes(first - p), ltlm__lanes(last + 1 - p)));
}

/* Scores of row `row` -> exp(score - greatest), 0 where the row does not look. */
static void weigh(const parts *t, int32_t row)
{
    int32_t first = t->job->first[row], last = t->job->last[row];
    float *scores = t->scores + (size_t)row * t->span;
    __m256 top = _mm256_set1_ps(-INFINITY), sum = _mm256_setzero_ps();
    int32_t begin = first / 8 * 8, end = last + 1;
    for (int32_t p = begin; p < end; p += 8) {
        __m256 v = _mm256_loadu_ps(scores + (p - t->base));
        top = _mm256_max_ps(_mm256_blendv_ps(top, v, looked_at(p, first, last)), top);
    }
    top = _mm256_set1_ps(ltlm__max8(top));
    for (int32_t p = t->base; p < begin; p += 8) {
        _mm256_storeu_ps(scores + (p - t->base), _mm256_setzero_ps());
    }
    int32_t p = begin;
    for (; p < end; p += 8) {
        __m256 v = ltlm__exp8(_mm256_sub_ps(_mm256_loadu_ps(scores + (p - t->base)), top));
        v = _mm256_and_ps(v, looked_at(p, first, last));
        sum = _mm256_add_ps(sum, v);
        _mm256_storeu_ps(scores + (p - t->base), v);
    }
    for (; p < t->to; p += 8) {
        _mm256_storeu_ps(scores + (p - t->base), _mm256_setzero_ps());
    }
    float total = ltlm__sum8(sum);
    t->factor[row] = total != 0 ? 1.0f / total : 0.0f;
}

/* ---- values ---- */

/* Values of up to a page, and what comes after them. */
typedef struct {
    const uint8_t *first, *after;
    const float *scores; /* of row 0; those of the others at `span` from each other */
    int32_t count;       /* positions */
} stretch;

/* out += values, each times its score: `rows` rows and 8 * `vectors` of a head's floats, both constants where
 * this is inlined. */
LTLM_INLINE void mix(const parts *t, int32_t row, int rows, int vectors, bool wide, const stretch *values,
                     int32_t d)
{
    const ltlm_attention *job = t->job;
    const float *scores = values->scores + (size_t)row * t->span;
    __m256 a[ROWS][4];
    LTLM_UNROLL
    for (int i = 0; i < rows; i++) {
        LTLM_UNROLL
        for (int j = 0; j < vectors; j++) {
            a[i][j] = _mm256_loadu_ps(job->out[row + i] + d + j * 8);
        }
    }
    for (int32_t p = 0; p < values->count; p++) {
        size_t at = (size_t)p * job->head_dim + d;
        __m256 v0 = load(wide, values->first, at), v1 = v0, v2 = v0, v3 = v0;
        if (!wide) {
            _mm_prefetch((const char *)values->after + at * 2, _MM_HINT_T1);
        }
        if (vectors > 1) {
            v1 = load(wide, values->first, at + 8);
        }
        if (vectors > 2) {
            v2 = load(wide, values->first, at + 16);
            v3 = load(wide, values->first, at + 24);
        }
#define STEP(i)                                                         \
    if (i < rows) {                                                     \
        __m256 x = _mm256_broadcast_ss(scores + (size_t)i * t->span + p); \
        a[i][0] = _mm256_fmadd_ps(x, v0, a[i][0]);                      \
        if (vectors > 1) {                                              \
            a[i][1] = _mm256_fmadd_ps(x, v1, a[i][1]);                  \
        }                                                               \
        if (vectors > 2) {                                              \
            a[i][2] = _mm256_fmadd_ps(x, v2, a[i][2]);                  \
            a[i][3] = _mm256_fmadd_ps(x, v3, a[i][3]);                  \
        }                                                               \
    }
        STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5)
#undef STEP
    }
    LTLM_UNROLL
    for (int i = 0; i < rows; i++) {
        LTLM_UNROLL
        for (int j = 0; j < vectors; j++) {
            _mm256_storeu_ps(job->out[row + i] + d + j * 8, a[i][j]);
        }
    }
}

LTLM_INLINE void mix_rows(const parts *t, int32_t row, int rows, bool wide, const stretch *values)
{
    int32_t d = 0, n = t->job->head_dim;
    for (; rows <= 2 && d + 32 <= n; d += 32) {
        mix(t, row, rows, 4, wide, values, d);
    }
    for (; d + 16 <= n; d += 16) {
        mix(t, row, rows, 2, wide, values, d);
    }
    for (; d < n; d += 8) {
        mix(t, row, rows, 1, wide, values, d);
    }
}

/* As many rows as share a load: float16 values are widened as they are read. */
LTLM_INLINE void mix_few(const parts *t, int32_t row, int32_t rows, bool wide, const stretch *values)
{
    switch (rows) {
    case 1: mix_rows(t, row, 1, wide, values); return;
    case 2: mix_rows(t, row, 2, wide, values); return;
    case 3: mix_rows(t, row, 3, wide, values); return;
    case 4: mix_rows(t, row, 4, wide, values); return;
    case 5: mix_rows(t, row, 5, wide, values); return;
    default: mix_rows(t, row, 6, wide, values); return;
    }
}

static void mix_all(const parts *t)
{
    const ltlm_attention *job = t->job;
    size_t size = job->wide ? 4 : 2;
    for (int32_t p = t->from, end; p < t->to; p = end) {
        end = (p / LTLM_PAGE + 1) * LTLM_PAGE;
        end = end < t->to ? end : t->to;
        stretch values = {
            .first = job->pages[p / LTLM_PAGE] + job->values + (size_t)(p % LTLM_PAGE) * job->head_dim * size,
            .after = job->pages[(end < t->to ? end : p) / LTLM_PAGE] + job->values,
            .scores = t->scores + (p - t->base),
            .count = end - p,
        };
        if (!job->wide && job->rows <= ROWS) {
            mix_few(t, 0, job->rows, false, &values);
            continue;
        }
        if (!job->wide) {
            widen(values.first, (size_t)values.count * job->head_dim, t->wide);
            values.first = (const uint8_t *)t->wide;
        }
        for (int32_t row = 0; row < job->rows; row += ROWS) {
            mix_few(t, row, job->rows - row, true, &values);
        }
    }
}

void ltlm__avx2_attend(const ltlm_attention *job)
{
    parts t = {.job = job, .from = job->first[0], .to = job->last[0] + 1};
    for (int32_t i = 1; i < job->rows; i++) {
        t.from = job->first[i] < t.from ? job->first[i] : t.from;
        t.to = job->last[i] + 1 > t.to ? job->last[i] + 1 : t.to;
    }
    t.base = t.from / TILE * TILE;
    t.span = (size_t)((t.to - t.base + TILE - 1) / TILE) * TILE;
    t.wide = job->scratch;
    t.factor = t.wide + (size_t)LTLM_PAGE * job->head_dim;
    t.scores = t.factor + LTLM_QUERY_BLOCK;
    score_all(&t);
    for (int32_t i = 0; i < job->rows; i++) {
        weigh(&t, i);
        memset(job->out[i], 0, (size_t)job->head_dim * sizeof(float));
    }
    mix_all(&t);
    for (int32_t i = 0; i < job->rows; i++) {
        __m256 factor = _mm256_set1_ps(t.factor[i]);
        for (int32_t d = 0; d < job->head_dim; d += 8) {
            _mm256_storeu_ps(job->out[i] + d, _mm256_mul_ps(_mm256_loadu_ps(job->out[i] + d), factor));
        }
    }
}

LTLM_TARGET_END

#endif
