/* avx2_float.c - products with float32 activations, and embeddings.
 *
 * A dot product is four accumulators of 8 lanes: element k goes to lane k % 32, in order. So a row's result
 * is the same whatever it is computed with.
 */
#include "avx2.h"

#ifdef LTLM_HAS_AVX2

enum {
    FEW = 6,  /* rows for which INT8 is read from the file each time */
    GROUP = 8 /* weight rows that are unpacked at once, to be met by all activations */
};

LTLM_TARGET_BEGIN("avx2,fma,f16c")

/* 8 integers at p as floats. */
LTLM_INLINE __m256 widen8(__m128i bytes)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}

/* 16 bytes of int4, as floats times `scale`, from `out` on. */
LTLM_INLINE void unpack_nibbles(const uint8_t *p, __m256 scale, float *out)
{
    __m128i v = _mm_loadu_si128((const __m128i *)p), low = _mm_set1_epi8(0x0f), eight = _mm_set1_epi8(8);
    v = _mm_xor_si128(v, _mm_set1_epi8((char)0x88));
    __m128i even = _mm_sub_epi8(_mm_and_si128(v, low), eight);
    __m128i odd = _mm_sub_epi8(_mm_and_si128(_mm_srli_epi16(v, 4), low), eight);
    __m128i first = _mm_unpacklo_epi8(even, odd), second = _mm_unpackhi_epi8(even, odd);
    _mm256_storeu_ps(out, _mm256_mul_ps(widen8(first), scale));
    _mm256_storeu_ps(out + 8, _mm256_mul_ps(widen8(_mm_srli_si128(first, 8)), scale));
    _mm256_storeu_ps(out + 16, _mm256_mul_ps(widen8(second), scale));
    _mm256_storeu_ps(out + 24, _mm256_mul_ps(widen8(_mm_srli_si128(second, 8)), scale));
}

/* Row `row` as floats, times the scales of its blocks if it has such. */
static void unpack(const ltlm_weights *w, int32_t row, float *out)
{
    int32_t k = 0, columns = w->columns;
    const uint8_t *p = ltlm__weight_row(w, row);
    switch (w->format) {
    case LTLM_INT8:
        for (; k + 8 <= columns; k += 8) {
            _mm256_storeu_ps(out + k, widen8(_mm_loadl_epi64((const __m128i *)(p + k))));
        }
        break;
    case LTLM_INT4:
        for (; k + 32 <= columns; k += 32) {
            unpack_nibbles(p + k / 2, _mm256_set1_ps(1.0f), out + k);
        }
        break;
    case LTLM_INT4_BLOCK:
        for (; k < columns; k += LTLM_BLOCK) {
            unpack_nibbles(p + k / 2, _mm256_set1_ps(ltlm__scale_at(w, row, k)), out + k);
        }
        break;
    case LTLM_FLOAT32:
        memcpy(out, p, (size_t)columns * sizeof *out);
        return;
    default: break;
    }
    for (; k < columns; k++) {
        out[k] = (float)ltlm__integer_at(w->format, p, k);
    }
}

/* What is not in an unpacked row yet. */
LTLM_INLINE float scale_of(const ltlm_weights *w, int32_t row)
{
    return w->format == LTLM_INT4_BLOCK ? 1.0f : ltlm__scale_at(w, row, 0);
}

/* 8 weights, of which `n` exist, as floats: bytes, or floats. */
LTLM_INLINE __m256 weights8(bool bytes, const uint8_t *p, size_t k, int32_t n)
{
    if (!bytes) {
        const float *floats = (const float *)(const void *)p + k;
        return n >= 8 ? _mm256_loadu_ps(floats) : _mm256_maskload_ps(floats, ltlm__lanes(n));
    }
    if (n >= 8) {
        return widen8(_mm_loadl_epi64((const __m128i *)(p + k)));
    }
    uint8_t last[8] = {0};
    memcpy(last, p + k, (size_t)n);
    return widen8(_mm_loadl_epi64((const __m128i *)last));
}

/* Products of `rows` <= 3 rows of activations with one of weights; rows and bytes are constants where this is
 * inlined. */
