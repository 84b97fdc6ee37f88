/* avx512_rows.c - row arithmetic in vectors of 16. */
#include "avx512.h"

#ifdef LTLM_HAS_AVX512

#include <math.h>

#include "portable.h"

LTLM_TARGET_BEGIN(LTLM_AVX512)

void ltlm__avx512_rms_norm(const float *x, const float *weight, int32_t n, float epsilon, float *out)
{
    __m512 a = _mm512_setzero_ps(), b = a;
    int32_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m512 v = _mm512_loadu_ps(x + i), u = _mm512_loadu_ps(x + i + 16);
        a = _mm512_fmadd_ps(v, v, a);
        b = _mm512_fmadd_ps(u, u, b);
    }
    for (; i < n; i += 16) {
        __m512 v = _mm512_maskz_loadu_ps(ltlm__lanes16(n - i), x + i);
        a = _mm512_fmadd_ps(v, v, a);
    }
    float mean = _mm512_reduce_add_ps(_mm512_add_ps(a, b)) / (float)n;
    __m512 factor = _mm512_set1_ps(1.0f / sqrtf(mean + epsilon));
    for (i = 0; i < n; i += 16) {
        __mmask16 lanes = ltlm__lanes16(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, x + i), factor);
        if (weight) {
            v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(lanes, weight + i));
        }
        _mm512_mask_storeu_ps(out + i, lanes, v);
    }
}

void ltlm__avx512_rope(const float *x, const float *cosine, const float *sine, int32_t head_dim, float *out)
{
    int32_t half = head_dim / 2;
    for (int32_t i = 0; i < half; i += 16) {
        __mmask16 lanes = ltlm__lanes16(half - i);
        __m512 first = _mm512_maskz_loadu_ps(lanes, x + i),
               second = _mm512_maskz_loadu_ps(lanes, x + half + i);
        __m512 a = _mm512_mul_ps(second, _mm512_maskz_loadu_ps(lanes, sine + i));
        __m512 b = _mm512_mul_ps(first, _mm512_maskz_loadu_ps(lanes, sine + half + i));
        a = _mm512_fmsub_ps(first, _mm512_maskz_loadu_ps(lanes, cosine + i), a);
        b = _mm512_fmadd_ps(second, _mm512_maskz_loadu_ps(lanes, cosine + half + i), b);
        _mm512_mask_storeu_ps(out + i, lanes, a);
        _mm512_mask_storeu_ps(out + half + i, lanes, b);
    }
}

/* ---- functions of one number ---- */

LTLM_INLINE __m512 sigmoid(__m512 x)
{
    __m512 one = _mm512_set1_ps(1.0f);
    return _mm512_div_ps(one, _mm512_add_ps(one, ltlm__exp16(_mm512_sub_ps(_mm512_setzero_ps(), x))));
}

/* The error function, by the rational approximation that Eigen made popular. NaN stays. */
LTLM_INLINE __m512 erf16(__m512 x)
{
    x = _mm512_max_ps(_mm512_set1_ps(-4.0f), _mm512_min_ps(_mm512_set1_ps(4.0f), x));
    __m512 s = _mm512_mul_ps(x, x);
    __m512 p = _mm512_set1_ps(-2.72614225801306e-10f);
    p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(2.77068142495902e-08f));
    p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(-2.10102402082508e-06f));
    p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(-5.69250639462346e-05f));
    p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(-7.34990630326855e-04f));
    p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(-2.95459980854025e-03f));
    p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(-1.60960333262415e-02f));
    __m512 q = _mm512_set1_ps(-1.45660718464996e-05f);
    q = _mm512_fmadd_ps(q, s, _mm512_set1_ps(-2.13374055278905e-04f));
    q = _mm512_fmadd_ps(q, s, _mm512_set1_ps(-1.68282697438203e-03f));
    q = _mm512_fmadd_ps(q, s, _mm512_set1_ps(-7.37332916720468e-03f));
    q = _mm512_fmadd_ps(q, s, _mm512_set1_ps(-1.42647390514189e-02f));
    return _mm512_div_ps(_mm512_mul_ps(x, p), q);
}

LTLM_INLINE __m512 gelu(__m512 x)
{
    __m512 half = _mm512_mul_ps(x, _mm512_set1_ps(0.5f));
    return _mm512_fmadd_ps(half, erf16(_mm512_mul_ps(x, _mm512_set1_ps(0.70710678118654752f))), half);
}

