/* portable_rows.c - row arithmetic and attention of the portable table. */
#include "formats.h"
#include "portable.h"

void ltlm__portable_rms_norm(const float *x, const float *weight, int32_t n, float epsilon, float *out)
{
    float sums[8] = {0};
    for (int32_t i = 0; i < n; i++) {
        sums[i % 8] += x[i] * x[i];
    }
    float sum = ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
    float factor = 1.0f / sqrtf(sum / (float)n + epsilon);
    for (int32_t i = 0; i < n; i++) {
        out[i] = weight ? x[i] * factor * weight[i] : x[i] * factor;
    }
}

void ltlm__portable_rope(const float *x, const float *cosine, const float *sine, int32_t head_dim, float *out)
{
    int32_t half = head_dim / 2;
    for (int32_t i = 0; i < half; i++) {
        float first = x[i], second = x[i + half];
        out[i] = first * cosine[i] - second * sine[i];
        out[i + half] = second * cosine[i + half] + first * sine[i + half];
    }
}

static float logistic(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

static float gelu(float x)
{
    return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
}

static float gelu_tanh(float x)
{
    return 0.5f * x * (1.0f + tanhf(0.79788456080286536f * (x + 0.044715f * x * x * x)));
}

static float activate(int32_t activation, float x)
{
    switch (activation) {
    case LTLM_SILU: return x * logistic(x);
    case LTLM_GELU: return gelu(x);
    case LTLM_GELU_TANH: return gelu_tanh(x);
    case LTLM_SIGMOID: return logistic(x);
    case LTLM_RELU: return x > 0.0f ? x : 0.0f;
    default: return x;
    }
}

void ltlm__portable_gate(int32_t activation, const float *x, const float *y, int32_t n, float *out)
{
    for (int32_t i = 0; i < n; i++) {
        out[i] = activate(activation, x[i]) * y[i];
    }
}

static float apply(int32_t function, float x)
{
    switch (function) {
    case LTLM_NEG: return -x;
    case LTLM_ABS: return fabsf(x);
    case LTLM_EXP: return expf(x);
    case LTLM_LOG: return logf(x);
    case LTLM_SQRT: return sqrtf(x);
    case LTLM_RSQRT: return 1.0f / sqrtf(x);
    case LTLM_SQUARE: return x * x;
    case LTLM_TANH: return tanhf(x);
    case LTLM_LOGISTIC: return logistic(x);
    case LTLM_COS: return cosf(x);
    case LTLM_SIN: return sinf(x);
    case LTLM_ACT_SILU: return activate(LTLM_SILU, x);
    case LTLM_ACT_GELU: return activate(LTLM_GELU, x);
    case LTLM_ACT_GELU_TANH: return activate(LTLM_GELU_TANH, x);
    case LTLM_ACT_RELU: return activate(LTLM_RELU, x);
    case LTLM_FLOOR: return floorf(x);
    case LTLM_ROUND: return rintf(x);
    default: return x;
    }
}

void ltlm__portable_unary(int32_t function, const float *x, int32_t n, float *out)
{
    for (int32_t i = 0; i < n; i++) {
        out[i] = apply(function, x[i]);
    }
}

void ltlm__portable_add(const float *x, const float *y, int32_t n, float *out)
{
    for (int32_t i = 0; i < n; i++) {
        out[i] = x[i] + y[i];
    }
}

void ltlm__portable_mul(const float *x, const float *y, int32_t n, float *out)
{
    for (int32_t i = 0; i < n; i++) {
        out[i] = x[i] * y[i];
    }
}

static float greatest(const float *x, int32_t n)
{
    float found = -INFINITY;
    for (int32_t i = 0; i < n; i++) {
        found = x[i] > found ? x[i] : found;
    }
    return found;
}

/* out = exp(x - shift); the sum of them. */
static float exp_and_sum(const float *x, float shift, int32_t n, float *out)
{
    float sum = 0.0f;
    for (int32_t i = 0; i < n; i++) {
        out[i] = expf(x[i] - shift);
        sum += out[i];
    }
    return sum;
}

void ltlm__portable_softmax(const float *x, int32_t n, float *out)
{
    float factor = 1.0f / exp_and_sum(x, greatest(x, n), n, out);
    for (int32_t i = 0; i < n; i++) {
        out[i] *= factor;
    }
}

int32_t ltlm__portable_argmax(const float *x, int32_t n)
{
    int32_t best = 0;
    float found = -INFINITY;
    bool any = false;
    for (int32_t i = 0; i < n; i++) {
        if (x[i] > found || (!any && x[i] == found)) {
            found = x[i];
            best = i;
            any = true;
        }
    }
    return best;
}

float ltlm__portable_log_sum_exp(const float *x, int32_t n)
{
    float shift = greatest(x, n);
    if (isinf(shift)) {
        return shift;
    }
    double sum = 0.0;
    for (int32_t i = 0; i < n; i++) {
        sum += expf(x[i] - shift);
    }
    return shift + (float)log(sum);
}

/* ---- attention ---- */

static void store(float value, bool wide, uint8_t *elements, size_t index)
{
    if (wide) {
        memcpy(elements + index * sizeof(float), &value, sizeof value);
    } else {
        uint16_t half = ltlm__float_to_half(value);
        memcpy(elements + index * sizeof half, &half, sizeof half);
    }
}

static float load(bool wide, const uint8_t *elements, size_t index)
{
    return wide ? ltlm__float_at(elements, index) : ltlm__half_to_float(ltlm__half_at(elements, index));
}

/* Where element `i` of the key in `slot` lies, in elements. */
static size_t key_index(int32_t head_dim, int32_t slot, int32_t i)
{
    return ((size_t)(slot / LTLM_KEY_TILE) * (size_t)head_dim + (size_t)i) * LTLM_KEY_TILE +
           (size_t)(slot % LTLM_KEY_TILE);
}

void ltlm__portable_store_key(const float *key, int32_t head_dim, bool wide, uint8_t *page, int32_t slot)
{
    for (int32_t i = 0; i < head_dim; i++) {
        store(key[i], wide, page, key_index(head_dim, slot, i));
    }
}

void ltlm__portable_store_value(const float *value, int32_t head_dim, bool wide, uint8_t *page, int32_t slot)
{
    for (int32_t i = 0; i < head_dim; i++) {
        store(value[i], wide, page, (size_t)slot * (size_t)head_dim + (size_t)i);
    }
}

size_t ltlm__portable_attend_scratch(int32_t positions, int32_t head_dim)
{
    (void)head_dim;
    return (size_t)positions * sizeof(float);
}

static float score(const ltlm_attention *job, const float *query, int32_t position)
{
    const uint8_t *keys = job->pages[position / LTLM_PAGE] + job->keys;
    float sum = 0.0f;
    for (int32_t i = 0; i < job->head_dim; i++) {
        sum += query[i] * load(job->wide, keys, key_index(job->head_dim, position % LTLM_PAGE, i));
    }
    sum *= job->scale;
    return job->softcap > 0.0f ? job->softcap * tanhf(sum / job->softcap) : sum;
}

static void attend_row(const ltlm_attention *job, int32_t row)
{
    float *weights = job->scratch, *out = job->out[row];
    int32_t first = job->first[row], count = job->last[row] - first + 1, head_dim = job->head_dim;
    for (int32_t p = 0; p < count; p++) {
        weights[p] = score(job, job->query[row], first + p);
    }
    ltlm__portable_softmax(weights, count, weights);
    memset(out, 0, (size_t)head_dim * sizeof *out);
    for (int32_t p = 0; p < count; p++) {
        int32_t position = first + p;
        const uint8_t *values = job->pages[position / LTLM_PAGE] + job->values;
        for (int32_t i = 0; i < head_dim; i++) {
            size_t index = (size_t)(position % LTLM_PAGE) * (size_t)head_dim + (size_t)i;
            out[i] += weights[p] * load(job->wide, values, index);
        }
    }
}

void ltlm__portable_attend(const ltlm_attention *job)
{
    for (int32_t row = 0; row < job->rows; row++) {
        attend_row(job, row);
    }
}
