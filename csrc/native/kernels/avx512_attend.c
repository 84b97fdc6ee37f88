/* avx512_attend.c - attention: the walk over pages, and its arithmetic in floats. */
#include "avx512_attend.h"

#ifdef LTLM_HAS_AVX512

#include <math.h>
#include <string.h>

LTLM_TARGET_BEGIN(LTLM_AVX512)

/* ---- caches ---- */

/* Too great for a half becomes the greatest half, so that a cache holds no infinity; NaN stays. */
LTLM_INLINE __m256i to_halves(__m512 v)
{
    __m512 limit = _mm512_set1_ps(65504.0f);
    v = _mm512_max_ps(_mm512_sub_ps(_mm512_setzero_ps(), limit), _mm512_min_ps(limit, v));
    return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

void ltlm__avx512_store_key(const float *key, int32_t head_dim, bool wide, uint8_t *page, int32_t slot)
{
    size_t first = (size_t)(slot / LTLM_KEY_TILE) * (size_t)head_dim * LTLM_KEY_TILE;
    first += (size_t)(slot % LTLM_KEY_TILE);
    for (int32_t i = 0; i < head_dim; i += 16) {
        int32_t count = head_dim - i < 16 ? head_dim - i : 16;
        __m512 v = _mm512_maskz_loadu_ps(ltlm__lanes16(count), key + i);
        uint16_t halves[16];
        _mm256_storeu_si256((__m256i *)halves, to_halves(v));
        for (int32_t j = 0; j < count; j++) {
            size_t index = first + (size_t)(i + j) * LTLM_KEY_TILE;
            if (wide) {
                memcpy(page + index * sizeof(float), key + i + j, sizeof(float));
            } else {
                memcpy(page + index * sizeof(uint16_t), halves + j, sizeof(uint16_t));
            }
        }
    }
}

void ltlm__avx512_store_value(const float *value, int32_t head_dim, bool wide, uint8_t *page, int32_t slot)
{
    size_t first = (size_t)slot * (size_t)head_dim;
    for (int32_t i = 0; i < head_dim; i += 16) {
        __mmask16 lanes = ltlm__lanes16(head_dim - i);
        __m512 v = _mm512_maskz_loadu_ps(lanes, value + i);
        if (wide) {
            _mm512_mask_storeu_ps(page + (first + (size_t)i) * sizeof(float), lanes, v);
        } else {
            _mm256_mask_storeu_epi16(page + (first + (size_t)i) * sizeof(uint16_t), lanes, to_halves(v));
        }
    }
}

/* ---- the walk ---- */

static int32_t width_of(int32_t head_dim)
{
    return (head_dim + 15) / 16 * 16;
}

size_t ltlm__avx512_attend_scratch(int32_t positions, int32_t head_dim)
{
    (void)positions;
    size_t width = (size_t)width_of(head_dim);
    size_t floats = width * (2 * LTLM_QUERY_BLOCK + LTLM_SPAN + 1) + LTLM_QUERY_BLOCK * (LTLM_SPAN + 3);
    return floats * sizeof(float);
}

static ltlm__attend_state begin(const ltlm_attention *job)
{
    ltlm__attend_state s = {.width = width_of(job->head_dim)};
    size_t width = (size_t)s.width;
    s.query = job->scratch;
    s.tile = s.query + LTLM_QUERY_BLOCK * width;
    s.sums = s.tile + LTLM_SPAN * width;
    float *zeros = s.sums + LTLM_QUERY_BLOCK * width;
    s.zeros = (const uint8_t *)zeros;
    s.scores = zeros + width;
    s.highest = s.scores + LTLM_QUERY_BLOCK * LTLM_SPAN;
    s.totals = s.highest + LTLM_QUERY_BLOCK;
    s.factors = s.totals + LTLM_QUERY_BLOCK;
    memset(s.sums, 0, (size_t)job->rows * width * sizeof(float));
    memset(zeros, 0, width * sizeof(float));
    for (int32_t row = 0; row < LTLM_QUERY_BLOCK; row++) {
        s.highest[row] = -INFINITY;
        s.totals[row] = 0.0f;
    }
    return s;
}

/* `position`; if nobody looks at it or the `count` - 1 after it, the nearest one that somebody looks at. */
static int32_t looked_at(int32_t position, int32_t count, int32_t first, int32_t last)
{
    return position > last ? last : position + count <= first ? first : position;
}

/* Where keys and values of the span lie, of which rows look at first .. last. */
static void find(const ltlm_attention *job, ltlm__attend_state *s, int32_t first, int32_t last)
{
    size_t head_dim = (size_t)job->head_dim, size = job->wide ? sizeof(float) : sizeof(uint16_t);
    for (int32_t t = 0; t < LTLM_SPAN_TILES; t++) {
        int32_t position = looked_at(s->begin + t * LTLM_KEY_TILE, LTLM_KEY_TILE, first, last);
        size_t tile = (size_t)(position % LTLM_PAGE / LTLM_KEY_TILE);
        s->keys[t] = job->pages[position / LTLM_PAGE] + job->keys + tile * head_dim * LTLM_KEY_TILE * size;
    }
    for (int32_t i = 0; i < LTLM_SPAN; i++) {
        int32_t position = s->begin + i;
        s->values[i] = s->zeros;
        if (position >= first && position <= last) {
            size_t slot = (size_t)(position % LTLM_PAGE);
            s->values[i] = job->pages[position / LTLM_PAGE] + job->values + slot * head_dim * size;
        }
    }
    for (int32_t i = 0; i < LTLM_SPAN_PAGES; i++) {
        int32_t page = s->begin + i * LTLM_PAGE;
        int32_t position = looked_at(page, LTLM_PAGE, first, last);
        int32_t next = looked_at(page + LTLM_SPAN, LTLM_PAGE, first, last);
        s->after_keys[i] = job->pages[position / LTLM_PAGE] + job->values;
        s->after_values[i] = job->pages[next / LTLM_PAGE] + job->keys;
    }
}

/* Scores of a row made final, -infinity where the row does not look; the greatest of them and of those
 * before. */
static float mask_scores(const ltlm_attention *job, const ltlm__attend_state *s, int32_t row)
{
    float *scores = s->scores + (size_t)row * LTLM_SPAN;
    __m512 scale = _mm512_set1_ps(job->scale), cap = _mm512_set1_ps(job->softcap);
    __m512 hidden = _mm512_set1_ps(-INFINITY), highest = _mm512_set1_ps(s->highest[row]);
    __m512i first = _mm512_set1_epi32(job->first[row]), last = _mm512_set1_epi32(job->last[row]);
    __m512i position = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    position = _mm512_add_epi32(position, _mm512_set1_epi32(s->begin));
    for (int32_t i = 0; i < LTLM_SPAN; i += 16) {
        __m512 v = _mm512_mul_ps(_mm512_load_ps(scores + i), scale);
        if (job->softcap > 0.0f) {
            v = _mm512_mul_ps(cap, ltlm__tanh16(_mm512_div_ps(v, cap)));
        }
        __mmask16 seen = _mm512_cmple_epi32_mask(first, position);
        seen = _mm512_mask_cmple_epi32_mask(seen, position, last);
        v = _mm512_mask_mov_ps(hidden, seen, v);
        highest = _mm512_max_ps(highest, v);
        _mm512_store_ps(scores + i, v);
        position = _mm512_add_epi32(position, _mm512_set1_epi32(16));
    }
    return _mm512_reduce_max_ps(highest);
}

/* Scores become weights exp(score - highest); returns their sum. */
static float weigh(ltlm__attend_state *s, int32_t row)
{
    float *scores = s->scores + (size_t)row * LTLM_SPAN;
    __m512 shift = _mm512_set1_ps(s->highest[row] == -INFINITY ? 0.0f : s->highest[row]);
    __m512 sum = _mm512_setzero_ps();
    for (int32_t i = 0; i < LTLM_SPAN; i += 16) {
        __m512 v = ltlm__exp16(_mm512_sub_ps(_mm512_load_ps(scores + i), shift));
        _mm512_store_ps(scores + i, v);
        sum = _mm512_add_ps(sum, v);
    }
    return _mm512_reduce_add_ps(sum);
}

static void softmax(const ltlm_attention *job, ltlm__attend_state *s)
{
    _Alignas(LTLM_ALIGN) float fall[LTLM_QUERY_BLOCK] = {0};
    for (int32_t row = 0; row < job->rows; row++) {
        float highest = mask_scores(job, s, row);
        if (highest != s->highest[row]) { /* not infinity - infinity */
            fall[row] = s->highest[row] - highest;
        }
        s->highest[row] = highest;
    }
    for (int32_t row = 0; row < LTLM_QUERY_BLOCK; row += 16) {
        _mm512_store_ps(s->factors + row, ltlm__exp16(_mm512_load_ps(fall + row)));
    }
    for (int32_t row = 0; row < job->rows; row++) {
        s->totals[row] = s->totals[row] * s->factors[row] + weigh(s, row);
    }
}

static void finish(const ltlm_attention *job, const ltlm__attend_state *s)
{
    for (int32_t row = 0; row < job->rows; row++) {
        __m512 factor = _mm512_set1_ps(1.0f / s->totals[row]);
        const float *sums = s->sums + (size_t)row * (size_t)s->width;
        for (int32_t i = 0; i < job->head_dim; i += 16) {
            __m512 v = _mm512_mul_ps(_mm512_load_ps(sums + i), factor);
            _mm512_mask_storeu_ps(job->out[row] + i, ltlm__lanes16(job->head_dim - i), v);
        }
    }
}

void ltlm__avx512_attend_with(const ltlm_attention *job, const ltlm__attend_arithmetic *arithmetic)
{
    ltlm__attend_state s = begin(job);
    int32_t first = job->first[0], last = job->last[0];
    for (int32_t row = 1; row < job->rows; row++) {
        first = job->first[row] < first ? job->first[row] : first;
        last = job->last[row] > last ? job->last[row] : last;
    }
    arithmetic->prepare(job, &s);
    for (s.begin = first / LTLM_SPAN * LTLM_SPAN; s.begin <= last; s.begin += LTLM_SPAN) {
        find(job, &s, first, last);
        arithmetic->load_keys(job, &s);
        arithmetic->score(job, &s);
        softmax(job, &s);
        arithmetic->load_values(job, &s);
        arithmetic->add_values(job, &s);
    }
    finish(job, &s);
}

/* ---- in floats: keys [head_dim][SPAN], values [SPAN][width] ---- */

static void prepare(const ltlm_attention *job, ltlm__attend_state *s)
{
    for (int32_t row = 0; row < job->rows; row++) {
        memcpy(s->query + (size_t)row * (size_t)s->width, job->query[row],
               (size_t)job->head_dim * sizeof(float));
    }
}

static void load_keys(const ltlm_attention *job, ltlm__attend_state *s)
{
    if (!ltlm__loads(job)) {
        return;
    }
    float *to = s->tile;
    for (int32_t d = 0; d < job->head_dim; d++, to += LTLM_SPAN) {
        for (int32_t t = 0; t < LTLM_SPAN_TILES; t++) {
            __m512 v = ltlm__load_elements(job->wide, s->keys[t], (size_t)d * LTLM_KEY_TILE);
            _mm512_store_ps(to + t * LTLM_KEY_TILE, v);
        }
    }
}

/* Where a tile of registers reads keys and values from. */
typedef enum { TILE, HALVES, FLOATS } source;

LTLM_INLINE source source_of(const ltlm_attention *job)
{
    return ltlm__loads(job) ? TILE : job->wide ? FLOATS : HALVES;
}

LTLM_INLINE void score_tile(const ltlm_attention *job, ltlm__attend_state *s, int32_t row, int rows,
                            source from)
{
    __m512 sums[LTLM_ROW_TILE][LTLM_SPAN_TILES];
    const float *query = s->query + (size_t)row * (size_t)s->width, *keys = s->tile;
    LTLM_UNROLL(6)
    for (int i = 0; i < rows; i++) {
        LTLM_UNROLL(4)
        for (int t = 0; t < LTLM_SPAN_TILES; t++) {
            sums[i][t] = _mm512_setzero_ps();
        }
    }
    for (int32_t d = 0; d < job->head_dim; d++, keys += LTLM_SPAN) {
        __m512 k[LTLM_SPAN_TILES];
        LTLM_UNROLL(4)
        for (int t = 0; t < LTLM_SPAN_TILES; t++) {
            k[t] = from == TILE ? _mm512_load_ps(keys + 16 * t)
                                : ltlm__load_elements(from == FLOATS, s->keys[t], (size_t)d * LTLM_KEY_TILE);
        }
        if (from == HALVES) {
            ltlm__ask_for(s->after_keys, (size_t)d * 64, (size_t)d * 64 + 64);
        }
        LTLM_UNROLL(6)
        for (int i = 0; i < rows; i++) {
            __m512 q = _mm512_set1_ps(query[(size_t)i * (size_t)s->width + (size_t)d]);
            LTLM_UNROLL(4)
            for (int t = 0; t < LTLM_SPAN_TILES; t++) {
                sums[i][t] = _mm512_fmadd_ps(q, k[t], sums[i][t]);
            }
        }
    }
    LTLM_UNROLL(6)
    for (int i = 0; i < rows; i++) {
        LTLM_UNROLL(4)
        for (int t = 0; t < LTLM_SPAN_TILES; t++) {
            _mm512_store_ps(s->scores + (size_t)(row + i) * LTLM_SPAN + 16 * t, sums[i][t]);
        }
    }
}

LTLM_INLINE void score_rows(const ltlm_attention *job, ltlm__attend_state *s, int32_t row, int rows)
{
    switch (source_of(job)) {
    case TILE: score_tile(job, s, row, rows, TILE); break;
    case HALVES: score_tile(job, s, row, rows, HALVES); break;
    default: score_tile(job, s, row, rows, FLOATS); break;
    }
}

static void score(const ltlm_attention *job, ltlm__attend_state *s)
{
    LTLM_FOR_ROW_TILES(score_rows, job, s)
}

static void load_values(const ltlm_attention *job, ltlm__attend_state *s)
{
    float *to = s->tile;
    for (int32_t p = 0; ltlm__loads(job) && p < LTLM_SPAN; p++, to += s->width) {
        for (int32_t i = 0; i < job->head_dim; i += 16) {
            __mmask16 lanes = ltlm__lanes16(job->head_dim - i);
            _mm512_store_ps(to + i, ltlm__load_some_elements(job->wide, s->values[p], (size_t)i, lanes));
        }
    }
}

/* `vectors` of 16 columns from `column` on; of a single one only `lanes` may exist. */
LTLM_INLINE void add_columns(ltlm__attend_state *s, int32_t row, int rows, int32_t column, int vectors,
                             __mmask16 lanes, source from)
{
    __m512 sums[LTLM_ROW_TILE][4];
    const float *weights = s->scores + (size_t)row * LTLM_SPAN, *values = s->tile + column;
    float *to = s->sums + (size_t)row * (size_t)s->width + column;
    LTLM_UNROLL(6)
    for (int i = 0; i < rows; i++) {
        LTLM_UNROLL(4)
        for (int v = 0; v < vectors; v++) {
            sums[i][v] = _mm512_mul_ps(_mm512_load_ps(to + (size_t)i * (size_t)s->width + 16 * v),
                                       _mm512_set1_ps(s->factors[row + i]));
        }
    }
    for (int32_t p = 0; p < LTLM_SPAN; p++, values += s->width) {
        __m512 value[4];
        LTLM_UNROLL(4)
        for (int v = 0; v < vectors; v++) {
            size_t index = (size_t)column + 16 * (size_t)v;
            if (from == TILE) {
                value[v] = _mm512_load_ps(values + 16 * v);
            } else if (vectors > 1) {
                value[v] = ltlm__load_elements(from == FLOATS, s->values[p], index);
            } else {
                value[v] = ltlm__load_some_elements(from == FLOATS, s->values[p], index, lanes);
            }
        }
        if (from == HALVES && vectors > 1) {
            size_t at = (size_t)(column + p) * 64;
            ltlm__ask_for(s->after_values, at, at + 64);
        }
        LTLM_UNROLL(6)
        for (int i = 0; i < rows; i++) {
            __m512 weight = _mm512_set1_ps(weights[i * LTLM_SPAN + p]);
            LTLM_UNROLL(4)
            for (int v = 0; v < vectors; v++) {
                sums[i][v] = _mm512_fmadd_ps(weight, value[v], sums[i][v]);
            }
        }
    }
    LTLM_UNROLL(6)
    for (int i = 0; i < rows; i++) {
        LTLM_UNROLL(4)
        for (int v = 0; v < vectors; v++) {
            _mm512_store_ps(to + (size_t)i * (size_t)s->width + 16 * v, sums[i][v]);
        }
    }
}

LTLM_INLINE void add_from(const ltlm_attention *job, ltlm__attend_state *s, int32_t row, int rows,
                          source from)
{
    int32_t column = 0;
    for (; column + 64 <= job->head_dim; column += 64) {
        add_columns(s, row, rows, column, 4, 0xffff, from);
    }
    for (; column < job->head_dim; column += 16) {
        add_columns(s, row, rows, column, 1, ltlm__lanes16(job->head_dim - column), from);
    }
}

LTLM_INLINE void add_rows(const ltlm_attention *job, ltlm__attend_state *s, int32_t row, int rows)
{
    switch (source_of(job)) {
    case TILE: add_from(job, s, row, rows, TILE); break;
    case HALVES: add_from(job, s, row, rows, HALVES); break;
    default: add_from(job, s, row, rows, FLOATS); break;
    }
}

static void add_values(const ltlm_attention *job, ltlm__attend_state *s)
{
    LTLM_FOR_ROW_TILES(add_rows, job, s)
}

void ltlm__avx512_attend(const ltlm_attention *job)
{
    static const ltlm__attend_arithmetic floats = {prepare, load_keys, score, load_values, add_values};
    ltlm__avx512_attend_with(job, &floats);
}

LTLM_TARGET_END

#endif
