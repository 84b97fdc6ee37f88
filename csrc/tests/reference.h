/* reference.h - what a tiny model computes, one token after the other, in the plainest way. It shares no code
 * with the engine: it reads weights from the file's bytes and keeps its own keys and values. */
#ifndef LTLM_REFERENCE_H
#define LTLM_REFERENCE_H

#include "tiny_model.h"

typedef struct {
    const tiny_model *model;
    float values[256][VOCABULARY];
    float keys[4][CONTEXT][128], contents[4][CONTEXT][128]; /* of caches, by position */
    int32_t position, token;
} reference;

static const float *ref_in(reference *r, int32_t operand)
{
    return operand < 0 ? r->model->floats + r->model->constants[~operand].offset : r->values[operand];
}

static int32_t ref_width(reference *r, int32_t operand)
{
    return operand < 0 ? r->model->constants[~operand].width : r->model->widths[operand];
}

static float ref_half(uint16_t bits)
{
    return ldexpf((float)((bits & 0x3ff) | 0x400), (bits >> 10 & 31) - 25) * (bits & 0x8000 ? -1.0f : 1.0f);
}

/* The integer at [row, column], or the float. */
static float ref_weight(reference *r, const ltlm_matrix *matrix, int32_t row, int32_t column)
{
    const uint8_t *data = r->model->file + matrix->data;
    size_t at = (size_t)row * (size_t)matrix->columns + (size_t)column;
    float number;
    switch (matrix->format) {
    case LTLM_INT8: return (float)(int8_t)data[at];
    case LTLM_INT2: return (float)(((data[at / 4] >> at % 4 * 2 & 3) ^ 2) - 2);
    case LTLM_FLOAT32: memcpy(&number, data + at * 4, 4); return number;
    default: return (float)(((data[at / 2] >> at % 2 * 4 & 15) ^ 8) - 8);
    }
}

static float ref_scale(reference *r, const ltlm_matrix *matrix, int32_t row, int32_t column)
{
    const uint8_t *scales = r->model->file + matrix->scales;
    float scale = 1.0f;
    if (matrix->format == LTLM_INT4_BLOCK) {
        uint16_t half;
        memcpy(&half, scales + ((size_t)row * (size_t)(matrix->columns / 32) + (size_t)(column / 32)) * 2, 2);
        return ref_half(half);
    }
    if (matrix->format != LTLM_FLOAT32) {
        memcpy(&scale, scales + (size_t)row * 4, 4);
    }
    return scale;
}

/* x as it is after quantisation, or unchanged. */
static void ref_quantise(const ltlm_matrix *matrix, const float *x, float *out)
{
    float least = 0, greatest = 0;
    for (int32_t i = 0; i < matrix->columns; i++) {
        least = fminf(least, x[i]);
        greatest = fmaxf(greatest, x[i]);
    }
    float scale = least == greatest ? 1.0f : 255.0f / (greatest - least), inverse = 1.0f / scale;
    float low = least * scale, high = greatest * scale;
    float zero = rintf(fminf(fmaxf(-128 + low + 127 + high > 0 ? -128 - low : 127 - high, -128), 127));
    for (int32_t i = 0; i < matrix->columns; i++) {
        float q = fminf(fmaxf(rintf(x[i] * (1.0f / inverse)) + zero, -128), 127);
        out[i] = matrix->float_activations ? x[i] : (q - zero) * inverse;
    }
}

static void ref_linear(reference *r, const ltlm_step *step)
{
    for (int32_t m = 0; m < step->count; m++) {
        const ltlm_matrix *matrix = &r->model->matrices[step->matrix[m]];
        float x[128];
        ref_quantise(matrix, ref_in(r, step->in[0]), x);
        for (int32_t row = 0; row < matrix->rows; row++) {
            double sum = 0;
            for (int32_t i = 0; i < matrix->columns; i++) {
                sum += (double)x[i] * ref_weight(r, matrix, row, i) * ref_scale(r, matrix, row, i);
            }
            float bias = step->bias[m] == LTLM_NONE ? 0 : ref_in(r, step->bias[m])[row];
            r->values[step->out[m]][row] = (float)sum + bias;
        }
    }
}

static void ref_attend(reference *r, const ltlm_step *step, float *out)
{
    const ltlm_cache *cache = &r->model->caches[step->cache];
    int32_t from = step->shape[1] > 0 && r->position >= step->shape[1] ? r->position - step->shape[1] + 1 : 0;
    for (int32_t head = 0; head < step->shape[0]; head++) {
        int32_t kv = head / (step->shape[0] / cache->kv_heads) * cache->head_dim;
        const float *query = ref_in(r, step->in[0]) + head * cache->head_dim;
        double total = 0, sums[HEAD] = {0};
        for (int32_t p = from; p <= r->position; p++) {
            double product = 0;
            for (int32_t i = 0; i < cache->head_dim; i++) {
                product += (double)query[i] * r->keys[step->cache][p][kv + i];
            }
            product *= step->f[0];
            double share = exp(step->f[1] > 0 ? step->f[1] * tanh(product / step->f[1]) : product);
            total += share;
            for (int32_t i = 0; i < cache->head_dim; i++) {
                sums[i] += share * r->contents[step->cache][p][kv + i];
            }
        }
        for (int32_t i = 0; i < cache->head_dim; i++) {
            out[head * cache->head_dim + i] = (float)(sums[i] / total);
        }
    }
}

