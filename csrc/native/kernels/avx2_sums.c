/* avx2_sums.c - sums of weights. Weights are made unsigned by flipping their top bits and summed as bytes. */
#include "avx2.h"

#ifdef LTLM_HAS_AVX2

LTLM_TARGET_BEGIN("avx2,fma,f16c")

/* The sums of four times 8 bytes of weights, each weight with its top bit flipped. */
LTLM_INLINE __m256i flipped_sums(int32_t format, __m256i v)
{
    __m256i bytes;
    if (format == LTLM_INT8) {
        bytes = _mm256_xor_si256(v, _mm256_set1_epi8((char)0x80));
    } else if (format == LTLM_INT2) {
        __m256i low = _mm256_set1_epi8(0x33), pairs, t = _mm256_xor_si256(v, _mm256_set1_epi8((char)0xaa));
        /* Sums of two 2-bit numbers need three bits: add the even ones and the odd ones as nibbles. */
        __m256i even = _mm256_and_si256(t, low), odd = _mm256_and_si256(_mm256_srli_epi16(t, 2), low);
        pairs = _mm256_add_epi8(even, odd);
        low = _mm256_set1_epi8(0x0f);
        bytes =
            _mm256_add_epi8(_mm256_and_si256(pairs, low), _mm256_and_si256(_mm256_srli_epi16(pairs, 4), low));
    } else {
        __m256i low = _mm256_set1_epi8(0x0f), t = _mm256_xor_si256(v, _mm256_set1_epi8((char)0x88));
        bytes = _mm256_add_epi8(_mm256_and_si256(t, low), _mm256_and_si256(_mm256_srli_epi16(t, 4), low));
    }
    return _mm256_sad_epu8(bytes, _mm256_setzero_si256());
}

void ltlm__avx2_sum_blocks(const ltlm_weights *w, int32_t from, int32_t to, float *sums)
{
    size_t blocks = (size_t)w->columns / 32;
    for (int32_t n = from; n < to; n++) {
        const uint8_t *p = w->data + (size_t)n * blocks * 16;
        const uint8_t *scales = (const uint8_t *)w->scales + (size_t)n * blocks * 2;
        __m256 total = _mm256_setzero_ps();
        for (size_t b = 0; b < blocks; b += 8) {
            size_t count = blocks - b < 8 ? blocks - b : 8;
            uint16_t halves[8] = {0};
            memcpy(halves, scales + b * 2, count * 2);
            __m256i v[4];
            LTLM_UNROLL
            for (size_t j = 0; j < 4; j++) {
                size_t left = count * 16 > j * 32 ? count * 16 - j * 32 : 0;
                v[j] = flipped_sums(w->format, ltlm__load_bytes(p + b * 16 + j * 32, left, 0x88));
            }
            __m256i sum = ltlm__in_order(
                _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3])));
            sum = _mm256_sub_epi32(sum, _mm256_set1_epi32(8 * 32));
            total = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), ltlm__load_half(halves), total);
        }
        sums[n] = ltlm__sum8(total);
    }
}

bool ltlm__avx2_sum_weights(const ltlm_weights *w, int32_t from, int32_t to, int32_t *sums)
{
    int32_t offset = w->format == LTLM_INT8 ? 128 : w->format == LTLM_INT4 ? 8 : 2;
    uint8_t fill = w->format == LTLM_INT8 ? 0x80 : w->format == LTLM_INT4 ? 0x88 : 0xaa;
    size_t size = ltlm__row_bytes(w->format, w->columns);
    __m256i least = _mm256_setzero_si256();
    for (int32_t n = from; n < to; n++) {
        const uint8_t *p = ltlm__weight_row(w, n);
        __m256i total = _mm256_setzero_si256();
        for (size_t k = 0; k < size; k += 32) {
            __m256i v = ltlm__load_bytes(p + k, size - k, fill);
            least = _mm256_or_si256(least, _mm256_cmpeq_epi8(v, _mm256_set1_epi8(-128)));
            total = _mm256_add_epi64(total, flipped_sums(w->format, v));
        }
        int64_t four[4];
        _mm256_storeu_si256((__m256i *)four, total);
        sums[n] = (int32_t)(four[0] + four[1] + four[2] + four[3] - (int64_t)offset * w->columns);
    }
    return !_mm256_testz_si256(least, least);
}

LTLM_TARGET_END

#endif