/* 0.5 * (1 + tanh(u)) is sigmoid(2 * u), which keeps its digits where tanh comes near -1. */
LTLM_INLINE __m512 gelu_tanh(__m512 x)
{
    const float twice = 2.0f * 0.79788456080286536f;
    __m512 square = _mm512_mul_ps(x, x);
    __m512 factor = _mm512_fmadd_ps(square, _mm512_set1_ps(twice * 0.044715f), _mm512_set1_ps(twice));
    return _mm512_mul_ps(x, sigmoid(_mm512_mul_ps(x, factor)));
}

LTLM_INLINE __m512 activate(int32_t activation, __m512 x)
{
    switch (activation) {
    case LTLM_SILU: return _mm512_mul_ps(x, sigmoid(x));
    case LTLM_GELU: return gelu(x);
    case LTLM_GELU_TANH: return gelu_tanh(x);
    case LTLM_SIGMOID: return sigmoid(x);
    case LTLM_RELU: return _mm512_max_ps(x, _mm512_setzero_ps());
    default: return x;
    }
}

LTLM_INLINE void gate_by(int32_t activation, const float *x, const float *y, int32_t n, float *out)
{
    for (int32_t i = 0; i < n; i += 16) {
        __mmask16 lanes = ltlm__lanes16(n - i);
        __m512 v = activate(activation, _mm512_maskz_loadu_ps(lanes, x + i));
        _mm512_mask_storeu_ps(out + i, lanes, _mm512_mul_ps(v, _mm512_maskz_loadu_ps(lanes, y + i)));
    }
}

void ltlm__avx512_gate(int32_t activation, const float *x, const float *y, int32_t n, float *out)
{
    switch (activation) {
    case LTLM_SILU: gate_by(LTLM_SILU, x, y, n, out); break;
    case LTLM_GELU: gate_by(LTLM_GELU, x, y, n, out); break;
    case LTLM_GELU_TANH: gate_by(LTLM_GELU_TANH, x, y, n, out); break;
    case LTLM_SIGMOID: gate_by(LTLM_SIGMOID, x, y, n, out); break;
    case LTLM_RELU: gate_by(LTLM_RELU, x, y, n, out); break;
    default: gate_by(0, x, y, n, out); break;
    }
}

LTLM_INLINE __m512 apply(int32_t function, __m512 x)
{
    switch (function) {
    case LTLM_NEG: return _mm512_xor_ps(x, _mm512_set1_ps(-0.0f));
    case LTLM_ABS: return _mm512_abs_ps(x);
    case LTLM_EXP: return ltlm__exp16(x);
    case LTLM_SQRT: return _mm512_sqrt_ps(x);
    case LTLM_RSQRT: return _mm512_div_ps(_mm512_set1_ps(1.0f), _mm512_sqrt_ps(x));
    case LTLM_SQUARE: return _mm512_mul_ps(x, x);
    case LTLM_TANH: return ltlm__tanh16(x);
    case LTLM_LOGISTIC: return sigmoid(x);
    case LTLM_ACT_SILU: return activate(LTLM_SILU, x);
    case LTLM_ACT_GELU: return activate(LTLM_GELU, x);
    case LTLM_ACT_GELU_TANH: return activate(LTLM_GELU_TANH, x);
    case LTLM_ACT_RELU: return activate(LTLM_RELU, x);
    case LTLM_FLOOR: return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    case LTLM_ROUND: return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    default: return x;
    }
}

LTLM_INLINE void unary_by(int32_t function, const float *x, int32_t n, float *out)
{
    for (int32_t i = 0; i < n; i += 16) {
        __mmask16 lanes = ltlm__lanes16(n - i);
        _mm512_mask_storeu_ps(out + i, lanes, apply(function, _mm512_maskz_loadu_ps(lanes, x + i)));
    }
}

void ltlm__avx512_unary(int32_t function, const float *x, int32_t n, float *out)
{
    switch (function) {
    case LTLM_NEG: unary_by(LTLM_NEG, x, n, out); break;
    case LTLM_ABS: unary_by(LTLM_ABS, x, n, out); break;
    case LTLM_EXP: unary_by(LTLM_EXP, x, n, out); break;
    case LTLM_SQRT: unary_by(LTLM_SQRT, x, n, out); break;
    case LTLM_RSQRT: unary_by(LTLM_RSQRT, x, n, out); break;
    case LTLM_SQUARE: unary_by(LTLM_SQUARE, x, n, out); break;
    case LTLM_TANH: unary_by(LTLM_TANH, x, n, out); break;
    case LTLM_LOGISTIC: unary_by(LTLM_LOGISTIC, x, n, out); break;
    case LTLM_ACT_SILU: unary_by(LTLM_ACT_SILU, x, n, out); break;
    case LTLM_ACT_GELU: unary_by(LTLM_ACT_GELU, x, n, out); break;
    case LTLM_ACT_GELU_TANH: unary_by(LTLM_ACT_GELU_TANH, x, n, out); break;
    case LTLM_ACT_RELU: unary_by(LTLM_ACT_RELU, x, n, out); break;
    case LTLM_FLOOR: unary_by(LTLM_FLOOR, x, n, out); break;
    case LTLM_ROUND: unary_by(LTLM_ROUND, x, n, out); break;
    default: ltlm__portable_unary(function, x, n, out); break; /* logarithm, cosine, sine: rare */
    }
}

