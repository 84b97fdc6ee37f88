/* avx512_activations.c - activations quantised to bytes, in the order in which unpacked weights lie.
 *
 * They are kept as q + 128, because one side of vpdpbusd is unsigned. Of each 64 bytes of weights first those
 * activations that go with the lowest bits of each byte, then those with the next, see avx512_integers.c.
 */
#include "avx512.h"

#ifdef LTLM_HAS_AVX512

#include "formats.h"

LTLM_TARGET_BEGIN(LTLM_AVX512)

/* Columns that 64 bytes of weights hold, times the 4 loads that avx512_blocks.c does at a time. */
static size_t chunk_columns(int32_t format)
{
    size_t columns = (size_t)ltlm__weights_per_byte(format) * 64;
    return format == LTLM_INT4_BLOCK ? columns * 4 : columns;
}

/* An odd number of cache lines: rows at a power of two would all fall into the same set of the cache. */
size_t ltlm__avx512_activation_stride(int32_t format, int32_t columns)
{
    size_t chunk = chunk_columns(format);
    return (((size_t)columns + chunk - 1) / chunk * chunk) | 64;
}

static ltlm_quantised quantisation_of(const float *x, int32_t n, float *scale)
{
    __m512 least = _mm512_setzero_ps(), greatest = least;
    for (int32_t i = 0; i < n; i += 16) {
        __m512 v = _mm512_maskz_loadu_ps(ltlm__lanes16(n - i), x + i);
        least = _mm512_min_ps(v, least); /* in this order NaN is passed over */
        greatest = _mm512_max_ps(v, greatest);
    }
    return ltlm__quantisation(_mm512_reduce_min_ps(least), _mm512_reduce_max_ps(greatest), scale);
}

/* 16 of q + 128. */
LTLM_INLINE __m128i quantise16(__m512 x, __m512 scale, __m512i zero_point)
{
    x = _mm512_mul_ps(x, scale);
    x = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(-512.0f)), _mm512_set1_ps(512.0f)); /* NaN too */
    __m128i q = _mm512_cvtsepi32_epi8(_mm512_add_epi32(_mm512_cvtps_epi32(x), zero_point));
    return _mm_xor_si128(q, _mm_set1_epi8((char)0x80));
}

/* Even bytes of 128 to the front, odd ones behind. */
LTLM_INLINE void split128(uint8_t *p)
{
    __m512i a = _mm512_load_si512(p), b = _mm512_load_si512(p + 64), low = _mm512_set1_epi16(0xff);
    __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7); /* packing works in 128 bits */
    __m512i even = _mm512_packus_epi16(_mm512_and_si512(a, low), _mm512_and_si512(b, low));
    __m512i odd = _mm512_packus_epi16(_mm512_srli_epi16(a, 8), _mm512_srli_epi16(b, 8));
    _mm512_store_si512(p, _mm512_permutexvar_epi64(order, even));
    _mm512_store_si512(p + 64, _mm512_permutexvar_epi64(order, odd));
}

/* Of 256: those at 0, 4, 8.., then at 1, 5, 9.., and so on. */
static void split256(uint8_t *p)
{
    split128(p);
    split128(p + 128); /* even, odd, even, odd */
    __m512i odd = _mm512_load_si512(p + 64);
    _mm512_store_si512(p + 64, _mm512_load_si512(p + 128));
    _mm512_store_si512(p + 128, odd);
    split128(p);       /* 0, 2 modulo 4 */
    split128(p + 128); /* 1, 3 */
    odd = _mm512_load_si512(p + 64);
    _mm512_store_si512(p + 64, _mm512_load_si512(p + 128));
    _mm512_store_si512(p + 128, odd);
}

void ltlm__avx512_prepare(int32_t format, const ltlm_activations *a, int32_t row)
{
    if (format == LTLM_FLOAT32) {
        return;
    }
    const float *x = a->floats + (size_t)row * a->stride;
    size_t stride = ltlm__avx512_activation_stride(format, a->columns);
    uint8_t *out = a->bytes + (size_t)row * stride;
    float scale;
    ltlm_quantised quantised = quantisation_of(x, a->columns, &scale);
    __m512 factor = _mm512_set1_ps(scale);
    __m512i zero_point = _mm512_set1_epi32(quantised.zero_point);
    int32_t i = 0;
    for (; i < a->columns; i += 16) {
        __mmask16 lanes = ltlm__lanes16(a->columns - i);
        __m128i q = quantise16(_mm512_maskz_loadu_ps(lanes, x + i), factor, zero_point);
        _mm_store_si128((__m128i *)(out + i), _mm_maskz_mov_epi8(lanes, q));
    }
    memset(out + i, 0, stride - (size_t)i);
    __m512i sum = _mm512_setzero_si512(), ones = _mm512_set1_epi8(1);
    for (size_t k = 0; k < stride; k += 64) {
        sum = _mm512_dpbusd_epi32(sum, _mm512_load_si512(out + k), ones);
    }
    quantised.sum = _mm512_reduce_add_epi32(sum) - 128 * a->columns;
    a->quantised[row] = quantised;
    size_t chunk = (size_t)ltlm__weights_per_byte(format) * 64;
    for (size_t k = 0; chunk > 64 && k + chunk <= stride; k += chunk) {
        (chunk == 128 ? split128 : split256)(out + k);
    }
}

LTLM_TARGET_END

#endif
