/* neon.h - what the tables for ARM share: "neon" and "neon-i8mm".
 *
 * Sources are compiled with the flags of all others; those that need more than ARMv8.0 switch it on for
 * themselves. Threads: as in kernels.h.
 */
#ifndef LTLM_KERNELS_NEON_H
#define LTLM_KERNELS_NEON_H

#include "formats.h"

#if defined(__aarch64__) && defined(__GNUC__)
#define LTLM_HAS_NEON 1

#include <arm_neon.h>

/* clang's arm_neon.h has only what the command line allows, before version 16. */
#if defined(__ARM_FEATURE_DOTPROD) || !defined(__clang__) || __clang_major__ >= 16
#define LTLM_HAS_DOTPROD 1
#endif
#if defined(__ARM_FEATURE_MATMUL_INT8) || (!defined(__clang__) && __GNUC__ >= 10) || __clang_major__ >= 16
#define LTLM_HAS_I8MM 1
#endif

#define LTLM_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define LTLM_TARGET_BEGIN(features) \
    LTLM_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define LTLM_TARGET_END LTLM_PRAGMA(clang attribute pop)
#define LTLM_UNROLL LTLM_PRAGMA(unroll)
#define LTLM_DOTPROD "dotprod"
#define LTLM_I8MM_TOO "dotprod,i8mm"
#else
#define LTLM_TARGET_BEGIN(features) LTLM_PRAGMA(GCC push_options) LTLM_PRAGMA(GCC target(features))
#define LTLM_TARGET_END LTLM_PRAGMA(GCC pop_options)
#define LTLM_UNROLL LTLM_PRAGMA(GCC unroll 16)
/* gcc wants the architecture raised too, but not lowered from what the command line says. */
#if defined(__ARM_FEATURE_DOTPROD)
#define LTLM_DOTPROD "+dotprod"
#define LTLM_I8MM_TOO "+dotprod+i8mm"
#else
#define LTLM_DOTPROD "arch=armv8.2-a+dotprod"
#define LTLM_I8MM_TOO "arch=armv8.2-a+dotprod+i8mm"
#endif
#endif

#define LTLM_INLINE static inline __attribute__((always_inline))

/* ---- neon_cpu.c ---- */

bool ltlm__has_dotprod(void);
bool ltlm__has_i8mm(void);

/* ---- neon_float.c ---- */

/* multiply for float activations, and for FLOAT32. The activations are read where they are. */
size_t ltlm__neon_float_scratch(int32_t columns);
void ltlm__neon_float_multiply(const ltlm_weights *w, const ltlm_activations *a, int32_t from, int32_t to,
                               const float *bias, float *out, size_t stride, void *scratch);
void ltlm__neon_embed(const ltlm_weights *table, int32_t row, float factor, float *out);

/* ---- neon_attend.c ---- */

void ltlm__neon_store_key(const float *key, int32_t head_dim, bool wide, uint8_t *page, int32_t slot);
void ltlm__neon_store_value(const float *value, int32_t head_dim, bool wide, uint8_t *page, int32_t slot);
size_t ltlm__neon_attend_scratch(int32_t positions, int32_t head_dim);
void ltlm__neon_attend(const ltlm_attention *job);

/* ---- neon_rows.c ---- */

void ltlm__neon_rms_norm(const float *x, const float *weight, int32_t n, float epsilon, float *out);
void ltlm__neon_rope(const float *x, const float *cosine, const float *sine, int32_t head_dim, float *out);
void ltlm__neon_gate(int32_t activation, const float *x, const float *y, int32_t n, float *out);
void ltlm__neon_unary(int32_t function, const float *x, int32_t n, float *out);
void ltlm__neon_add(const float *x, const float *y, int32_t n, float *out);
void ltlm__neon_mul(const float *x, const float *y, int32_t n, float *out);
void ltlm__neon_softmax(const float *x, int32_t n, float *out);
int32_t ltlm__neon_argmax(const float *x, int32_t n);
float ltlm__neon_log_sum_exp(const float *x, int32_t n);

/* ---- vectors of 4 ---- */

/* `n` of 4 floats, then `fill`: reads nothing beyond. */
LTLM_INLINE float32x4_t ltlm__load_some(const float *x, int32_t n, float fill)
{
    if (n >= 4) {
        return vld1q_f32(x);
    }
    float some[4] = {fill, fill, fill, fill};
    memcpy(some, x, (size_t)n * sizeof *x);
    return vld1q_f32(some);
}

LTLM_INLINE void ltlm__store_some(float *out, int32_t n, float32x4_t v)
{
    if (n >= 4) {
        vst1q_f32(out, v);
        return;
    }
    float some[4];
    vst1q_f32(some, v);
    memcpy(out, some, (size_t)n * sizeof *out);
}