void ltlm__avx512_add(const float *x, const float *y, int32_t n, float *out)
{
    for (int32_t i = 0; i < n; i += 16) {
        __mmask16 lanes = ltlm__lanes16(n - i);
        __m512 v = _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, x + i), _mm512_maskz_loadu_ps(lanes, y + i));
        _mm512_mask_storeu_ps(out + i, lanes, v);
    }
}

void ltlm__avx512_mul(const float *x, const float *y, int32_t n, float *out)
{
    for (int32_t i = 0; i < n; i += 16) {
        __mmask16 lanes = ltlm__lanes16(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, x + i), _mm512_maskz_loadu_ps(lanes, y + i));
        _mm512_mask_storeu_ps(out + i, lanes, v);
    }
}

/* ---- over a row ---- */

/* The greatest; NaN never; -infinity if there is nothing else. */
static float greatest(const float *x, int32_t n)
{
    __m512 least = _mm512_set1_ps(-INFINITY), a = least, b = least;
    int32_t i = 0;
    for (; i + 32 <= n; i += 32) {
        a = _mm512_max_ps(_mm512_loadu_ps(x + i), a); /* in this order NaN is passed over */
        b = _mm512_max_ps(_mm512_loadu_ps(x + i + 16), b);
    }
    for (; i < n; i += 16) {
        a = _mm512_max_ps(_mm512_mask_loadu_ps(least, ltlm__lanes16(n - i), x + i), a);
    }
    return _mm512_reduce_max_ps(_mm512_max_ps(a, b));
}

void ltlm__avx512_softmax(const float *x, int32_t n, float *out)
{
    __m512 shift = _mm512_set1_ps(greatest(x, n)), sum = _mm512_setzero_ps();
    for (int32_t i = 0; i < n; i += 16) {
        __mmask16 lanes = ltlm__lanes16(n - i);
        __m512 v = ltlm__exp16(_mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, x + i), shift));
        _mm512_mask_storeu_ps(out + i, lanes, v);
        sum = _mm512_mask_add_ps(sum, lanes, sum, v);
    }
    __m512 factor = _mm512_set1_ps(1.0f / _mm512_reduce_add_ps(sum));
    for (int32_t i = 0; i < n; i += 16) {
        __mmask16 lanes = ltlm__lanes16(n - i);
        _mm512_mask_storeu_ps(out + i, lanes, _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, out + i), factor));
    }
}

int32_t ltlm__avx512_argmax(const float *x, int32_t n)
{
    /* First the value, then the place where it is: the row is still in the cache. */
    float wanted = greatest(x, n);
    __m512 all = _mm512_set1_ps(wanted);
    for (int32_t i = 0; i < n; i += 16) {
        __mmask16 lanes = ltlm__lanes16(n - i);
        __mmask16 found =
            _mm512_mask_cmp_ps_mask(lanes, _mm512_maskz_loadu_ps(lanes, x + i), all, _CMP_EQ_OQ);
        if (found) {
            for (int32_t lane = 0;; lane++) {
                if (found >> lane & 1) {
                    return i + lane;
                }
            }
        }
    }
    return 0; /* nothing but NaN */
}

float ltlm__avx512_log_sum_exp(const float *x, int32_t n)
{
    float shift = greatest(x, n);
    if (isinf(shift)) {
        return shift;
    }
    /* Doubles: a vocabulary has a quarter of a million small terms. */
    __m512d a = _mm512_setzero_pd(), b = a;
    for (int32_t i = 0; i < n; i += 16) {
        __mmask16 lanes = ltlm__lanes16(n - i);
        __m512 v = _mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, x + i), _mm512_set1_ps(shift));
        v = _mm512_maskz_mov_ps(lanes, ltlm__exp16(v));
        a = _mm512_add_pd(a, _mm512_cvtps_pd(_mm512_castps512_ps256(v)));
        b = _mm512_add_pd(b, _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1)));
    }
    return shift + (float)log(_mm512_reduce_add_pd(_mm512_add_pd(a, b)));
}

LTLM_TARGET_END

#endif
