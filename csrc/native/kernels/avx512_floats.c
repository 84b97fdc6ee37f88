/* avx512_floats.c - products of weights with activations that stay floats, and embeddings.
 *
 * A product is 64 sums: lane by lane of 4 vectors. It is the same 64 sums, added in the same order at the
 * end, however many rows are computed together. Integers become floats as they are read, or, for more rows of
 * activations than fit a tile, in scratch; that changes no bit.
 */
#include "avx512.h"

#ifdef LTLM_HAS_AVX512

#include "formats.h"

enum {
    CHAINS = 4,
    TILE_ROWS = 4 /* rows of activations multiplied with a weight row together */
};

LTLM_TARGET_BEGIN(LTLM_AVX512)

/* ---- weights as floats ---- */

/* 16 integers from `column`, a multiple of 16, on; `lanes` of them exist. */
LTLM_INLINE __m512 integers16(int32_t format, const uint8_t *row, int32_t column, int32_t lanes)
{
    int32_t per_byte = ltlm__weights_per_byte(format);
    __mmask16 bytes = ltlm__lanes16((lanes < 16 ? lanes : 16) / per_byte);
    __m128i v = _mm_maskz_loadu_epi8(bytes, row + column / per_byte);
    if (per_byte == 1) {
        return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(v));
    }
    /* Each byte once for every weight in it; then each lane shifts its own weight to the top and back. */
    __m128i twice = _mm_unpacklo_epi8(v, v);
    __m512i spread = _mm512_cvtepu8_epi32(per_byte == 2 ? twice : _mm_unpacklo_epi8(twice, twice));
    __m512i up = per_byte == 2
                     ? _mm512_setr_epi32(28, 24, 28, 24, 28, 24, 28, 24, 28, 24, 28, 24, 28, 24, 28, 24)
                     : _mm512_setr_epi32(30, 28, 26, 24, 30, 28, 26, 24, 30, 28, 26, 24, 30, 28, 26, 24);
    return _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_sllv_epi32(spread, up), per_byte == 2 ? 28 : 30));
}

/* As integers16, and as they are for FLOAT32. */
LTLM_INLINE __m512 weights16(int32_t format, const uint8_t *row, int32_t column, int32_t lanes)
{
    if (format == LTLM_FLOAT32) {
        return _mm512_maskz_loadu_ps(ltlm__lanes16(lanes), row + (size_t)column * sizeof(float));
    }
    return integers16(format, row, column, lanes);
}

/* A row with the scales of its blocks, if it has blocks, but without the scale of the row. */
LTLM_INLINE void unpack_as(int32_t format, const ltlm_weights *w, int32_t n, float *out)
{
    const uint8_t *row = ltlm__weight_row(w, n);
    for (int32_t i = 0; i < w->columns; i += 16) {
        int32_t lanes = w->columns - i;
        __m512 v = weights16(format, row, i, lanes);
        if (format == LTLM_INT4_BLOCK) {
            v = _mm512_mul_ps(v, _mm512_set1_ps(ltlm__scale_at(w, n, i)));
        }
        _mm512_mask_storeu_ps(out + i, ltlm__lanes16(lanes), v);
    }
}

static void unpack(const ltlm_weights *w, int32_t n, float *out)
{
    switch (w->format) {
    case LTLM_INT8: unpack_as(LTLM_INT8, w, n, out); break;
    case LTLM_INT4: unpack_as(LTLM_INT4, w, n, out); break;
    case LTLM_INT2: unpack_as(LTLM_INT2, w, n, out); break;
    case LTLM_INT4_BLOCK: unpack_as(LTLM_INT4_BLOCK, w, n, out); break;
    default: unpack_as(LTLM_FLOAT32, w, n, out); break;
    }
}

static bool has_row_scales(const ltlm_weights *w)
{
    return w->format != LTLM_FLOAT32 && w->format != LTLM_INT4_BLOCK;
}

void ltlm__avx512_embed(const ltlm_weights *table, int32_t row, float factor, float *out)
{
    unpack(table, row, out);
    __m512 scale = _mm512_set1_ps(has_row_scales(table) ? ltlm__scale_at(table, row, 0) : 1.0f);
    for (int32_t i = 0; i < table->columns; i += 16) {
        __mmask16 lanes = ltlm__lanes16(table->columns - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, out + i), scale);
        _mm512_mask_storeu_ps(out + i, lanes, _mm512_mul_ps(v, _mm512_set1_ps(factor)));
    }
}

/* ---- products ---- */

