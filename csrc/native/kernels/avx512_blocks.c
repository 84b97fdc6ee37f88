/* avx512_blocks.c - products of INT4_BLOCK weights with activations quantised to bytes.
 *
 * Unpacked as in avx512_integers.c. 256 bytes of weights are 16 blocks: their products with one row of
 * activations come together in the 16 lanes of a vector, where the zero point comes off, and are multiplied
 * with the 16 scales. So a row's product is 16 sums of every 16th block, whichever way it is computed, and
 * these are added in one order at the end.
 */
#include "avx512.h"

#ifdef LTLM_HAS_AVX512

#include "formats.h"

enum {
    SET_BYTES = 256, /* of weights, in a set of 16 blocks */
    SET_COLUMNS = 512,
    VECTORS = 8,  /* of unpacked weights in a set */
    TILE_ROWS = 4 /* rows of activations multiplied with a weight row together */
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
    __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15); /* as sum_quads */
    out->scales = _mm512_permutexvar_ps(order, _mm512_cvtph_ps(halves));
}

static void unpack_row(const ltlm_weights *w, int32_t n, block_set *out)
{
    size_t bytes = ltlm__row_bytes(w->format, w->columns), scale_bytes = bytes / 16 * sizeof(uint16_t);
    const uint8_t *row = ltlm__weight_row(w, n);
    const uint8_t *scales = (const uint8_t *)w->scales + (size_t)n * scale_bytes;
    for (size_t k = 0; k < bytes; k += SET_BYTES, scales += 16 * sizeof(uint16_t)) {
        size_t left = bytes - k;
        if (left >= SET_BYTES) {
            _mm_prefetch((const char *)row + k + 2048, _MM_HINT_T0);
            _mm_prefetch((const char *)row + k + 2112, _MM_HINT_T0);
            _mm_prefetch((const char *)row + k + 2176, _MM_HINT_T0);
            _mm_prefetch((const char *)row + k + 2240, _MM_HINT_T0);
            unpack_set(row + k, scales, SET_BYTES, out++);
        } else {
            unpack_set(row + k, scales, left, out++);
        }
    }
}

/* One weight row and `rows` of activations that begin at x. */
LTLM_INLINE void dot(const block_set *sets, int32_t count, const uint8_t *x, size_t step,
                     const ltlm_quantised *quantised, int rows, __m512 (*out)[LTLM_GROUP])
{
    __m512 sums[TILE_ROWS];
    __m512i offsets[TILE_ROWS];
    LTLM_UNROLL(4)
    for (int m = 0; m < rows; m++) {
        sums[m] = _mm512_setzero_ps();
        offsets[m] = _mm512_set1_epi32(quantised[m].zero_point + 128);
    }
    for (int32_t s = 0; s < count; s++, sets++, x += SET_COLUMNS) {
        LTLM_UNROLL(4)
        for (int m = 0; m < rows; m++) {
            const uint8_t *q = x + (size_t)m * step;
            __m512i d[4];
            LTLM_UNROLL(4)
            for (int i = 0; i < 4; i++) {
                d[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_load_si512(q + 128 * i),
                                           sets->weights[2 * i]);
                d[i] = _mm512_dpbusd_epi32(d[i], _mm512_load_si512(q + 128 * i + 64), sets->weights[2 * i + 1]);
            }
            __m512i block = sum_quads(d[0], d[1], d[2], d[3]);
            block = _mm512_sub_epi32(block, _mm512_mullo_epi32(offsets[m], sets->sums));
            sums[m] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(block), sets->scales, sums[m]);
        }
    }
    LTLM_UNROLL(4)
    for (int m = 0; m < rows; m++) {
        out[m][0] = sums[m];
    }
}

static int32_t set_count(int32_t columns)
{
    return (columns + SET_COLUMNS - 1) / SET_COLUMNS;
}

size_t ltlm__avx512_block_scratch(int32_t columns)
{
    return LTLM_GROUP * (size_t)set_count(columns) * sizeof(block_set);
}

/* A weight row with all rows of activations from m on, up to TILE_ROWS. */
static int32_t dot_tile(const block_set *sets, const ltlm_activations *a, int32_t m, __m512 (*out)[LTLM_GROUP])
{
    size_t step = ltlm__avx512_activation_stride(LTLM_INT4_BLOCK, a->columns);
    const uint8_t *x = a->bytes + (size_t)m * step;
    const ltlm_quantised *quantised = a->quantised + m;
    int32_t count = set_count(a->columns);
    switch (a->rows - m) {
    case 1: dot(sets, count, x, step, quantised, 1, out); return 1;
    case 2: dot(sets, count, x, step, quantised, 2, out); return 2;
    case 3: dot(sets, count, x, step, quantised, 3, out); return 3;
    default: dot(sets, count, x, step, quantised, 4, out); return 4;
    }
}

/* Up to LTLM_GROUP weight rows from n on with all activations. */
static void multiply_group(const ltlm_weights *w, const ltlm_activations *a, int32_t n, int32_t group,
                           const float *bias, float *out, size_t stride, block_set *scratch)
{
    int32_t sets = set_count(w->columns);
    bool once = a->rows <= TILE_ROWS; /* then a weight row is unpacked, used and forgotten */
    for (int32_t i = 0; !once && i < group; i++) {
        unpack_row(w, n + i, scratch + (size_t)i * (size_t)sets);
    }
    __m512 sums[TILE_ROWS][LTLM_GROUP];
    memset(sums, 0, group < LTLM_GROUP ? sizeof sums : 0);
    for (int32_t m = 0, rows; m < a->rows; m += rows) {
        for (int32_t i = 0; i < group; i++) {
            const block_set *row = once ? scratch : scratch + (size_t)i * (size_t)sets;
            if (once) {
                unpack_row(w, n + i, scratch);
            }
            rows = dot_tile(row, a, m, (__m512(*)[LTLM_GROUP]) & sums[0][i]);
        }
        for (int32_t i = 0; i < rows; i++) {
            /* The weights were 16 times too great. */
            ltlm__finish(_mm512_mul_ps(ltlm__sum_each_float(sums[i]), _mm512_set1_ps(0.0625f)),
                         a->quantised[m + i].inverse_scale, _mm512_set1_ps(1.0f), bias, ltlm__lanes16(group),
                         out + (size_t)(m + i) * stride);
        }
    }
}

void ltlm__avx512_block_multiply(const ltlm_weights *w, const ltlm_activations *a, int32_t from, int32_t to,
                                 const float *bias, float *out, size_t stride, void *scratch)
{
    for (int32_t n = from; n < to; n += LTLM_GROUP) {
        int32_t group = to - n < LTLM_GROUP ? to - n : LTLM_GROUP;
        multiply_group(w, a, n, group, bias ? bias + n : NULL, out + n, stride, scratch);
    }
}

LTLM_TARGET_END

#endif
