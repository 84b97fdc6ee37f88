/* avx2_rows.c - row arithmetic in vectors of 8. A tail is a vector with lanes that nobody reads. */
#include "avx2.h"
#include "portable.h"

#ifdef LTLM_HAS_AVX2

LTLM_TARGET_BEGIN("avx2,fma,f16c")

/* The last `n` < 8 elements, and 0. */
LTLM_INLINE __m256 load_tail(const float *x, int32_t n)
{
    return _mm256_maskload_ps(x, ltlm__lanes(n));
}

LTLM_INLINE void store_tail(float *out, int32_t n, __m256 v)
{
    _mm256_maskstore_ps(out, ltlm__lanes(n), v);
}

void ltlm__avx2_rms_norm(const float *x, const float *weight, int32_t n, float epsilon, float *out)
{
    __m256 a = _mm256_setzero_ps(), b = a;
    int32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 v = _mm256_loadu_ps(x + i), u = _mm256_loadu_ps(x + i + 8);
        a = _mm256_fmadd_ps(v, v, a);
        b = _mm256_fmadd_ps(u, u, b);
    }
    for (; i < n; i += 8) {
        __m256 v = load_tail(x + i, n - i);
        a = _mm256_fmadd_ps(v, v, a);
    }
    float mean = ltlm__sum8(_mm256_add_ps(a, b)) / (float)n;
    __m256 factor = _mm256_set1_ps(1.0f / sqrtf(mean + epsilon));
    for (i = 0; i < n; i += 8) {
        __m256i lanes = ltlm__lanes(n - i);
        __m256 v = _mm256_mul_ps(_mm256_maskload_ps(x + i, lanes), factor);
        if (weight) {
            v = _mm256_mul_ps(v, _mm256_maskload_ps(weight + i, lanes));
        }
        _mm256_maskstore_ps(out + i, lanes, v);
    }
}

void ltlm__avx2_rope(const float *x, const float *cosine, const float *sine, int32_t head_dim, float *out)
{
    int32_t half = head_dim / 2;
    for (int32_t i = 0; i < half; i += 8) {
        __m256i lanes = ltlm__lanes(half - i);
        __m256 u = _mm256_maskload_ps(x + i, lanes), v = _mm256_maskload_ps(x + half + i, lanes);
        __m256 first = _mm256_mul_ps(u, _mm256_maskload_ps(cosine + i, lanes));
        __m256 second = _mm256_mul_ps(v, _mm256_maskload_ps(cosine + half + i, lanes));
        first = _mm256_fnmadd_ps(v, _mm256_maskload_ps(sine + i, lanes), first);
        second = _mm256_fmadd_ps(u, _mm256_maskload_ps(sine + half + i, lanes), second);
        _mm256_maskstore_ps(out + i, lanes, first);
        _mm256_maskstore_ps(out + half + i, lanes, second);
    }
}

LTLM_INLINE __m256 silu8(__m256 x)
{
    return _mm256_mul_ps(x, ltlm__sigmoid8(x));
}

LTLM_INLINE __m256 gelu8(__m256 x)
{
    __m256 half = _mm256_mul_ps(x, _mm256_set1_ps(0.5f));
    return _mm256_fmadd_ps(half, ltlm__erf8(_mm256_mul_ps(x, _mm256_set1_ps(0.70710678118654752f))), half);
}

LTLM_INLINE __m256 gelu_tanh8(__m256 x)
{
    const float twice = 1.59576912160573071f; /* the root of 2 / pi; (1 + tanh(x)) / 2 is sigmoid(2 x) */
    __m256 inner =
        _mm256_fmadd_ps(_mm256_mul_ps(x, x), _mm256_set1_ps(0.044715f * twice), _mm256_set1_ps(twice));
    return _mm256_mul_ps(x, ltlm__sigmoid8(_mm256_mul_ps(x, inner)));
}

LTLM_INLINE __m256 relu8(__m256 x)
{
    return _mm256_max_ps(_mm256_setzero_ps(), x);
}

/* out = `expression` of v, which is x. */
#define EACH(expression)                                 \
    do {                                                 \
        int32_t i = 0;                                   \
        for (; i + 8 <= n; i += 8) {                     \
            __m256 v = _mm256_loadu_ps(x + i);           \
            _mm256_storeu_ps(out + i, (expression));     \
        }                                                \
        if (i < n) {                                     \
            __m256 v = load_tail(x + i, n - i);          \
            store_tail(out + i, n - i, (expression));    \
        }                                                \
    } while (0)

/* out = `expression` of v and u, which are x and y. */
#define EACH_PAIR(expression)                                                              \
    do {                                                                                   \
        int32_t i = 0;                                                                     \
        for (; i + 8 <= n; i += 8) {                                                       \
            __m256 v = _mm256_loadu_ps(x + i), u = _mm256_loadu_ps(y + i);                 \
            _mm256_storeu_ps(out + i, (expression));                                       \
        }                                                                                  \
        if (i < n) {                                                                       \
            __m256 v = load_tail(x + i, n - i), u = load_tail(y + i, n - i);               \
            store_tail(out + i, n - i, (expression));                                      \
        }                                                                                  \
    } while (0)

