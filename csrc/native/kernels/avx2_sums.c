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

static void sum_blocks(const ltlm_weights *w, int32_t from, int32_t to, int32_t *block_sums)
{
    size_t blocks = (size_t)w->columns / 32, begin = (size_t)from * blocks, end = (size_t)to * blocks;
    for (size_t b = begin; b < end; b += 2) {
        size_t size = b + 2 <= end ? 32 : 16;
        int64_t four[4];
        __m256i v = ltlm__load_bytes(w->data + b * 16, size, 0x88);
        _mm256_storeu_si256((__m256i *)four, flipped_sums(w->format, v));
        block_sums[b] = (int32_t)(four[0] + four[1]) - 8 * 32;
        if (size == 32) {
            block_sums[b + 1] = (int32_t)(four[2] + four[3]) - 8 * 32;
        }
    }
}

void ltlm__avx2_sum_weights(const ltlm_weights *w, int32_t from, int32_t to, int32_t *sums,
                            int32_t *block_sums)
{
    if (w->format == LTLM_FLOAT32) {
        return;
    }
    if (w->format == LTLM_INT4_BLOCK) {
        if (block_sums) {
            sum_blocks(w, from, to, block_sums);
        }
        return;
    }
    int32_t offset = w->format == LTLM_INT8 ? 128 : w->format == LTLM_INT4 ? 8 : 2;
    uint8_t fill = w->format == LTLM_INT8 ? 0x80 : w->format == LTLM_INT4 ? 0x88 : 0xaa;
    size_t size = ltlm__row_bytes(w->format, w->columns);
    for (int32_t n = from; n < to; n++) {
        const uint8_t *p = ltlm__weight_row(w, n);
        __m256i total = _mm256_setzero_si256();
        for (size_t k = 0; k < size; k += 32) {
            total = _mm256_add_epi64(total, flipped_sums(w->format, ltlm__load_bytes(p + k, size - k, fill)));
        }
        int64_t four[4];
        _mm256_storeu_si256((__m256i *)four, total);
        sums[n] = (int32_t)(four[0] + four[1] + four[2] + four[3] - (int64_t)offset * w->columns);
    }
}

LTLM_TARGET_END

#endif