LTLM_INLINE void dot(int32_t format, const uint8_t *w, const float *x, size_t x_stride, int32_t columns,
                     int rows, __m512 (*out)[LTLM_GROUP])
{
    __m512 sums[TILE_ROWS][CHAINS];
    LTLM_UNROLL(4)
    for (int m = 0; m < rows; m++) {
        LTLM_UNROLL(4)
        for (int c = 0; c < CHAINS; c++) {
            sums[m][c] = _mm512_setzero_ps();
        }
    }
    int32_t k = 0;
    for (; k + 16 * CHAINS <= columns; k += 16 * CHAINS) {
        LTLM_UNROLL(4)
        for (int c = 0; c < CHAINS; c++) {
            __m512 v = weights16(format, w, k + 16 * c, 16);
            LTLM_UNROLL(4)
            for (int m = 0; m < rows; m++) {
                __m512 q = _mm512_loadu_ps(x + (size_t)m * x_stride + k + 16 * c);
                sums[m][c] = _mm512_fmadd_ps(q, v, sums[m][c]);
            }
        }
    }
    LTLM_UNROLL(4)
    for (int c = 0; c < CHAINS; c++) {
        int32_t lanes = columns - k - 16 * c;
        if (lanes > 0) {
            __m512 v = weights16(format, w, k + 16 * c, lanes);
            LTLM_UNROLL(4)
            for (int m = 0; m < rows; m++) {
                const float *from = x + (size_t)m * x_stride + k + 16 * c;
                sums[m][c] =
                    _mm512_fmadd_ps(_mm512_maskz_loadu_ps(ltlm__lanes16(lanes), from), v, sums[m][c]);
            }
        }
    }
    LTLM_UNROLL(4)
    for (int m = 0; m < rows; m++) {
        out[m][0] =
            _mm512_add_ps(_mm512_add_ps(sums[m][0], sums[m][1]), _mm512_add_ps(sums[m][2], sums[m][3]));
    }
}

LTLM_INLINE void dot_as(int32_t format, const uint8_t *w, const ltlm_activations *a, int32_t m, int32_t rows,
                        __m512 (*out)[LTLM_GROUP])
{
    const float *x = a->floats + (size_t)m * a->stride;
    switch (rows) {
    case 1: dot(format, w, x, a->stride, a->columns, 1, out); break;
    case 2: dot(format, w, x, a->stride, a->columns, 2, out); break;
    case 3: dot(format, w, x, a->stride, a->columns, 3, out); break;
    default: dot(format, w, x, a->stride, a->columns, 4, out); break;
    }
}

/* Up to LTLM_GROUP weight rows from n on with all activations. */
static void multiply_group(const ltlm_weights *w, const ltlm_activations *a, int32_t n, int32_t group,
                           const float *bias, float *out, size_t stride, float *scratch)
{
    bool direct = w->format == LTLM_FLOAT32 || (w->format == LTLM_INT8 && a->rows <= TILE_ROWS);
    for (int32_t i = 0; !direct && i < group; i++) {
        unpack(w, n + i, scratch + (size_t)i * (size_t)w->columns);
    }
    __mmask16 lanes = ltlm__lanes16(group);
    __m512 scales = _mm512_set1_ps(1.0f);
    if (has_row_scales(w)) {
        scales = _mm512_maskz_loadu_ps(lanes, (const uint8_t *)w->scales + (size_t)n * sizeof(float));
    }
    __m512 sums[TILE_ROWS][LTLM_GROUP];
    memset(sums, 0, group < LTLM_GROUP ? sizeof sums : 0);
    for (int32_t m = 0; m < a->rows; m += TILE_ROWS) {
        int32_t rows = a->rows - m < TILE_ROWS ? a->rows - m : TILE_ROWS;
        for (int32_t i = 0; i < group; i++) {
            __m512(*to)[LTLM_GROUP] = (__m512(*)[LTLM_GROUP]) & sums[0][i];
            const float *unpacked = scratch + (size_t)i * (size_t)w->columns;
            const uint8_t *row = direct ? ltlm__weight_row(w, n + i) : (const uint8_t *)unpacked;
            if (direct && w->format == LTLM_INT8) {
                dot_as(LTLM_INT8, row, a, m, rows, to);
            } else {
                dot_as(LTLM_FLOAT32, row, a, m, rows, to);
            }
        }
        for (int32_t i = 0; i < rows; i++) {
            ltlm__finish(ltlm__sum_each_float(sums[i]), 1.0f, scales, bias, lanes,
                         out + (size_t)(m + i) * stride);
        }
    }
}

size_t ltlm__avx512_float_scratch(int32_t columns)
{
    return LTLM_GROUP * (size_t)columns * sizeof(float);
}

void ltlm__avx512_float_multiply(const ltlm_weights *w, const ltlm_activations *a, int32_t from, int32_t to,
                                 const float *bias, float *out, size_t stride, void *scratch)
{
    for (int32_t n = from; n < to; n += LTLM_GROUP) {
        int32_t group = to - n < LTLM_GROUP ? to - n : LTLM_GROUP;
        multiply_group(w, a, n, group, bias ? bias + n : NULL, out + n, stride, scratch);
    }
}

LTLM_TARGET_END

#endif
