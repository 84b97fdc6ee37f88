/* avx512_blocks.c - products of INT4_BLOCK weights with activations quantised to bytes: see avx512_panels.h.
 *
 * 256 bytes of weights are a set of 16 blocks: their products with one row of activations come together in
 * the 16 lanes of a vector, where the zero point comes off, and are multiplied with the 16 scales. So a row's
 * product is 16 sums of every 16th block, added in pairs at the end. Panels keep to that order: all blocks of
 * a lane, then all of the lane that is added to it.
 */
#include "avx512_panels.h"

#ifdef LTLM_HAS_AVX512

enum {
    AHEAD = 2048,    /* bytes from weights in use to weights asked for */
    SET_BYTES = 256, /* of weights, in a set of 16 blocks */
    SET_COLUMNS = 512,
    VECTORS = 8,   /* of unpacked weights in a set */
    TILE_ROWS = 4, /* rows of activations multiplied with a weight row together */
    PANEL_ROWS = 6 /* rows of packed activations multiplied with a panel together */
};

/* A set, unpacked. */
typedef struct {
    __m512i weights[VECTORS]; /* 16 times the weights */
    __m512i sums;             /* 16 times the sum of each block */
    __m512 scales;
} block_set;

LTLM_TARGET_BEGIN(LTLM_AVX512)

/* The sums of 4 lanes, 4 vectors at once: lane 4 * i + v is the sum of lanes 4 * i .. 4 * i + 3 of v. */
LTLM_INLINE __m512i sum_quads(__m512i a, __m512i b, __m512i c, __m512i d)
{
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

/* From `bytes` <= SET_BYTES of weights and their scales. */
LTLM_INLINE void unpack_set(const uint8_t *weights, const uint8_t *scales, size_t bytes, block_set *out)
{
    __m512i upper = _mm512_set1_epi8((char)0xf0), ones = _mm512_set1_epi8(1), sums[4];
    LTLM_UNROLL(4)
    for (size_t i = 0; i < 4; i++) {
        __mmask64 lanes = bytes > 64 * i ? ltlm__lanes64(bytes - 64 * i) : 0;
        __m512i v = _mm512_maskz_loadu_epi8(lanes, weights + 64 * i);
        __m512i low = _mm512_and_si512(_mm512_slli_epi16(v, 4), upper), high = _mm512_and_si512(v, upper);
        out->weights[2 * i] = low;
        out->weights[2 * i + 1] = high;
        sums[i] = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(_mm512_setzero_si512(), ones, low), ones, high);
    }
    out->sums = sum_quads(sums[0], sums[1], sums[2], sums[3]);
    __m256i halves = _mm256_maskz_loadu_epi16(ltlm__lanes16((int32_t)(bytes / 16)), scales);
    /* As sum_quads. */
    __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    out->scales = _mm512_permutexvar_ps(order, _mm512_cvtph_ps(halves));
}

/* A weight row, as it lies in the file. */
typedef struct {
    const uint8_t *weights, *scales;
    size_t bytes; /* of weights */
} block_row;

static block_row row_at(const ltlm_weights *w, int32_t n)
{
    size_t bytes = ltlm__row_bytes(w->format, w->columns);
    const uint8_t *scales = (const uint8_t *)w->scales + (size_t)n * (bytes / 16) * sizeof(uint16_t);
    return (block_row){ltlm__weight_row(w, n), scales, bytes};
}

/* ---- up to LTLM_STREAM rows of activations ---- */

/* A set with `rows` of activations that begin at x. */
LTLM_INLINE void add_set(const block_set *set, const uint8_t *x, size_t step, const __m512i *offsets,
                         int rows, __m512 *sums)
{
    LTLM_UNROLL(4)
    for (int m = 0; m < rows; m++) {
        const uint8_t *q = x + (size_t)m * step;
        __m512i d[4];
        LTLM_UNROLL(4)
        for (int i = 0; i < 4; i++) {
            __m512i even = _mm512_load_si512(q + 128 * i), odd = _mm512_load_si512(q + 128 * i + 64);
            d[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), even, set->weights[2 * i]);
            d[i] = _mm512_dpbusd_epi32(d[i], odd, set->weights[2 * i + 1]);
        }
        __m512i block = sum_quads(d[0], d[1], d[2], d[3]);
        block = _mm512_sub_epi32(block, _mm512_mullo_epi32(offsets[m], set->sums));
        sums[m] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(block), set->scales, sums[m]);
    }
}

