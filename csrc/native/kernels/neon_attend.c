/* neon_attend.c - keys and values into pages, and attention over them.
 *
 * Scores of all positions first, then softmax, then the sum of values, page by page. Lanes and pages are
 * counted from position 0, so that a row's sums do not depend on where the other rows begin and end: to a
 * row, positions that only others look at are zeros.
 */
#include "neon.h"

#ifdef LTLM_HAS_NEON

enum {
    ROWS = 4, /* rows of queries that share a load */
    TILE = LTLM_KEY_TILE,
    TILES = LTLM_PAGE / LTLM_KEY_TILE
};

/* Four float16. */
LTLM_INLINE float32x4_t load_half(const uint8_t *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}

/* head_dim is a multiple of 8. */
static void store(const float *x, int32_t n, bool wide, uint8_t *to, size_t step)
{
    for (int32_t i = 0; i < n; i += 4) {
        float32x4_t v = vld1q_f32(x + i), most = vdupq_n_f32(65504.0f);
        uint16_t halves[4];
        vst1_u16(halves, vreinterpret_u16_f16(vcvt_f16_f32(vmaxq_f32(vnegq_f32(most), vminq_f32(most, v)))));
        for (int32_t j = 0; j < 4; j++) {
            if (wide) {
                memcpy(to + (size_t)(i + j) * step * sizeof *x, x + i + j, sizeof *x);
            } else {
                memcpy(to + (size_t)(i + j) * step * sizeof *halves, halves + j, sizeof *halves);
            }
        }
    }
}

void ltlm__neon_store_key(const float *key, int32_t head_dim, bool wide, uint8_t *page, int32_t slot)
{
    size_t at = (size_t)(slot / TILE) * head_dim * TILE + slot % TILE;
    store(key, head_dim, wide, page + at * (wide ? 4 : 2), TILE);
}

void ltlm__neon_store_value(const float *value, int32_t head_dim, bool wide, uint8_t *page, int32_t slot)
{
    store(value, head_dim, wide, page + (size_t)slot * head_dim * (wide ? 4 : 2), 1);
}

/* What all parts of one attend share. */
typedef struct {
    const ltlm_attention *job;
    int32_t from, to; /* positions that any row looks at, `to` not included */
    int32_t base;     /* the tile of `from` begins there; scores are counted from it */
    size_t span;      /* floats from one row's scores to the next: whole tiles */
    float *scores;    /* [rows, span] */
    float *factor;    /* [rows]: what a row's sum of values is multiplied by */
    float *wide;      /* keys or values as float32, of one tile or page */
} parts;

size_t ltlm__neon_attend_scratch(int32_t positions, int32_t head_dim)
{
    size_t span = ((size_t)positions + LTLM_QUERY_BLOCK + 2 * TILE) / TILE * TILE;
    return (LTLM_QUERY_BLOCK * (span + 1) + (size_t)LTLM_PAGE * head_dim) * sizeof(float);
}

/* `n` elements at p as float32, n a multiple of 4: where they are, or in t->wide. */
static const float *widened(const parts *t, const uint8_t *p, size_t n)
{
    if (t->job->wide) {
        return (const float *)(const void *)p;
    }
    for (size_t i = 0; i < n; i += 4) {
        vst1q_f32(t->wide + i, load_half(p + i * 2));
    }
    return t->wide;
}

/* ---- scores ---- */

/* Query rows row..row + rows - 1 times one tile of keys; rows is a constant where this is inlined. */
LTLM_INLINE void score(const parts *t, int32_t row, int rows, const float *keys, float *out)
{
    const ltlm_attention *job = t->job;
    float32x4_t a[ROWS][4];
    const float *query[ROWS];
    LTLM_UNROLL
    for (int i = 0; i < rows; i++) {
        a[i][0] = a[i][1] = a[i][2] = a[i][3] = vdupq_n_f32(0);
        query[i] = job->query[row + i];
    }
    for (int32_t d = 0; d < job->head_dim; d++, keys += TILE) {
        float32x4_t k0 = vld1q_f32(keys), k1 = vld1q_f32(keys + 4);
        float32x4_t k2 = vld1q_f32(keys + 8), k3 = vld1q_f32(keys + 12);
        LTLM_UNROLL
        for (int i = 0; i < rows; i++) {
            float32x4_t x = vld1q_dup_f32(query[i] + d);
            a[i][0] = vfmaq_f32(a[i][0], x, k0);
            a[i][1] = vfmaq_f32(a[i][1], x, k1);
            a[i][2] = vfmaq_f32(a[i][2], x, k2);
            a[i][3] = vfmaq_f32(a[i][3], x, k3);
        }
    }
    LTLM_UNROLL
    for (int i = 0; i < rows; i++) {
        LTLM_UNROLL
        for (int j = 0; j < 4; j++) {
            float32x4_t v = vmulq_n_f32(a[i][j], job->scale);
            if (job->softcap > 0) {
                v = vmulq_n_f32(ltlm__tanh4(vdivq_f32(v, vdupq_n_f32(job->softcap))), job->softcap);
            }
            vst1q_f32(out + (size_t)i * t->span + j * 4, v);
        }
    }
}

