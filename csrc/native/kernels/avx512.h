/* avx512.h - what the tables for 512-bit vectors share: "avx512" and "avx512-bf16".
 *
 * Sources that include this are compiled with the flags of all others and switch the instructions on for
 * themselves, so inline functions here can be called from nowhere else. Threads: as in kernels.h.
 */
#ifndef LTLM_KERNELS_AVX512_H
#define LTLM_KERNELS_AVX512_H

#include "../kernels.h"

#if defined(_M_X64) || (defined(__x86_64__) && defined(__GNUC__))
#define LTLM_HAS_AVX512 1

#include <immintrin.h>

#define LTLM_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define LTLM_TARGET_BEGIN(features)                                                                          \
    LTLM_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define LTLM_TARGET_END LTLM_PRAGMA(clang attribute pop)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define LTLM_UNROLL(count) LTLM_PRAGMA(clang loop unroll(disable)) /* minutes of compiling otherwise */
#else
#define LTLM_UNROLL(count) LTLM_PRAGMA(clang loop unroll_count(count))
#endif
#elif defined(__GNUC__)
#define LTLM_TARGET_BEGIN(features) LTLM_PRAGMA(GCC push_options) LTLM_PRAGMA(GCC target(features))
#define LTLM_TARGET_END LTLM_PRAGMA(GCC pop_options)
#define LTLM_UNROLL(count) LTLM_PRAGMA(GCC unroll count)
#else
#define LTLM_TARGET_BEGIN(features)
#define LTLM_TARGET_END
#define LTLM_UNROLL(count)
#endif

#if defined(__GNUC__)
#define LTLM_INLINE static inline __attribute__((always_inline))
#else
#define LTLM_INLINE static __forceinline
#endif

#define LTLM_AVX512 "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"

enum { LTLM_GROUP = 16 /* weight rows whose products are finished together */ };

/* ---- avx512_panels.c ---- */

size_t ltlm__avx512_activation_bytes(int32_t format, int32_t rows, int32_t columns);
void ltlm__avx512_prepare(int32_t format, const ltlm_activations *a, int32_t row);

/* ---- avx512_integers.c: INT8, INT4, INT2 ---- */

size_t ltlm__avx512_integer_scratch(int32_t format, int32_t columns);
void ltlm__avx512_integer_multiply(const ltlm_weights *w, const ltlm_activations *a, int32_t from, int32_t to,
                                   const float *bias, float *out, size_t stride, void *scratch);
bool ltlm__avx512_sum_weights(const ltlm_weights *w, int32_t from, int32_t to, int32_t *sums);

/* ---- avx512_blocks.c: INT4_BLOCK ---- */

size_t ltlm__avx512_block_scratch(int32_t columns);
void ltlm__avx512_block_multiply(const ltlm_weights *w, const ltlm_activations *a, int32_t from, int32_t to,
                                 const float *bias, float *out, size_t stride, void *scratch);

/* ---- avx512_floats.c: FLOAT32, and all formats with float activations ---- */

size_t ltlm__avx512_float_scratch(int32_t columns);
void ltlm__avx512_float_multiply(const ltlm_weights *w, const ltlm_activations *a, int32_t from, int32_t to,
                                 const float *bias, float *out, size_t stride, void *scratch);
void ltlm__avx512_embed(const ltlm_weights *table, int32_t row, float factor, float *out);

/* ---- avx512_attend.c, avx512_bf16.c ---- */

void ltlm__avx512_store_key(const float *key, int32_t head_dim, bool wide, uint8_t *page, int32_t slot);
void ltlm__avx512_store_value(const float *value, int32_t head_dim, bool wide, uint8_t *page, int32_t slot);
size_t ltlm__avx512_attend_scratch(int32_t positions, int32_t head_dim);
void ltlm__avx512_attend(const ltlm_attention *job);
void ltlm__avx512_bf16_attend(const ltlm_attention *job);

/* ---- avx512_rows.c ---- */

void ltlm__avx512_rms_norm(const float *x, const float *weight, int32_t n, float epsilon, float *out);
void ltlm__avx512_rope(const float *x, const float *cosine, const float *sine, int32_t head_dim, float *out);
void ltlm__avx512_gate(int32_t activation, const float *x, const float *y, int32_t n, float *out);
void ltlm__avx512_unary(int32_t function, const float *x, int32_t n, float *out);
void ltlm__avx512_add(const float *x, const float *y, int32_t n, float *out);
void ltlm__avx512_mul(const float *x, const float *y, int32_t n, float *out);
void ltlm__avx512_softmax(const float *x, int32_t n, float *out);
int32_t ltlm__avx512_argmax(const float *x, int32_t n);
float ltlm__avx512_log_sum_exp(const float *x, int32_t n);

/* ---- vectors ---- */

LTLM_TARGET_BEGIN(LTLM_AVX512)

/* The first `n` of 16 or 64 lanes; all if n is greater. */
LTLM_INLINE __mmask16 ltlm__lanes16(int32_t n)
{
    return n >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1);
}

LTLM_INLINE __mmask64 ltlm__lanes64(size_t n)
{
    return n >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << n) - 1;
}