/* A weight row with `rows` of activations that begin at x. */
LTLM_INLINE void dot(block_row w, const uint8_t *x, size_t step, const ltlm_quantised *quantised, int rows,
                     __m512 (*out)[LTLM_GROUP])
{
    __m512 sums[TILE_ROWS];
    __m512i offsets[TILE_ROWS];
    LTLM_UNROLL(4)
    for (int m = 0; m < rows; m++) {
        sums[m] = _mm512_setzero_ps();
        offsets[m] = _mm512_set1_epi32(quantised[m].zero_point + 128);
    }
    block_set set;
    for (; w.bytes >= SET_BYTES; w.bytes -= SET_BYTES, x += SET_COLUMNS) {
        LTLM_UNROLL(4)
        for (size_t i = 0; i < SET_BYTES; i += 64) {
            _mm_prefetch((const char *)w.weights + AHEAD + i, _MM_HINT_T0);
        }
        unpack_set(w.weights, w.scales, SET_BYTES, &set);
        add_set(&set, x, step, offsets, rows, sums);
        w.weights += SET_BYTES;
        w.scales += LTLM_SET * sizeof(uint16_t);
    }
    if (w.bytes) {
        unpack_set(w.weights, w.scales, w.bytes, &set);
        add_set(&set, x, step, offsets, rows, sums);
    }
    LTLM_UNROLL(4)
    for (int m = 0; m < rows; m++) {
        out[m][0] = sums[m];
    }
}

/* A weight row with `rows` <= TILE_ROWS of activations from m on. */
static void dot_rows(block_row w, const ltlm_activations *a, int32_t m, int32_t rows,
                     __m512 (*out)[LTLM_GROUP])
{
    size_t step = ltlm__unpacked_bytes(LTLM_INT4_BLOCK, a->columns);
    const uint8_t *x = a->bytes + (size_t)m * step;
    const ltlm_quantised *quantised = a->quantised + m;
    switch (rows) {
    case 1: dot(w, x, step, quantised, 1, out); break;
    case 2: dot(w, x, step, quantised, 2, out); break;
    case 3: dot(w, x, step, quantised, 3, out); break;
    default: dot(w, x, step, quantised, 4, out); break;
    }
}

/* A row of products: the weights were 16 times too great. */
LTLM_INLINE void finish(__m512 sums, float inverse_scale, const float *bias, __mmask16 lanes, float *out)
{
    sums = _mm512_mul_ps(sums, _mm512_set1_ps(0.0625f));
    ltlm__finish(sums, inverse_scale, _mm512_set1_ps(1.0f), bias, lanes, out);
}

/* Up to LTLM_GROUP weight rows from n on, with rows m .. m + rows - 1 of activations. */
static void stream(const ltlm_weights *w, const ltlm_activations *a, int32_t n, int32_t count, int32_t m,
                   int32_t rows, const float *bias, float *out, size_t stride)
{
    __m512 sums[TILE_ROWS][LTLM_GROUP];
    for (int32_t i = 0; i < count; i++) {
        dot_rows(row_at(w, n + i), a, m, rows, (__m512(*)[LTLM_GROUP]) & sums[0][i]);
    }
    for (int32_t row = 0; row < rows; row++) {
        for (int32_t i = count; i < LTLM_GROUP; i++) {
            sums[row][i] = _mm512_setzero_ps();
        }
        finish(ltlm__sum_each_float(sums[row]), a->quantised[m + row].inverse_scale, bias,
               ltlm__lanes16(count), out + (size_t)(m + row) * stride);
    }
}

/* ---- many rows ---- */

/* A packed panel: blocks in the order of ltlm__block_place. */
typedef struct {
    uint8_t *weights; /* [blocks][8][PANEL] fours, 16 times the weights */
    __m512 *scales;   /* [blocks][2] */
    __m512i *sums;    /* [blocks][2]: 16 times the sum of each block */
    size_t sets;
} block_panel;

