/* neon_rows.c - row arithmetic in vectors of 4. */
#include "neon.h"
#include "portable.h"

#ifdef LTLM_HAS_NEON

/* (0+1) + (2+3) of the sum of four accumulators: element i went to accumulator i / 4 % 4. */
LTLM_INLINE float sum16(const float32x4_t v[4])
{
    return vaddvq_f32(vaddq_f32(vaddq_f32(v[0], v[2]), vaddq_f32(v[1], v[3])));
}

void ltlm__neon_rms_norm(const float *x, const float *weight, int32_t n, float epsilon, float *out)
{
    float32x4_t sums[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    for (int32_t i = 0; i < n; i += 16) {
        LTLM_UNROLL
        for (int32_t j = 0; j < 4; j++) {
            if (i + j * 4 < n) {
                float32x4_t v = ltlm__load_some(x + i + j * 4, n - i - j * 4, 0);
                sums[j] = vfmaq_f32(sums[j], v, v);
            }
        }
    }
    float factor = 1.0f / sqrtf(sum16(sums) / (float)n + epsilon);
    for (int32_t i = 0; i < n; i += 4) {
        float32x4_t v = vmulq_n_f32(ltlm__load_some(x + i, n - i, 0), factor);
        if (weight) {
            v = vmulq_f32(v, ltlm__load_some(weight + i, n - i, 0));
        }
        ltlm__store_some(out + i, n - i, v);
    }
}

void ltlm__neon_rope(const float *x, const float *cosine, const float *sine, int32_t head_dim, float *out)
{
    int32_t half = head_dim / 2;
    for (int32_t i = 0; i < half; i += 4) {
        int32_t n = half - i;
        float32x4_t u = ltlm__load_some(x + i, n, 0), v = ltlm__load_some(x + half + i, n, 0);
        float32x4_t first = vmulq_f32(u, ltlm__load_some(cosine + i, n, 0));
        float32x4_t second = vmulq_f32(v, ltlm__load_some(cosine + half + i, n, 0));
        first = vfmsq_f32(first, v, ltlm__load_some(sine + i, n, 0));
        second = vfmaq_f32(second, u, ltlm__load_some(sine + half + i, n, 0));
        ltlm__store_some(out + i, n, first);
        ltlm__store_some(out + half + i, n, second);
    }
}

LTLM_INLINE float32x4_t silu4(float32x4_t x)
{
    return vmulq_f32(x, ltlm__sigmoid4(x));
}

LTLM_INLINE float32x4_t gelu4(float32x4_t x)
{
    float32x4_t half = vmulq_n_f32(x, 0.5f);
    return vfmaq_f32(half, half, ltlm__erf4(vmulq_n_f32(x, 0.70710678118654752f)));
}

LTLM_INLINE float32x4_t gelu_tanh4(float32x4_t x)
{
    const float twice = 1.59576912160573071f; /* the root of 2 / pi; (1 + tanh(x)) / 2 is sigmoid(2 x) */
    float32x4_t inner = vfmaq_n_f32(vdupq_n_f32(twice), vmulq_f32(x, x), 0.044715f * twice);
    return vmulq_f32(x, ltlm__sigmoid4(vmulq_f32(x, inner)));
}

LTLM_INLINE float32x4_t relu4(float32x4_t x)
{
    return vbslq_f32(vcgtq_f32(x, vdupq_n_f32(0)), x, vdupq_n_f32(0));
}

/* out = `expression` of v, which is x. */
#define EACH(expression)                                       \
    for (int32_t i = 0; i < n; i += 4) {                       \
        float32x4_t v = ltlm__load_some(x + i, n - i, 0);      \
        ltlm__store_some(out + i, n - i, (expression));        \
    }

/* out = `expression` of v and u, which are x and y. */
#define EACH_PAIR(expression)                                                                            \
    for (int32_t i = 0; i < n; i += 4) {                                                                 \
        float32x4_t v = ltlm__load_some(x + i, n - i, 0), u = ltlm__load_some(y + i, n - i, 0);          \
        ltlm__store_some(out + i, n - i, (expression));                                                  \
    }

void ltlm__neon_gate(int32_t activation, const float *x, const float *y, int32_t n, float *out)
{
    switch (activation) {
    case LTLM_SILU: EACH_PAIR(vmulq_f32(silu4(v), u)) return;
    case LTLM_GELU: EACH_PAIR(vmulq_f32(gelu4(v), u)) return;
    case LTLM_GELU_TANH: EACH_PAIR(vmulq_f32(gelu_tanh4(v), u)) return;
    case LTLM_SIGMOID: EACH_PAIR(vmulq_f32(ltlm__sigmoid4(v), u)) return;
    default: EACH_PAIR(vmulq_f32(relu4(v), u)) return;
    }
}

void ltlm__neon_unary(int32_t function, const float *x, int32_t n, float *out)
{
    switch (function) {
    case LTLM_NEG: EACH(vnegq_f32(v)) return;
    case LTLM_ABS: EACH(vabsq_f32(v)) return;
    case LTLM_EXP: EACH(ltlm__exp4(v)) return;
    case LTLM_SQRT: EACH(vsqrtq_f32(v)) return;
    case LTLM_RSQRT: EACH(vdivq_f32(vdupq_n_f32(1.0f), vsqrtq_f32(v))) return;
    case LTLM_SQUARE: EACH(vmulq_f32(v, v)) return;
    case LTLM_TANH: EACH(ltlm__tanh4(v)) return;
    case LTLM_LOGISTIC: EACH(ltlm__sigmoid4(v)) return;
    case LTLM_ACT_SILU: EACH(silu4(v)) return;
    case LTLM_ACT_GELU: EACH(gelu4(v)) return;
    case LTLM_ACT_GELU_TANH: EACH(gelu_tanh4(v)) return;
    case LTLM_ACT_RELU: EACH(relu4(v)) return;
    case LTLM_FLOOR: EACH(vrndmq_f32(v)) return;
    case LTLM_ROUND: EACH(vrndnq_f32(v)) return;
    default: ltlm__portable_unary(function, x, n, out); return; /* log, cos, sin: rare, and short */
    }
}

void ltlm__neon_add(const float *x, const float *y, int32_t n, float *out)
{
    EACH_PAIR(vaddq_f32(v, u))
}

void ltlm__neon_mul(const float *x, const float *y, int32_t n, float *out)
{
    EACH_PAIR(vmulq_f32(v, u))
}

/* The greatest of x, NaN left out; -infinity if there is none. */
static float greatest(const float *x, int32_t n)
{
    float32x4_t best = vdupq_n_f32(-INFINITY);
    for (int32_t i = 0; i < n; i += 4) {
        best = vmaxnmq_f32(best, ltlm__load_some(x + i, n - i, -INFINITY));
    }
    return vmaxnmvq_f32(best);
}

/* The sum of exp(x - shift), and in `out` the terms, if it is not NULL. */
LTLM_INLINE float exp_and_sum(const float *x, float shift, int32_t n, float *out)
{
    float32x4_t sum = vdupq_n_f32(0);
    for (int32_t i = 0; i < n; i += 4) {
        float32x4_t v = ltlm__load_some(x + i, n - i, -INFINITY);
        v = ltlm__exp4(vsubq_f32(v, vdupq_n_f32(shift)));
        sum = vaddq_f32(sum, v);
        if (out) {
            ltlm__store_some(out + i, n - i, v);
        }
    }
    return vaddvq_f32(sum);
}

void ltlm__neon_softmax(const float *x, int32_t n, float *out)
{
    float factor = 1.0f / exp_and_sum(x, greatest(x, n), n, out);
    x = out;
    EACH(vmulq_n_f32(v, factor))
}

float ltlm__neon_log_sum_exp(const float *x, int32_t n)
{
    float shift = greatest(x, n);
    return isinf(shift) ? shift : shift + logf(exp_and_sum(x, shift, n, NULL));
}

int32_t ltlm__neon_argmax(const float *x, int32_t n)
{
    float best = greatest(x, n);
    for (int32_t i = 0; i < n; i += 4) {
        int32_t count = n - i < 4 ? n - i : 4;
        if (vmaxvq_u32(vceqq_f32(ltlm__load_some(x + i, count, NAN), vdupq_n_f32(best)))) {
            for (int32_t j = 0; j < count; j++) {
                if (x[i + j] == best) {
                    return i + j;
                }
            }
        }
    }
    return 0;
}

#endif