static void ref_groups(const ltlm_step *step, const float *x, const float *y, const float *z, float *out)
{
    int32_t n = step->shape[1];
    for (int32_t g = 0; g < step->shape[0]; g++, x += n) {
        double squares = 0, exponents = 0;
        float most = x[0];
        for (int32_t i = 0; i < n; i++) {
            squares += (double)x[i] * x[i];
            exponents += exp(x[i]);
            most = fmaxf(most, x[i]);
        }
        for (int32_t i = 0; i < n; i++) {
            float turned = i < n / 2 ? -x[i + n / 2] : x[i - n / 2];
            switch (step->op) {
            case LTLM_OP_RMS_NORM:
                out[g * n + i] = (float)(x[i] / sqrt(squares / n + step->f[0])) * (y ? y[i] : 1);
                break;
            case LTLM_OP_ROPE: out[g * n + i] = x[i] * y[i] + turned * z[i]; break;
            case LTLM_OP_SOFTMAX: out[g * n + i] = (float)(exp(x[i]) / exponents); break;
            default: out[g] = most; /* REDUCE: the model has MAX alone */
            }
        }
    }
}

static void ref_strided(reference *r, const ltlm_step *step, float *out)
{
    const float *x = ref_in(r, step->in[0]);
    const float *y = step->op == LTLM_OP_BINARY ? ref_in(r, step->in[1]) : NULL;
    const int32_t *shape = step->shape, *sa = step->stride_a, *sb = step->stride_b;
    int32_t at = 0;
    for (int32_t i = 0; i < shape[0]; i++) {
        for (int32_t j = 0; j < shape[1]; j++) {
            for (int32_t k = 0; k < shape[2]; k++) {
                for (int32_t l = 0; l < shape[3]; l++) {
                    float a = x[step->offset_a + i * sa[0] + j * sa[1] + k * sa[2] + l * sa[3]];
                    float b = y ? y[i * sb[0] + j * sb[1] + k * sb[2] + l * sb[3]] : 0;
                    out[at++] = step->op == LTLM_OP_COPY ? a : step->function == LTLM_ADD ? a + b : a * b;
                }
            }
        }
    }
    if (step->op == LTLM_OP_COPY && step->in[1] != LTLM_NONE) {
        memcpy(out + at, ref_in(r, step->in[1]), (size_t)ref_width(r, step->in[1]) * 4);
    }
}

static void ref_step(reference *r, const ltlm_step *step)
{
    const ltlm_matrix *table = &r->model->matrices[step->matrix[0]];
    float *out = step->out[0] == LTLM_NONE ? NULL : r->values[step->out[0]];
    const float *in[3] = {NULL, NULL, NULL};
    for (int32_t i = 0; i < 3; i++) {
        in[i] = step->in[i] == LTLM_NONE ? NULL : ref_in(r, step->in[i]);
    }
    switch (step->op) {
    case LTLM_OP_POSITION: out[0] = (float)r->position; break;
    case LTLM_OP_EMBED:
        for (int32_t i = 0; i < table->columns; i++) {
            out[i] = ref_weight(r, table, r->token, i) * ref_scale(r, table, r->token, i) * step->f[0];
        }
        break;
    case LTLM_OP_LINEAR: ref_linear(r, step); break;
    case LTLM_OP_GATE:
        for (int32_t i = 0; i < ref_width(r, step->in[0]); i++) {
            out[i] = in[0][i] / (1 + expf(-in[0][i])) * in[1][i];
        }
        break;
    case LTLM_OP_KV_STORE: {
        const ltlm_cache *cache = &r->model->caches[step->cache];
        size_t bytes = (size_t)(cache->kv_heads * cache->head_dim) * sizeof(float);
        memcpy(r->keys[step->cache][r->position], in[0], bytes);
        memcpy(r->contents[step->cache][r->position], in[1], bytes);
        break;
    }
    case LTLM_OP_ATTEND: ref_attend(r, step, out); break;
    case LTLM_OP_UNARY:
        for (int32_t i = 0; i < ref_width(r, step->in[0]); i++) {
            float x = in[0][i];
            out[i] = step->function == LTLM_COS ? cosf(x) : step->function == LTLM_SIN ? sinf(x) : x * x;
        }
        break;
    case LTLM_OP_BINARY:
    case LTLM_OP_COPY: ref_strided(r, step, out); break;
    default: ref_groups(step, in[0], in[1], in[2], out); break;
    }
}

/* The logits after one more token. */
static const float *ref_next(reference *r, int32_t token)
{
    r->token = token;
    for (size_t i = 0; i < r->model->plan.step_count; i++) {
        ref_step(r, &r->model->steps[i]);
    }
    r->position++;
    return r->values[r->model->plan.logits];
}

#endif /* LTLM_REFERENCE_H */
