/* avx2.h - what the tables for 256-bit vectors share: "avx2" and "avxvnni".
 *
 * Sources that include this are compiled with the flags of all others and switch the instructions on for
 * themselves, so inline functions here can be called from nowhere else. Threads: as in kernels.h.
 */
#ifndef LTLM_KERNELS_AVX2_H
#define LTLM_KERNELS_AVX2_H

#include "formats.h"

#if defined(_M_X64) || (defined(__x86_64__) && defined(__GNUC__))
#define LTLM_HAS_AVX2 1

#include <immintrin.h>

#define LTLM_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define LTLM_TARGET_BEGIN(features) \
    LTLM_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define LTLM_TARGET_END LTLM_PRAGMA(clang attribute pop)
#elif defined(__GNUC__)
#define LTLM_TARGET_BEGIN(features) LTLM_PRAGMA(GCC push_options) LTLM_PRAGMA(GCC target(features))
#define LTLM_TARGET_END LTLM_PRAGMA(GCC pop_options)
#else
#define LTLM_TARGET_BEGIN(features)
#define LTLM_TARGET_END
#endif

/* Before a short loop over registers. */
#if defined(__clang__)
#define LTLM_UNROLL LTLM_PRAGMA(unroll)
#elif defined(__GNUC__)
#define LTLM_UNROLL LTLM_PRAGMA(GCC unroll 16)
#else
#define LTLM_UNROLL
#endif

#if defined(__GNUC__)
#define LTLM_INLINE static inline __attribute__((always_inline))
#else
#define LTLM_INLINE static __forceinline
#endif

/* ---- avx2_cpu.c ---- */

bool ltlm__has_avx2(void); /* and FMA and F16C */
bool ltlm__has_avxvnni(void);

/* ---- avx2_float.c ---- */

/* multiply for float activations, and for FLOAT32. The activations are read where they are. */
size_t ltlm__avx2_float_scratch(int32_t columns);
void ltlm__avx2_float_multiply(const ltlm_weights *w, const ltlm_activations *a, int32_t from, int32_t to,
                               const float *bias, float *out, size_t stride, void *scratch);
void ltlm__avx2_embed(const ltlm_weights *table, int32_t row, float factor, float *out);

/* ---- avx2_sums.c ---- */

bool ltlm__avx2_sum_weights(const ltlm_weights *w, int32_t from, int32_t to, int32_t *sums);
void ltlm__avx2_sum_blocks(const ltlm_weights *w, int32_t from, int32_t to, float *sums);

/* ---- avx2_attend.c ---- */

void ltlm__avx2_store_key(const float *key, int32_t head_dim, bool wide, uint8_t *page, int32_t slot);
void ltlm__avx2_store_value(const float *value, int32_t head_dim, bool wide, uint8_t *page, int32_t slot);
size_t ltlm__avx2_attend_scratch(int32_t positions, int32_t head_dim);
void ltlm__avx2_attend(const ltlm_attention *job);

/* ---- avx2_rows.c ---- */

void ltlm__avx2_rms_norm(const float *x, const float *weight, int32_t n, float epsilon, float *out);
void ltlm__avx2_rope(const float *x, const float *cosine, const float *sine, int32_t head_dim, float *out);
void ltlm__avx2_gate(int32_t activation, const float *x, const float *y, int32_t n, float *out);
void ltlm__avx2_unary(int32_t function, const float *x, int32_t n, float *out);
void ltlm__avx2_add(const float *x, const float *y, int32_t n, float *out);
void ltlm__avx2_mul(const float *x, const float *y, int32_t n, float *out);
void ltlm__avx2_softmax(const float *x, int32_t n, float *out);
int32_t ltlm__avx2_argmax(const float *x, int32_t n);
float ltlm__avx2_log_sum_exp(const float *x, int32_t n);

/* ---- vectors of 8 ---- */

LTLM_TARGET_BEGIN("avx2,fma,f16c")