void ltlm__avx2_gate(int32_t activation, const float *x, const float *y, int32_t n, float *out)
{
    switch (activation) {
    case LTLM_SILU: EACH_PAIR(_mm256_mul_ps(silu8(v), u)); return;
    case LTLM_GELU: EACH_PAIR(_mm256_mul_ps(gelu8(v), u)); return;
    case LTLM_GELU_TANH: EACH_PAIR(_mm256_mul_ps(gelu_tanh8(v), u)); return;
    case LTLM_SIGMOID: EACH_PAIR(_mm256_mul_ps(ltlm__sigmoid8(v), u)); return;
    default: EACH_PAIR(_mm256_mul_ps(relu8(v), u)); return;
    }
}

void ltlm__avx2_unary(int32_t function, const float *x, int32_t n, float *out)
{
    __m256 sign = _mm256_set1_ps(-0.0f), one = _mm256_set1_ps(1.0f);
    switch (function) {
    case LTLM_NEG: EACH(_mm256_xor_ps(sign, v)); return;
    case LTLM_ABS: EACH(_mm256_andnot_ps(sign, v)); return;
    case LTLM_EXP: EACH(ltlm__exp8(v)); return;
    case LTLM_SQRT: EACH(_mm256_sqrt_ps(v)); return;
    case LTLM_RSQRT: EACH(_mm256_div_ps(one, _mm256_sqrt_ps(v))); return;
    case LTLM_SQUARE: EACH(_mm256_mul_ps(v, v)); return;
    case LTLM_TANH: EACH(ltlm__tanh8(v)); return;
    case LTLM_LOGISTIC: EACH(ltlm__sigmoid8(v)); return;
    case LTLM_ACT_SILU: EACH(silu8(v)); return;
    case LTLM_ACT_GELU: EACH(gelu8(v)); return;
    case LTLM_ACT_GELU_TANH: EACH(gelu_tanh8(v)); return;
    case LTLM_ACT_RELU: EACH(relu8(v)); return;
    case LTLM_FLOOR: EACH(_mm256_floor_ps(v)); return;
    case LTLM_ROUND: EACH(_mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)); return;
    default: ltlm__portable_unary(function, x, n, out); return; /* log, cos, sin: rare, and short */
    }
}

void ltlm__avx2_add(const float *x, const float *y, int32_t n, float *out)
{
    EACH_PAIR(_mm256_add_ps(v, u));
}

void ltlm__avx2_mul(const float *x, const float *y, int32_t n, float *out)
{
    EACH_PAIR(_mm256_mul_ps(v, u));
}

/* The greatest of x, NaN left out; -infinity if there is none. */
static float greatest(const float *x, int32_t n)
{
    __m256 best = _mm256_set1_ps(-INFINITY);
    int32_t i = 0;
    for (; i + 8 <= n; i += 8) {
        best = _mm256_max_ps(_mm256_loadu_ps(x + i), best); /* the second operand if one is NaN */
    }
    if (i < n) {
        __m256 v = _mm256_blendv_ps(best, load_tail(x + i, n - i), _mm256_castsi256_ps(ltlm__lanes(n - i)));
        best = _mm256_max_ps(v, best);
    }
    return ltlm__max8(best);
}

void ltlm__avx2_softmax(const float *x, int32_t n, float *out)
{
    __m256 top = _mm256_set1_ps(greatest(x, n)), sum = _mm256_setzero_ps();
    for (int32_t i = 0; i < n; i += 8) {
        __m256i lanes = ltlm__lanes(n - i);
        __m256 e = ltlm__exp8(_mm256_sub_ps(_mm256_maskload_ps(x + i, lanes), top));
        _mm256_maskstore_ps(out + i, lanes, e);
        sum = _mm256_add_ps(sum, _mm256_and_ps(e, _mm256_castsi256_ps(lanes)));
    }
    __m256 factor = _mm256_set1_ps(1.0f / ltlm__sum8(sum));
    x = out;
    EACH(_mm256_mul_ps(v, factor));
}

float ltlm__avx2_log_sum_exp(const float *x, int32_t n)
{
    float best = greatest(x, n);
    if (isinf(best)) {
        return best;
    }
    __m256 top = _mm256_set1_ps(best), sum = _mm256_setzero_ps();
    for (int32_t i = 0; i < n; i += 8) {
        __m256i lanes = ltlm__lanes(n - i);
        __m256 e = ltlm__exp8(_mm256_sub_ps(_mm256_maskload_ps(x + i, lanes), top));
        sum = _mm256_add_ps(sum, _mm256_and_ps(e, _mm256_castsi256_ps(lanes)));
    }
    return best + logf(ltlm__sum8(sum));
}

int32_t ltlm__avx2_argmax(const float *x, int32_t n)
{
    __m256 best = _mm256_set1_ps(greatest(x, n));
    for (int32_t i = 0; i < n; i += 8) {
        __m256i lanes = ltlm__lanes(n - i);
        __m256 same = _mm256_cmp_ps(_mm256_maskload_ps(x + i, lanes), best, _CMP_EQ_OQ);
        int mask = _mm256_movemask_ps(_mm256_and_ps(same, _mm256_castsi256_ps(lanes)));
        for (int32_t j = 0; mask >> j; j++) {
            if (mask >> j & 1) {
                return i + j;
            }
        }
    }
    return 0;
}

LTLM_TARGET_END

#endif