/* The scales of 16 weight rows, `count` of which exist, into half `half` of each block's. */
static void pack_scales(const ltlm_weights *w, int32_t n, int32_t count, int half, block_panel *panel)
{
    size_t blocks = (size_t)w->columns / LTLM_BLOCK;
    const uint8_t *rows = w->scales;
    rows += count > 0 ? (size_t)n * blocks * sizeof(uint16_t) : 0;
    for (size_t set = 0; set < panel->sets; set++) {
        __mmask16 lanes = ltlm__lanes16((int32_t)(blocks - LTLM_SET * set));
        __m512i v[16];
        for (int32_t i = 0; i < 16; i++) {
            const uint8_t *row = rows + ((size_t)i * blocks + LTLM_SET * set) * sizeof(uint16_t);
            v[i] = _mm512_castps_si512(_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(i < count ? lanes : 0, row)));
        }
        ltlm__transpose(v);
        for (size_t i = 0; i < 16; i++) {
            size_t lane = i % 4 * 4 + i / 4; /* as sum_quads */
            size_t place = ltlm__block_place(panel->sets, set, lane);
            panel->scales[2 * place + (size_t)half] = _mm512_castsi512_ps(v[i]);
        }
    }
}

static void sum_packed(block_panel *panel)
{
    const uint8_t *w = panel->weights;
    for (size_t i = 0; i < 2 * LTLM_SET * panel->sets; i += 2, w += 8 * 4 * LTLM_PANEL) {
        __m512i left = _mm512_setzero_si512(), right = left, ones = _mm512_set1_epi8(1);
        for (size_t k = 0; k < 8; k++) {
            left = _mm512_dpbusd_epi32(left, ones, _mm512_load_si512(w + 128 * k));
            right = _mm512_dpbusd_epi32(right, ones, _mm512_load_si512(w + 128 * k + 64));
        }
        panel->sums[i] = left;
        panel->sums[i + 1] = right;
    }
}

/* The sums of one lane: every LTLM_SET-th block, from block `place` of the panel on. */
LTLM_INLINE void sum_lane(const block_panel *panel, size_t place, const uint8_t *x, const __m512i *offsets,
                          __m512 (*out)[2])
{
    const uint8_t *w = panel->weights + place * 8 * 4 * LTLM_PANEL;
    x += place * 8 * 4 * LTLM_PACK_ROWS;
    LTLM_UNROLL(6)
    for (int m = 0; m < PANEL_ROWS; m++) {
        out[m][0] = out[m][1] = _mm512_setzero_ps();
    }
    for (size_t set = 0; set < panel->sets; set++, place++) {
        __m512i sums[PANEL_ROWS][2];
        LTLM_UNROLL(6)
        for (int m = 0; m < PANEL_ROWS; m++) {
            sums[m][0] = _mm512_mullo_epi32(offsets[m], panel->sums[2 * place]);
            sums[m][1] = _mm512_mullo_epi32(offsets[m], panel->sums[2 * place + 1]);
        }
        LTLM_UNROLL(8)
        for (int k = 0; k < 8; k++, w += 4 * LTLM_PANEL, x += 4 * LTLM_PACK_ROWS) {
            __m512i left = _mm512_load_si512(w), right = _mm512_load_si512(w + 64);
            LTLM_UNROLL(6)
            for (int m = 0; m < PANEL_ROWS; m++) {
                int32_t four;
                memcpy(&four, x + 4 * m, sizeof four);
                __m512i q = _mm512_set1_epi32(four);
                sums[m][0] = _mm512_dpbusd_epi32(sums[m][0], q, left);
                sums[m][1] = _mm512_dpbusd_epi32(sums[m][1], q, right);
            }
        }
        __m512 left = panel->scales[2 * place], right = panel->scales[2 * place + 1];
        LTLM_UNROLL(6)
        for (int m = 0; m < PANEL_ROWS; m++) {
            out[m][0] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[m][0]), left, out[m][0]);
            out[m][1] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[m][1]), right, out[m][1]);
        }
    }
}

/* A panel with PANEL_ROWS rows of packed activations from x on. Lanes are added in pairs, pairs in pairs, and
 * so on. */
