/* avx2_few.h - up to FEW rows of activations times weights as they lie in the file. Needs of its includer: int8_dot,
 * nibble_dot, block_dot. Weights of INT4 and INT4_BLOCK are made unsigned (0..15) by flipping their top bits. */
#include "avx2_activations.h"

/* 64 columns: low and high nibbles of 32 bytes. */
LTLM_INLINE void nibbles(__m256i v, __m256i *even, __m256i *odd)
{
    __m256i low = _mm256_set1_epi8(0x0f);
    v = _mm256_xor_si256(v, _mm256_set1_epi8((char)0x88));
    *even = _mm256_and_si256(v, low);
    *odd = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
}

LTLM_INLINE __m256i activations32(const uint8_t *x)
{
    return _mm256_loadu_si256((const __m256i *)x);
}

#ifdef LTLM_VNNI

enum { INT8_OFFSET = 128 }; /* what was added to INT8 weights to make them unsigned */

/* sum[2] += 64 weights times activations. */
LTLM_INLINE void int8_dot(__m256i first, __m256i second, const uint8_t *x, __m256i sum[2])
{
    __m256i flip = _mm256_set1_epi8((char)0x80);
    sum[0] = _mm256_dpbusd_avx_epi32(sum[0], _mm256_xor_si256(first, flip), activations32(x));
    sum[1] = _mm256_dpbusd_avx_epi32(sum[1], _mm256_xor_si256(second, flip), activations32(x + 32));
}

LTLM_INLINE void nibble_dot(__m256i even, __m256i odd, const uint8_t *x, __m256i sum[2])
{
    sum[0] = _mm256_dpbusd_avx_epi32(sum[0], even, activations32(x));
    sum[1] = _mm256_dpbusd_avx_epi32(sum[1], odd, activations32(x + 32));
}

/* The products of two blocks, each in its half, minus `zero` times the sum of the weights, which is in `weights`. */
LTLM_INLINE __m256i block_dot(__m256i even, __m256i odd, const uint8_t *x, __m256i weights, __m256i zero)
{
    __m256i sum = _mm256_dpwssd_avx_epi32(_mm256_setzero_si256(), weights,
                                          _mm256_sub_epi16(_mm256_setzero_si256(), zero));
    sum = _mm256_dpbusd_avx_epi32(sum, even, activations32(x));
    return _mm256_dpbusd_avx_epi32(sum, odd, activations32(x + 32));
}

#else

enum { INT8_OFFSET = 0 };

/* Bytes times bytes do not fit the 16 bits of vpmaddubsw, so INT8 is multiplied as int16. */
LTLM_INLINE void int8_dot(__m256i first, __m256i second, const uint8_t *x, __m256i sum[2])
{
    __m256i a = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(first));
    __m256i b = _mm256_cvtepi8_epi16(_mm256_extracti128_si256(first, 1));
    __m256i c = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(second));
    __m256i d = _mm256_cvtepi8_epi16(_mm256_extracti128_si256(second, 1));
    sum[0] = _mm256_add_epi32(sum[0], _mm256_madd_epi16(a, activations32(x)));
    sum[1] = _mm256_add_epi32(sum[1], _mm256_madd_epi16(b, activations32(x + 32)));
    sum[0] = _mm256_add_epi32(sum[0], _mm256_madd_epi16(c, activations32(x + 64)));
    sum[1] = _mm256_add_epi32(sum[1], _mm256_madd_epi16(d, activations32(x + 96)));
}

/* At most 4 * 15 * 128 in 16 bits. */
LTLM_INLINE __m256i nibble_products(__m256i even, __m256i odd, const uint8_t *x)
{
    return _mm256_add_epi16(_mm256_maddubs_epi16(even, activations32(x)),
                            _mm256_maddubs_epi16(odd, activations32(x + 32)));
}

LTLM_INLINE void nibble_dot(__m256i even, __m256i odd, const uint8_t *x, __m256i sum[2])
{
    __m256i s = _mm256_madd_epi16(nibble_products(even, odd, x), _mm256_set1_epi16(1));
    sum[0] = _mm256_add_epi32(sum[0], s);
}

LTLM_INLINE __m256i block_dot(__m256i even, __m256i odd, const uint8_t *x, __m256i weights, __m256i zero)
{
    __m256i s = _mm256_madd_epi16(nibble_products(even, odd, x), _mm256_set1_epi16(1));
    return _mm256_sub_epi32(s, _mm256_madd_epi16(weights, zero));
}

#endif

/* A row of weights times `rows` rows of activations: format and rows are constants where this is inlined. */
LTLM_INLINE void row_dots(int32_t format, int rows, const uint8_t *p, size_t size, const uint8_t *x, size_t width,
                          __m256i out[FEW])
{
    __m256i sum[FEW][2];
    LTLM_UNROLL
    for (int m = 0; m < rows; m++) {
        sum[m][0] = sum[m][1] = _mm256_setzero_si256();
    }
    size_t step = format == LTLM_INT8 ? 64 : 32, whole = size / step * step;
    for (size_t k = 0; k < size; k += step) {
        __m256i first, second;
        if (k < whole) {
            first = _mm256_loadu_si256((const __m256i *)(p + k));
            second = format == LTLM_INT8 ? _mm256_loadu_si256((const __m256i *)(p + k + 32)) : first;
            _mm_prefetch((const char *)p + k + 2048, _MM_HINT_T0);
        } else {
            first = ltlm__load_bytes(p + k, size - k, 0);
            second = size - k > 32 ? ltlm__load_bytes(p + k + 32, size - k - 32, 0) : _mm256_setzero_si256();
        }
        const uint8_t *at = x + (format == LTLM_INT8 ? k * INT8_BYTES : k * 2);
        if (format == LTLM_INT4) {
            nibbles(first, &first, &second);
        }
        LTLM_UNROLL
        for (int m = 0; m < rows; m++) {
            if (format == LTLM_INT8) {
                int8_dot(first, second, at + (size_t)m * width, sum[m]);
            } else {
                nibble_dot(first, second, at + (size_t)m * width, sum[m]);
            }
        }
    }
    LTLM_UNROLL
    for (int m = 0; m < rows; m++) {
        out[m] = _mm256_add_epi32(sum[m][0], sum[m][1]);
    }
}