/* All bits set in the first `n` of 8 lanes. */
LTLM_INLINE __m256i ltlm__lanes(int32_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* ((0+4)+(2+6)) + ((1+5)+(3+7)) */
LTLM_INLINE float ltlm__sum8(__m256 v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/* Four of them. */
LTLM_INLINE __m128 ltlm__sums8(__m256 a, __m256 b, __m256 c, __m256 d)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    __m128 t = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    __m128 u = _mm_add_ps(_mm256_castps256_ps128(c), _mm256_extractf128_ps(c, 1));
    __m128 v = _mm_add_ps(_mm256_castps256_ps128(d), _mm256_extractf128_ps(d, 1));
    _MM_TRANSPOSE4_PS(s, t, u, v);
    return _mm_add_ps(_mm_add_ps(s, u), _mm_add_ps(t, v));
}

/* From hadd(hadd(a, b), hadd(c, d)), where each has a number in either half, to the order a, b, c, d. */
LTLM_INLINE __m256i ltlm__in_order(__m256i v)
{
    return _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

LTLM_INLINE float ltlm__max8(__m256 v)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

/* Four sums of 8 lanes. */
LTLM_INLINE __m128i ltlm__sum4x8(__m256i a, __m256i b, __m256i c, __m256i d)
{
    __m256i s = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    return _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
}

/* `size` bytes from `p`, then `fill`: never reads past `size`. */
LTLM_INLINE __m256i ltlm__load_bytes(const uint8_t *p, size_t size, uint8_t fill)
{
    if (size >= 32) {
        return _mm256_loadu_si256((const __m256i *)p);
    }
    uint8_t bytes[32];
    memset(bytes, fill, sizeof bytes);
    memcpy(bytes, p, size);
    return _mm256_loadu_si256((const __m256i *)bytes);
}

LTLM_INLINE __m256 ltlm__load_half(const void *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

/* exp within 2 ulp, with denormals, 0 and infinity where they belong; NaN stays. Coefficients: Cephes. */
LTLM_INLINE __m256 ltlm__exp8(__m256 x)
{
    x = _mm256_max_ps(_mm256_set1_ps(-104.0f), _mm256_min_ps(_mm256_set1_ps(89.0f), x));
    __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504088896341f)), 8);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
    __m256 p = _mm256_set1_ps(1.9875691500e-4f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.3981999507e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(8.3334519073e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(4.1665795894e-2f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.6666665459e-1f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(5.0000001201e-1f));
    p = _mm256_fmadd_ps(p, _mm256_mul_ps(r, r), _mm256_add_ps(r, _mm256_set1_ps(1.0f)));
    /* 2^n in two factors: n reaches from the smallest denormal to beyond the greatest float. */
    __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1), bias = _mm256_set1_epi32(127);
    __m256i first = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    __m256i second = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(whole, half), bias), 23);
    return _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(first)), _mm256_castsi256_ps(second));
}

LTLM_INLINE __m256 ltlm__sigmoid8(__m256 x)
{
    __m256 one = _mm256_set1_ps(1.0f);
    return _mm256_div_ps(one, _mm256_add_ps(one, ltlm__exp8(_mm256_sub_ps(_mm256_setzero_ps(), x))));
}

/* The rational approximation that Eigen made popular; within 4 ulp. */
LTLM_INLINE __m256 ltlm__tanh8(__m256 x)
{
    x = _mm256_max_ps(_mm256_set1_ps(-7.90531110763549805f),
                      _mm256_min_ps(_mm256_set1_ps(7.90531110763549805f), x));
    __m256 s = _mm256_mul_ps(x, x);
    __m256 p = _mm256_set1_ps(-2.76076847742355e-16f);
    p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(2.00018790482477e-13f));
    p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(-8.60467152213735e-11f));
    p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(5.12229709037114e-08f));
    p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(1.48572235717979e-05f));
    p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(6.37261928875436e-04f));
    p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(4.89352455891786e-03f));
    __m256 q = _mm256_set1_ps(1.19825839466702e-06f);
    q = _mm256_fmadd_ps(q, s, _mm256_set1_ps(1.18534705686654e-04f));
    q = _mm256_fmadd_ps(q, s, _mm256_set1_ps(2.26843463243900e-03f));
    q = _mm256_fmadd_ps(q, s, _mm256_set1_ps(4.89352518554385e-03f));
    return _mm256_div_ps(_mm256_mul_ps(x, p), q);
}

/* The error function, likewise rational; 1 where that is the nearest float. */
LTLM_INLINE __m256 ltlm__erf8(__m256 x)
{
    __m256 sign = _mm256_and_ps(x, _mm256_set1_ps(-0.0f)), size = _mm256_xor_ps(x, sign);
    __m256 far = _mm256_cmp_ps(size, _mm256_set1_ps(3.9192059f), _CMP_GT_OQ);
    x = _mm256_max_ps(_mm256_set1_ps(-4.0f), _mm256_min_ps(_mm256_set1_ps(4.0f), x));
    __m256 s = _mm256_mul_ps(x, x);
    __m256 p = _mm256_set1_ps(-2.72614225801306e-10f);
    p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(2.77068142495902e-08f));
    p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(-2.10102402082508e-06f));
    p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(-5.69250639462346e-05f));
    p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(-7.34990630326855e-04f));
    p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(-2.95459980854025e-03f));
    p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(-1.60960333262415e-02f));
    __m256 q = _mm256_set1_ps(-1.45660718464996e-05f);
    q = _mm256_fmadd_ps(q, s, _mm256_set1_ps(-2.13374055278905e-04f));
    q = _mm256_fmadd_ps(q, s, _mm256_set1_ps(-1.68282697438203e-03f));
    q = _mm256_fmadd_ps(q, s, _mm256_set1_ps(-7.37332916720468e-03f));
    q = _mm256_fmadd_ps(q, s, _mm256_set1_ps(-1.42647390514189e-02f));
    __m256 near = _mm256_div_ps(_mm256_mul_ps(x, p), q);
    return _mm256_blendv_ps(near, _mm256_or_ps(sign, _mm256_set1_ps(1.0f)), far);
}

LTLM_TARGET_END

#endif /* x86-64 */

#endif /* LTLM_KERNELS_AVX2_H */