/* Lane n of the result: the sum of the lanes of v[n]. */
LTLM_INLINE __m512i ltlm__sum_each(const __m512i *v)
{
    __m512i quads[4];
    LTLM_UNROLL(4)
    for (int q = 0; q < 4; q++) {
        const __m512i *p = v + 4 * q;
        __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(p[0], p[1]), _mm512_unpackhi_epi32(p[0], p[1]));
        __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(p[2], p[3]), _mm512_unpackhi_epi32(p[2], p[3]));
        quads[q] = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    }
    __m512i low = _mm512_add_epi32(_mm512_shuffle_i32x4(quads[0], quads[1], 0x44),
                                   _mm512_shuffle_i32x4(quads[0], quads[1], 0xee));
    __m512i high = _mm512_add_epi32(_mm512_shuffle_i32x4(quads[2], quads[3], 0x44),
                                    _mm512_shuffle_i32x4(quads[2], quads[3], 0xee));
    return _mm512_add_epi32(_mm512_shuffle_i32x4(low, high, 0x88), _mm512_shuffle_i32x4(low, high, 0xdd));
}

/* 16 by 16. */
LTLM_INLINE void ltlm__transpose(__m512i *v)
{
    __m512i t[16];
    LTLM_UNROLL(8)
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    LTLM_UNROLL(4)
    for (int i = 0; i < 16; i += 4) {
        v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    LTLM_UNROLL(4)
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0xdd);
    }
    LTLM_UNROLL(4)
    for (int i = 0; i < 4; i++) {
        v[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        v[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        v[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        v[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

/* As ltlm__sum_each, of floats: always added in the same order. */
LTLM_INLINE __m512 ltlm__sum_each_float(const __m512 *v)
{
    __m512 quads[4];
    LTLM_UNROLL(4)
    for (int q = 0; q < 4; q++) {
        const __m512 *p = v + 4 * q;
        __m512d a =
            _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(p[0], p[1]), _mm512_unpackhi_ps(p[0], p[1])));
        __m512d b =
            _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(p[2], p[3]), _mm512_unpackhi_ps(p[2], p[3])));
        quads[q] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
                                 _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    }
    __m512 low = _mm512_add_ps(_mm512_shuffle_f32x4(quads[0], quads[1], 0x44),
                               _mm512_shuffle_f32x4(quads[0], quads[1], 0xee));
    __m512 high = _mm512_add_ps(_mm512_shuffle_f32x4(quads[2], quads[3], 0x44),
                                _mm512_shuffle_f32x4(quads[2], quads[3], 0xee));
    return _mm512_add_ps(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));
}

/* Products of up to LTLM_GROUP weight rows with one row of activations: out = sums * factor * scales + bias.
 * */
LTLM_INLINE void ltlm__finish(__m512 sums, float factor, __m512 scales, const float *bias, __mmask16 lanes,
                              float *out)
{
    __m512 product = _mm512_mul_ps(_mm512_mul_ps(sums, _mm512_set1_ps(factor)), scales);
    if (bias) {
        product = _mm512_add_ps(product, _mm512_maskz_loadu_ps(lanes, bias));
    }
    _mm512_mask_storeu_ps(out, lanes, product);
}

/* exp within 2 ulp, with denormals, 0 and infinity where they belong; NaN stays. Coefficients: Cephes' expf.
 * */
LTLM_INLINE __m512 ltlm__exp16(__m512 x)
{
    /* In this order of operands minimum and maximum let NaN pass. */
    x = _mm512_max_ps(_mm512_set1_ps(-105.0f), _mm512_min_ps(_mm512_set1_ps(89.0f), x));
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504088896341f)), 8);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
    __m512 p = _mm512_set1_ps(1.9875691500e-4f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3981999507e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3334519073e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1665795894e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666665459e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.0000001201e-1f));
    p = _mm512_fmadd_ps(p, _mm512_mul_ps(r, r), _mm512_add_ps(r, _mm512_set1_ps(1.0f)));
    return _mm512_scalef_ps(p, n);
}

/* The rational approximation that Eigen made popular; within 4 ulp. NaN stays. */
LTLM_INLINE __m512 ltlm__tanh16(__m512 x)
{
    __m512 limit = _mm512_set1_ps(7.90531110763549805f);
    x = _mm512_max_ps(_mm512_sub_ps(_mm512_setzero_ps(), limit), _mm512_min_ps(limit, x));
    __m512 s = _mm512_mul_ps(x, x);
    __m512 p = _mm512_set1_ps(-2.76076847742355e-16f);
    p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(2.00018790482477e-13f));
    p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(-8.60467152213735e-11f));
    p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(5.12229709037114e-08f));
    p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(1.48572235717979e-05f));
    p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(6.37261928875436e-04f));
    p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(4.89352455891786e-03f));
    __m512 q = _mm512_set1_ps(1.19825839466702e-06f);
    q = _mm512_fmadd_ps(q, s, _mm512_set1_ps(1.18534705686654e-04f));
    q = _mm512_fmadd_ps(q, s, _mm512_set1_ps(2.26843463243900e-03f));
    q = _mm512_fmadd_ps(q, s, _mm512_set1_ps(4.89352518554385e-03f));
    return _mm512_div_ps(_mm512_mul_ps(x, p), q);
}

LTLM_TARGET_END

#endif /* x86-64 */

#endif /* LTLM_KERNELS_AVX512_H */