static void score_all(const parts *t)
{
    const ltlm_attention *job = t->job;
    size_t tile = (size_t)job->head_dim * TILE;
    for (int32_t p = t->base; p < t->to; p += TILE) {
        const uint8_t *at = job->pages[p / LTLM_PAGE] + job->keys;
        at += (size_t)(p / TILE % TILES) * tile * (job->wide ? 4 : 2);
        const float *keys = widened(t, at, tile);
        for (int32_t row = 0; row < job->rows; row += ROWS) {
            float *out = t->scores + (size_t)row * t->span + (p - t->base);
            switch (job->rows - row) {
            case 1: score(t, row, 1, keys, out); break;
            case 2: score(t, row, 2, keys, out); break;
            case 3: score(t, row, 3, keys, out); break;
            default: score(t, row, 4, keys, out); break;
            }
        }
    }
}

/* ---- softmax ---- */

/* Lanes of positions p..p + 3 that lie in first..last. */
LTLM_INLINE uint32x4_t looked_at(int32_t p, int32_t first, int32_t last)
{
    static const int32_t count[4] = {0, 1, 2, 3};
    int32x4_t at = vaddq_s32(vdupq_n_s32(p), vld1q_s32(count));
    return vandq_u32(vcgeq_s32(at, vdupq_n_s32(first)), vcleq_s32(at, vdupq_n_s32(last)));
}

/* Scores of row `row` -> exp(score - greatest), 0 where the row does not look. */
static void weigh(const parts *t, int32_t row)
{
    int32_t first = t->job->first[row], last = t->job->last[row], begin = first / 4 * 4, p;
    float *scores = t->scores + (size_t)row * t->span;
    float32x4_t none = vdupq_n_f32(-INFINITY), top = none, sum = vdupq_n_f32(0);
    for (p = begin; p <= last; p += 4) {
        float32x4_t v = vld1q_f32(scores + (p - t->base));
        top = vmaxnmq_f32(top, vbslq_f32(looked_at(p, first, last), v, none));
    }
    top = vdupq_n_f32(vmaxnmvq_f32(top));
    for (p = t->base; p < begin; p += 4) {
        vst1q_f32(scores + (p - t->base), vdupq_n_f32(0));
    }
    for (; p <= last; p += 4) {
        float32x4_t v = ltlm__exp4(vsubq_f32(vld1q_f32(scores + (p - t->base)), top));
        v = vbslq_f32(looked_at(p, first, last), v, vdupq_n_f32(0));
        sum = vaddq_f32(sum, v);
        vst1q_f32(scores + (p - t->base), v);
    }
    for (; p < t->to; p += 4) {
        vst1q_f32(scores + (p - t->base), vdupq_n_f32(0));
    }
    float total = vaddvq_f32(sum);
    t->factor[row] = total != 0 ? 1.0f / total : 0.0f;
}

/* ---- values ---- */

/* out += the values of `count` positions, each times its score: `rows` rows and 4 * `vectors` of a head's
 * floats, both constants where this is inlined. */
LTLM_INLINE void mix(const parts *t, int32_t row, int rows, int vectors, const float *values, int32_t d,
                     const float *scores, int32_t count)
{
    const ltlm_attention *job = t->job;
    float32x4_t a[ROWS][4];
    LTLM_UNROLL
    for (int i = 0; i < rows; i++) {
        LTLM_UNROLL
        for (int j = 0; j < vectors; j++) {
            a[i][j] = vld1q_f32(job->out[row + i] + d + j * 4);
        }
    }
    for (int32_t p = 0; p < count; p++) {
        const float *value = values + (size_t)p * job->head_dim + d;
        LTLM_UNROLL
        for (int j = 0; j < vectors; j++) {
            float32x4_t v = vld1q_f32(value + j * 4);
            LTLM_UNROLL
            for (int i = 0; i < rows; i++) {
                a[i][j] = vfmaq_n_f32(a[i][j], v, scores[(size_t)i * t->span + p]);
            }
        }
    }
    LTLM_UNROLL
    for (int i = 0; i < rows; i++) {
        LTLM_UNROLL
        for (int j = 0; j < vectors; j++) {
            vst1q_f32(job->out[row + i] + d + j * 4, a[i][j]);
        }
    }
}

LTLM_INLINE void mix_rows(const parts *t, int32_t row, int rows, const float *values, const float *scores,
                          int32_t count)
{
    int32_t d = 0, n = t->job->head_dim;
    for (; d + 16 <= n; d += 16) {
        mix(t, row, rows, 4, values, d, scores, count);
    }
    for (; d < n; d += 8) {
        mix(t, row, rows, 2, values, d, scores, count);
    }
}

static void mix_all(const parts *t)
{
    const ltlm_attention *job = t->job;
    for (int32_t p = t->from; p < t->to;) {
        int32_t end = (p / LTLM_PAGE + 1) * LTLM_PAGE, count = (end < t->to ? end : t->to) - p;
        size_t offset = (size_t)(p % LTLM_PAGE) * job->head_dim;
        const uint8_t *at = job->pages[p / LTLM_PAGE] + job->values + offset * (job->wide ? 4 : 2);
        const float *values = widened(t, at, (size_t)count * job->head_dim);
        for (int32_t row = 0; row < job->rows; row += ROWS) {
            const float *scores = t->scores + (size_t)row * t->span + (p - t->base);
            switch (job->rows - row) {
            case 1: mix_rows(t, row, 1, values, scores, count); break;
            case 2: mix_rows(t, row, 2, values, scores, count); break;
            case 3: mix_rows(t, row, 3, values, scores, count); break;
            default: mix_rows(t, row, 4, values, scores, count); break;
            }
        }
        p += count;
    }
}

void ltlm__neon_attend(const ltlm_attention *job)
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
        for (int32_t d = 0; d < job->head_dim; d += 4) {
            vst1q_f32(job->out[i] + d, vmulq_n_f32(vld1q_f32(job->out[i] + d), t.factor[i]));
        }
    }
}

#endif