static void tile(const block_panel *panel, const uint8_t *x, const ltlm_quantised *quantised, int32_t rows,
                 __m512 (*out)[2])
{
    __m512 waiting[4][PANEL_ROWS][2]; /* sums of 1, 2, 4 and 8 lanes that wait for as many more */
    __m512i offsets[PANEL_ROWS];
    for (int32_t m = 0; m < PANEL_ROWS; m++) {
        offsets[m] = _mm512_set1_epi32(m < rows ? -(quantised[m].zero_point + 128) : 0);
    }
    for (size_t lane = 0; lane < LTLM_SET; lane++) {
        sum_lane(panel, lane * panel->sets, x, offsets, out);
        int level = 0;
        for (; lane >> level & 1; level++) {
            for (int32_t m = 0; m < PANEL_ROWS; m++) {
                out[m][0] = _mm512_add_ps(waiting[level][m][0], out[m][0]);
                out[m][1] = _mm512_add_ps(waiting[level][m][1], out[m][1]);
            }
        }
        if (level < 4) {
            memcpy(waiting[level], out, sizeof waiting[level]);
        }
    }
}

static block_panel panel_in(void *scratch, int32_t columns)
{
    block_panel panel = {.weights = scratch, .sets = ltlm__block_sets(columns)};
    panel.scales = (__m512 *)(panel.weights + LTLM_PANEL * ltlm__unpacked_bytes(LTLM_INT4_BLOCK, columns));
    panel.sums = (__m512i *)(panel.scales + 2 * LTLM_SET * panel.sets);
    return panel;
}

/* `count` <= LTLM_PANEL weight rows from n on. */
static void multiply_panel(const ltlm_weights *w, const ltlm_activations *a, int32_t n, int32_t count,
                           bool more, const float *bias, float *out, size_t stride, block_panel *panel)
{
    ltlm__avx512_pack_weights(w, n, count, panel->weights);
    pack_scales(w, n, count, 0, panel);
    pack_scales(w, n + 16, count - 16, 1, panel);
    sum_packed(panel);
    size_t step = ltlm__unpacked_bytes(w->format, w->columns), bytes = ltlm__row_bytes(w->format, w->columns);
    __mmask16 left = ltlm__lanes16(count), right = count > 16 ? ltlm__lanes16(count - 16) : 0;
    int32_t tiles = (a->rows + PANEL_ROWS - 1) / PANEL_ROWS;
    for (int32_t t = 0; t < tiles; t++) {
        int32_t m = t * PANEL_ROWS, group = m / LTLM_PACK_ROWS * LTLM_PACK_ROWS;
        int32_t rows = a->rows - m < PANEL_ROWS ? a->rows - m : PANEL_ROWS;
        __m512 sums[PANEL_ROWS][2];
        tile(panel, a->bytes + (size_t)group * step + 4 * (size_t)(m - group), a->quantised + m, rows, sums);
        if (more) {
            ltlm__fetch_part(ltlm__weight_row(w, n + LTLM_PANEL), LTLM_PANEL * bytes, t, tiles);
        }
        for (int32_t i = 0; i < rows; i++) {
            float inverse_scale = a->quantised[m + i].inverse_scale, *to = out + (size_t)(m + i) * stride;
            finish(sums[i][0], inverse_scale, bias, left, to);
            if (right) {
                finish(sums[i][1], inverse_scale, bias ? bias + 16 : NULL, right, to + 16);
            }
        }
    }
}

size_t ltlm__avx512_block_scratch(int32_t columns)
{
    size_t weights = LTLM_PANEL * ltlm__unpacked_bytes(LTLM_INT4_BLOCK, columns);
    return weights + 4 * LTLM_SET * ltlm__block_sets(columns) * sizeof(__m512);
}

void ltlm__avx512_block_multiply(const ltlm_weights *w, const ltlm_activations *a, int32_t from, int32_t to,
                                 const float *bias, float *out, size_t stride, void *scratch)
{
    if (a->rows > LTLM_STREAM) {
        block_panel panel = panel_in(scratch, w->columns);
        for (int32_t n = from; n < to; n += LTLM_PANEL) {
            int32_t count = to - n < LTLM_PANEL ? to - n : LTLM_PANEL;
            multiply_panel(w, a, n, count, to - n >= 2 * LTLM_PANEL, bias ? bias + n : NULL, out + n, stride,
                           &panel);
        }
        return;
    }
    for (int32_t n = from; n < to; n += LTLM_GROUP) {
        int32_t count = to - n < LTLM_GROUP ? to - n : LTLM_GROUP;
        for (int32_t m = 0; m < a->rows; m += TILE_ROWS) {
            int32_t rows = a->rows - m < TILE_ROWS ? a->rows - m : TILE_ROWS;
            stream(w, a, n, count, m, rows, bias ? bias + n : NULL, out + n, stride);
        }
    }
}

LTLM_TARGET_END

#endif