/* exp within 2 ulp, with denormals, 0 and infinity where they belong; NaN stays. Coefficients: Cephes. */
LTLM_INLINE float32x4_t ltlm__exp4(float32x4_t x)
{
    x = vmaxq_f32(vdupq_n_f32(-104.0f), vminq_f32(vdupq_n_f32(89.0f), x));
    float32x4_t n = vrndnq_f32(vmulq_n_f32(x, 1.44269504088896341f));
    float32x4_t r = vfmsq_n_f32(vfmsq_n_f32(x, n, 0.693359375f), n, -2.12194440e-4f);
    float32x4_t p = vdupq_n_f32(1.9875691500e-4f);
    p = vfmaq_f32(vdupq_n_f32(1.3981999507e-3f), p, r);
    p = vfmaq_f32(vdupq_n_f32(8.3334519073e-3f), p, r);
    p = vfmaq_f32(vdupq_n_f32(4.1665795894e-2f), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.6666665459e-1f), p, r);
    p = vfmaq_f32(vdupq_n_f32(5.0000001201e-1f), p, r);
    p = vfmaq_f32(vaddq_f32(r, vdupq_n_f32(1.0f)), p, vmulq_f32(r, r));
    /* 2^n in two factors: n reaches from the smallest denormal to beyond the greatest float. */
    int32x4_t whole = vcvtq_s32_f32(n), half = vshrq_n_s32(whole, 1), bias = vdupq_n_s32(127);
    int32x4_t first = vshlq_n_s32(vaddq_s32(half, bias), 23);
    int32x4_t second = vshlq_n_s32(vaddq_s32(vsubq_s32(whole, half), bias), 23);
    return vmulq_f32(vmulq_f32(p, vreinterpretq_f32_s32(first)), vreinterpretq_f32_s32(second));
}

LTLM_INLINE float32x4_t ltlm__sigmoid4(float32x4_t x)
{
    float32x4_t one = vdupq_n_f32(1.0f);
    return vdivq_f32(one, vaddq_f32(one, ltlm__exp4(vnegq_f32(x))));
}

/* p[0] * s^(n - 1) + .. + p[n - 1] */
LTLM_INLINE float32x4_t ltlm__polynomial4(const float *p, int n, float32x4_t s)
{
    float32x4_t sum = vdupq_n_f32(p[0]);
    LTLM_UNROLL
    for (int i = 1; i < n; i++) {
        sum = vfmaq_f32(vdupq_n_f32(p[i]), sum, s);
    }
    return sum;
}

/* The rational approximation that Eigen made popular; within 5 ulp. */
LTLM_INLINE float32x4_t ltlm__tanh4(float32x4_t x)
{
    static const float p[] = {-2.76076847742355e-16f, 2.00018790482477e-13f, -8.60467152213735e-11f,
                              5.12229709037114e-08f,  1.48572235717979e-05f, 6.37261928875436e-04f,
                              4.89352455891786e-03f};
    static const float q[] = {1.19825839466702e-06f, 1.18534705686654e-04f, 2.26843463243900e-03f,
                              4.89352518554385e-03f};
    float32x4_t most = vdupq_n_f32(7.90531110763549805f);
    x = vmaxq_f32(vnegq_f32(most), vminq_f32(most, x));
    float32x4_t s = vmulq_f32(x, x);
    return vdivq_f32(vmulq_f32(x, ltlm__polynomial4(p, 7, s)), ltlm__polynomial4(q, 4, s));
}

/* The error function, likewise rational; 1 where that is the nearest float. */
LTLM_INLINE float32x4_t ltlm__erf4(float32x4_t x)
{
    static const float p[] = {-2.72614225801306e-10f, 2.77068142495902e-08f,  -2.10102402082508e-06f,
                              -5.69250639462346e-05f, -7.34990630326855e-04f, -2.95459980854025e-03f,
                              -1.60960333262415e-02f};
    static const float q[] = {-1.45660718464996e-05f, -2.13374055278905e-04f, -1.68282697438203e-03f,
                              -7.37332916720468e-03f, -1.42647390514189e-02f};
    uint32x4_t sign = vandq_u32(vreinterpretq_u32_f32(x), vdupq_n_u32(0x80000000)), far;
    far = vcgtq_f32(vabsq_f32(x), vdupq_n_f32(3.9192059f));
    float32x4_t one = vreinterpretq_f32_u32(vorrq_u32(sign, vreinterpretq_u32_f32(vdupq_n_f32(1.0f))));
    x = vmaxq_f32(vdupq_n_f32(-4.0f), vminq_f32(vdupq_n_f32(4.0f), x));
    float32x4_t s = vmulq_f32(x, x);
    float32x4_t near = vdivq_f32(vmulq_f32(x, ltlm__polynomial4(p, 7, s)), ltlm__polynomial4(q, 5, s));
    return vbslq_f32(far, one, near);
}

#endif /* aarch64 */

#endif /* LTLM_KERNELS_NEON_H */