/* INT8 and INT4, four rows of weights at a time, one after the other: memory is read in order. */
LTLM_INLINE void multiply_few(int32_t format, int rows, const ltlm_weights *w, const ltlm_activations *a, int32_t from,
                              int32_t to, const float *bias, float *out, size_t stride)
{
    size_t size = ltlm__row_bytes(format, w->columns), width = padded(format, w->columns) * element(format);
    int32_t offset = format == LTLM_INT8 ? INT8_OFFSET : 8;
    const float *scales = w->scales;
    for (int32_t n = from; n < to; n += 4) {
        __m256i sums[4][FEW] = {{_mm256_setzero_si256()}};
        for (int32_t j = 0; j < 4 && n + j < to; j++) {
            row_dots(format, rows, w->data + (size_t)(n + j) * size, size, a->bytes, width, sums[j]);
        }
        __m128i lanes = _mm256_castsi256_si128(ltlm__lanes(to - n));
        __m128i weights = _mm_maskload_epi32(w->sums + n, lanes);
        __m128 scale = _mm_maskload_ps(scales + n, lanes);
        LTLM_UNROLL
        for (int m = 0; m < rows; m++) {
            const ltlm_quantised *q = a->quantised + m;
            __m128i v = ltlm__sum4x8(sums[0][m], sums[1][m], sums[2][m], sums[3][m]);
            v = _mm_sub_epi32(v, _mm_set1_epi32(offset * q->sum));
            v = _mm_sub_epi32(v, _mm_mullo_epi32(weights, _mm_set1_epi32(q->zero_point)));
            __m128 y = _mm_mul_ps(_mm_mul_ps(_mm_cvtepi32_ps(v), _mm_set1_ps(q->inverse_scale)), scale);
            if (bias) {
                y = _mm_add_ps(y, _mm_maskload_ps(bias + n, lanes));
            }
            _mm_maskstore_ps(out + (size_t)m * stride + n, lanes, y);
        }
    }
}

/* INT4_BLOCK: 8 blocks at a time, block b in lane b % 8. */
LTLM_INLINE void multiply_few_blocks(int rows, const ltlm_weights *w, const ltlm_activations *a, int32_t from, int32_t to,
                                     const float *bias, float *out, size_t stride)
{
    size_t blocks = (size_t)w->columns / CHUNK, width = padded(LTLM_INT4_BLOCK, w->columns);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7), one = _mm256_set1_epi8(1);
    for (int32_t n = from; n < to; n++) {
        const uint8_t *p = w->data + (size_t)n * blocks * 16;
        const uint8_t *scales = (const uint8_t *)w->scales + (size_t)n * blocks * 2;
        __m256 total[FEW];
        LTLM_UNROLL
        for (int m = 0; m < rows; m++) {
            total[m] = _mm256_setzero_ps();
        }
        for (size_t b = 0; b < blocks; b += 8) {
            uint8_t last[8 * 16], last_scales[8 * 2];
            const uint8_t *v = p + b * 16, *s = scales + b * 2;
            if (b + 8 > blocks) {
                memset(last, 0, sizeof last);
                memset(last_scales, 0, sizeof last_scales);
                v = memcpy(last, v, (blocks - b) * 16);
                s = memcpy(last_scales, s, (blocks - b) * 2);
            }
            __m256i sums[FEW][4];
            LTLM_UNROLL
            for (int i = 0; i < 4; i++) {
                __m256i even, odd;
                nibbles(_mm256_loadu_si256((const __m256i *)(v + i * 32)), &even, &odd);
                __m256i weights = _mm256_maddubs_epi16(_mm256_add_epi8(even, odd), one);
                LTLM_UNROLL
                for (int m = 0; m < rows; m++) {
                    __m256i zero = _mm256_set1_epi16((short)a->quantised[m].zero_point);
                    const uint8_t *x = a->bytes + (size_t)m * width + (b + 2 * (size_t)i) * CHUNK;
                    sums[m][i] = block_dot(even, odd, x, weights, zero);
                }
            }
            __m256 scale = ltlm__load_half(s);
            LTLM_UNROLL
            for (int m = 0; m < rows; m++) {
                __m256i pairs = _mm256_loadu_si256((const __m256i *)(const void *)(pairs_of(a, m) + b));
                __m256i sum = _mm256_hadd_epi32(_mm256_hadd_epi32(sums[m][0], sums[m][1]),
                                                _mm256_hadd_epi32(sums[m][2], sums[m][3]));
                sum = _mm256_permutevar8x32_epi32(sum, order);
                sum = _mm256_sub_epi32(sum, _mm256_slli_epi32(_mm256_srai_epi32(pairs, 16), 3));
                total[m] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, total[m]);
            }
        }
        LTLM_UNROLL
        for (int m = 0; m < rows; m++) {
            float y = ltlm__sum8(total[m]) * a->quantised[m].inverse_scale;
            out[(size_t)m * stride + n] = bias ? y + bias[n] : y;
        }
    }
}
