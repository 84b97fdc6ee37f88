/* portable.c - the table for every CPU, and what the others are measured against: plain C, in the simplest
 * order. */
#include "portable.h"

#include "formats.h"

/* ---- activations: [rows, columns] of signed bytes ---- */

static size_t activation_bytes(int32_t format, int32_t rows, int32_t columns)
{
    return format == LTLM_FLOAT32 ? 0 : (size_t)rows * (size_t)columns;
}

static void prepare(int32_t format, const ltlm_activations *a, int32_t row)
{
    if (format == LTLM_FLOAT32) {
        return;
    }
    const float *x = a->floats + (size_t)row * a->stride;
    float least = 0.0f, greatest = 0.0f, scale;
    for (int32_t i = 0; i < a->columns; i++) {
        least = x[i] < least ? x[i] : least;
        greatest = x[i] > greatest ? x[i] : greatest;
    }
    ltlm_quantised quantised = ltlm__quantisation(least, greatest, &scale);
    int8_t *out = (int8_t *)a->bytes + (size_t)row * (size_t)a->columns;
    for (int32_t i = 0; i < a->columns; i++) {
        int32_t q = ltlm__quantise(x[i], scale, quantised.zero_point);
        out[i] = (int8_t)q;
        quantised.sum += q;
    }
    a->quantised[row] = quantised;
}

/* ---- products: each weight row is unpacked once, for all rows of activations ---- */

static size_t multiply_scratch(int32_t format, int32_t columns)
{
    (void)format;
    return (size_t)columns * sizeof(float);
}

static void unpack_integers(int32_t format, const uint8_t *row, int32_t columns, int8_t *out)
{
    for (int32_t i = 0; i < columns; i++) {
        out[i] = (int8_t)ltlm__integer_at(format, row, i);
    }
}

/* Weights as floats, with the scales of their blocks but not with the scale of the row. */
static void unpack_floats(const ltlm_weights *w, int32_t n, float *out)
{
    const uint8_t *row = ltlm__weight_row(w, n);
    for (int32_t i = 0; i < w->columns; i++) {
        if (w->format == LTLM_FLOAT32) {
            out[i] = ltlm__float_at(row, (size_t)i);
        } else {
            float integer = (float)ltlm__integer_at(w->format, row, i);
            out[i] = w->format == LTLM_INT4_BLOCK ? integer * ltlm__scale_at(w, n, i) : integer;
        }
    }
}

/* sum (q - zero_point) * w */
static int32_t dot_integers(const int8_t *q, int32_t zero_point, const int8_t *w, int32_t n)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        sum += (q[i] - zero_point) * w[i];
    }
    return sum;
}

/* Eight sums side by side: more exact than one, and a compiler may make vectors of them. */
static float dot_floats(const float *x, const float *w, int32_t n)
{
    float sums[8] = {0};
    int32_t i = 0;
    for (; i + 8 <= n; i += 8) {
        for (int32_t lane = 0; lane < 8; lane++) {
            sums[lane] += x[i + lane] * w[i + lane];
        }
    }
    for (int32_t lane = 0; i + lane < n; lane++) {
        sums[lane] += x[i + lane] * w[i + lane];
    }
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

static float multiply_integers(const ltlm_weights *w, const ltlm_activations *a, int32_t m, int32_t n,
                               const int8_t *integers)
{
    const int8_t *q = (const int8_t *)a->bytes + (size_t)m * (size_t)a->columns;
    ltlm_quantised quantised = a->quantised[m];
    if (w->format != LTLM_INT4_BLOCK) {
        int32_t sum = dot_integers(q, quantised.zero_point, integers, w->columns);
        return (float)sum * quantised.inverse_scale * ltlm__float_at(w->scales, (size_t)n);
    }
    float sum = 0.0f;
    for (int32_t i = 0; i < w->columns; i += LTLM_BLOCK) {
        int32_t block = dot_integers(q + i, quantised.zero_point, integers + i, LTLM_BLOCK);
        sum += (float)block * ltlm__scale_at(w, n, i);
    }
    return sum * quantised.inverse_scale;
}

static float multiply_floats(const ltlm_weights *w, const ltlm_activations *a, int32_t m, int32_t n,
                             const float *floats)
{
    float sum = dot_floats(a->floats + (size_t)m * a->stride, floats, w->columns);
    return w->format == LTLM_INT4_BLOCK ? sum : sum * ltlm__scale_at(w, n, 0);
}

static void multiply(const ltlm_weights *w, const ltlm_activations *a, int32_t from, int32_t to,
                     const float *bias, float *out, size_t stride, void *scratch)
{
    bool floats = w->float_activations || w->format == LTLM_FLOAT32;
    for (int32_t n = from; n < to; n++) {
        if (floats) {
            unpack_floats(w, n, scratch);
        } else {
            unpack_integers(w->format, ltlm__weight_row(w, n), w->columns, scratch);
        }
        for (int32_t m = 0; m < a->rows; m++) {
            float product =
                floats ? multiply_floats(w, a, m, n, scratch) : multiply_integers(w, a, m, n, scratch);
            out[(size_t)m * stride + (size_t)n] = bias ? product + bias[n] : product;
        }
    }
}

/* ---- tables made of weights ---- */

bool ltlm__portable_sum_weights(const ltlm_weights *w, int32_t from, int32_t to, int32_t *sums)
{
    for (int32_t n = from; n < to; n++) {
        const uint8_t *row = ltlm__weight_row(w, n);
        int32_t sum = 0;
        for (int32_t i = 0; i < w->columns; i++) {
            sum += ltlm__integer_at(w->format, row, i);
        }
        sums[n] = sum;
    }
    return true;
}

void ltlm__portable_embed(const ltlm_weights *table, int32_t row, float factor, float *out)
{
    unpack_floats(table, row, out);
    float scale = table->format == LTLM_INT4_BLOCK ? 1.0f : ltlm__scale_at(table, row, 0);
    for (int32_t i = 0; i < table->columns; i++) {
        out[i] = out[i] * scale * factor;
    }
}

const ltlm_kernels *ltlm_kernels_portable(void)
{
    static const ltlm_kernels table = {
        .name = "portable",
        .row_step = 1,
        .activation_bytes = activation_bytes,
        .prepare = prepare,
        .multiply_scratch = multiply_scratch,
        .multiply = multiply,
        .sum_weights = ltlm__portable_sum_weights,
        .embed = ltlm__portable_embed,
        .store_key = ltlm__portable_store_key,
        .store_value = ltlm__portable_store_value,
        .attend_scratch = ltlm__portable_attend_scratch,
        .attend = ltlm__portable_attend,
        .rms_norm = ltlm__portable_rms_norm,
        .rope = ltlm__portable_rope,
        .gate = ltlm__portable_gate,
        .unary = ltlm__portable_unary,
        .add = ltlm__portable_add,
        .mul = ltlm__portable_mul,
        .softmax = ltlm__portable_softmax,
        .argmax = ltlm__portable_argmax,
        .log_sum_exp = ltlm__portable_log_sum_exp,
    };
    return &table;
}
