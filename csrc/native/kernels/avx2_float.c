/* avx2_float.c - products with float32 activations, and embeddings.
 *
 * A dot product is four accumulators of 8 lanes: element k goes to lane k % 32, in order. So a row's result is the same
 * whatever it is computed with.
 */
#include "avx2.h"

#ifdef LTLM_HAS_AVX2

enum { GROUP = 8 /* weight rows that are unpacked at once, to be met by all activations */ };

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

/* Products of `rows` <= 3 rows of activations with one of weights; rows is a constant where this is inlined. */
LTLM_INLINE void dots(const float *x, size_t stride, int rows, const float *w, int32_t columns, float *out)
{
    __m256 a[3][4];
    LTLM_UNROLL
    for (int m = 0; m < rows; m++) {
        a[m][0] = a[m][1] = a[m][2] = a[m][3] = _mm256_setzero_ps();
    }
    const float *x0 = x, *x1 = x + (rows > 1 ? stride : 0), *x2 = x + (rows > 2 ? 2 * stride : 0);
    int32_t k = 0;
#define STEP(j, load)                                          \
    {                                                          \
        __m256 v = load(w);                                    \
        a[0][j] = _mm256_fmadd_ps(load(x0), v, a[0][j]);       \
        if (rows > 1) {                                        \
            a[1][j] = _mm256_fmadd_ps(load(x1), v, a[1][j]);   \
        }                                                      \
        if (rows > 2) {                                        \
            a[2][j] = _mm256_fmadd_ps(load(x2), v, a[2][j]);   \
        }                                                      \
    }
#define LOAD0(p) _mm256_loadu_ps((p) + k)
#define LOAD1(p) _mm256_loadu_ps((p) + k + 8)
#define LOAD2(p) _mm256_loadu_ps((p) + k + 16)
#define LOAD3(p) _mm256_loadu_ps((p) + k + 24)
    for (; k + 32 <= columns; k += 32) {
        STEP(0, LOAD0) STEP(1, LOAD1) STEP(2, LOAD2) STEP(3, LOAD3)
    }
#define LOAD_TAIL(p) _mm256_maskload_ps((p) + k, lanes)
    for (int j = 0; k < columns; k += 8, j++) {
        __m256i lanes = ltlm__lanes(columns - k);
        STEP(j, LOAD_TAIL)
    }
    LTLM_UNROLL
    for (int m = 0; m < rows; m++) {
        out[m] = ltlm__sum8(_mm256_add_ps(_mm256_add_ps(a[m][0], a[m][2]), _mm256_add_ps(a[m][1], a[m][3])));
    }
}

size_t ltlm__avx2_float_scratch(int32_t columns)
{
    return GROUP * (size_t)columns * sizeof(float);
}

void ltlm__avx2_float_multiply(const ltlm_weights *w, const ltlm_activations *a, int32_t from, int32_t to,
                               const float *bias, float *out, size_t stride, void *scratch)
{
    int32_t columns = w->columns, group = a->rows > 3 ? GROUP : 1;
    bool packed = w->format != LTLM_FLOAT32;
    const float *weights = scratch;
    for (int32_t n = from; n < to; n += group) {
        int32_t count = to - n < group ? to - n : group;
        if (packed) {
            for (int32_t i = 0; i < count; i++) {
                unpack(w, n + i, (float *)scratch + (size_t)i * columns);
            }
        } else {
            weights = (const float *)(const void *)(w->data + (size_t)n * columns * sizeof(float));
        }
        for (int32_t m = 0; m < a->rows; m += 3) {
            int32_t rows = a->rows - m < 3 ? a->rows - m : 3;
            const float *x = a->floats + (size_t)m * a->stride;
            for (int32_t i = 0; i < count; i++) {
                float sums[3];
                const float *v = weights + (size_t)i * columns;
                if (rows == 1) {
                    dots(x, a->stride, 1, v, columns, sums);
                } else if (rows == 2) {
                    dots(x, a->stride, 2, v, columns, sums);
                } else {
                    dots(x, a->stride, 3, v, columns, sums);
                }
                float scale = scale_of(w, n + i);
                for (int32_t j = 0; j < rows; j++) {
                    float product = packed ? sums[j] * scale : sums[j];
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