LTLM_INLINE void dots(const float *x, size_t stride, int rows, bool bytes, const uint8_t *w, int32_t columns,
                      float *out)
{
    __m256 a[3][4];
    LTLM_UNROLL
    for (int m = 0; m < rows; m++) {
        a[m][0] = a[m][1] = a[m][2] = a[m][3] = _mm256_setzero_ps();
    }
    int32_t k = 0;
    for (; k + 32 <= columns; k += 32) {
        LTLM_UNROLL
        for (int j = 0; j < 4; j++) {
            __m256 v = weights8(bytes, w, (size_t)k + (size_t)j * 8, 8);
            LTLM_UNROLL
            for (int m = 0; m < rows; m++) {
                a[m][j] = _mm256_fmadd_ps(_mm256_loadu_ps(x + (size_t)m * stride + k + j * 8), v, a[m][j]);
            }
        }
    }
    LTLM_UNROLL
    for (int j = 0; j < 4; j++) {
        int32_t left = columns - k - j * 8;
        if (left > 0) {
            __m256i lanes = ltlm__lanes(left);
            __m256 v = weights8(bytes, w, (size_t)k + (size_t)j * 8, left);
            LTLM_UNROLL
            for (int m = 0; m < rows; m++) {
                __m256 u = _mm256_maskload_ps(x + (size_t)m * stride + k + j * 8, lanes);
                a[m][j] = _mm256_fmadd_ps(u, v, a[m][j]);
            }
        }
    }
    LTLM_UNROLL
    for (int m = 0; m < rows; m++) {
        out[m] = ltlm__sum8(_mm256_add_ps(_mm256_add_ps(a[m][0], a[m][2]), _mm256_add_ps(a[m][1], a[m][3])));
    }
}

LTLM_INLINE void dots_of(const float *x, size_t stride, int32_t rows, bool bytes, const uint8_t *w,
                         int32_t columns, float *out)
{
    switch (rows) {
    case 1: dots(x, stride, 1, bytes, w, columns, out); return;
    case 2: dots(x, stride, 2, bytes, w, columns, out); return;
    default: dots(x, stride, 3, bytes, w, columns, out); return;
    }
}

size_t ltlm__avx2_float_scratch(int32_t columns)
{
    return GROUP * (size_t)columns * sizeof(float);
}

void ltlm__avx2_float_multiply(const ltlm_weights *w, const ltlm_activations *a, int32_t from, int32_t to,
                               const float *bias, float *out, size_t stride, void *scratch)
{
    int32_t columns = w->columns, group = a->rows > FEW ? GROUP : 1;
    bool bytes = w->format == LTLM_INT8 && a->rows <= FEW, in_place = bytes || w->format == LTLM_FLOAT32;
    size_t size = in_place ? ltlm__row_bytes(w->format, columns) : (size_t)columns * sizeof(float);
    for (int32_t n = from; n < to; n += group) {
        int32_t count = to - n < group ? to - n : group;
        const uint8_t *weights = in_place ? ltlm__weight_row(w, n) : scratch;
        for (int32_t i = 0; i < count && !in_place; i++) {
            unpack(w, n + i, (float *)scratch + (size_t)i * columns);
        }
        for (int32_t m = 0; m < a->rows; m += 3) {
            int32_t rows = a->rows - m < 3 ? a->rows - m : 3;
            const float *x = a->floats + (size_t)m * a->stride;
            for (int32_t i = 0; i < count; i++) {
                float sums[3], scale = scale_of(w, n + i);
                const uint8_t *row = weights + (size_t)i * size;
                if (bytes) {
                    dots_of(x, a->stride, rows, true, row, columns, sums);
                } else {
                    dots_of(x, a->stride, rows, false, row, columns, sums);
                }
                for (int32_t j = 0; j < rows; j++) {
                    float product = sums[j] * scale;
                    out[(size_t)(m + j) * stride + n + i] = bias ? product + bias[n + i] : product;
                }
            }
        }
    }
}

void ltlm__avx2_embed(const ltlm_weights *table, int32_t row, float factor, float *out)
{
    unpack(table, row, out);
    __m256 scale = _mm256_set1_ps(scale_of(table, row)), times = _mm256_set1_ps(factor);
    for (int32_t i = 0; i < table->columns; i += 8) {
        __m256i lanes = ltlm__lanes(table->columns - i);
        __m256 v = _mm256_mul_ps(_mm256_maskload_ps(out + i, lanes), scale);
        _mm256_maskstore_ps(out + i, lanes, _mm256_mul_ps(v, times));
    }
}

LTLM_TARGET_END

#endif
