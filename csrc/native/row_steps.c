/* Steps that concern one row alone. */
#include <math.h>
#include <string.h>

#include "run.h"

typedef struct {
    const ltlm__hand *hand;
    const ltlm_step *step;
    int32_t row; /* of the stage */
} at_row;

static const float *input(const at_row *at, int32_t i)
{
    const ltlm_plan *plan = &at->hand->executor->program->plan;
    int32_t operand = at->step->in[i];
    return operand < 0 ? plan->floats + plan->constants[~operand].offset
                       : ltlm__value_at(at->hand, operand, at->row);
}

static int32_t input_width(const at_row *at, int32_t i)
{
    const ltlm_plan *plan = &at->hand->executor->program->plan;
    int32_t operand = at->step->in[i];
    return operand < 0 ? plan->constants[~operand].width : plan->widths[operand];
}

static float *output(const at_row *at) { return ltlm__value_at(at->hand, at->step->out[0], at->row); }

static const ltlm_kernels *kernels(const at_row *at) { return at->hand->executor->program->kernels; }

static int32_t run_row(const at_row *at) { return at->hand->stage->index[at->row]; }

/* ---- strides ----------------------------------------------------------------------------------- */

/* Strides that read `shape` as it lies. */
static bool is_contiguous(const int32_t *shape, const int32_t *strides)
{
    int32_t stride = 1;
    for (int32_t d = 3; d >= 0; d--) {
        if (shape[d] != 1 && strides[d] != stride) {
            return false;
        }
        stride *= shape[d];
    }
    return true;
}

/* The dimensions of which several rows of the innermost make up a step's output. */
typedef struct {
    int32_t at[3];
    int64_t a, b; /* where the row begins in the inputs */
} walk;

/* On to the next row; false after the last. */
static bool step_on(walk *self, const ltlm_step *step)
{
    for (int32_t d = 2; d >= 0; d--) {
        self->a += step->stride_a[d];
        self->b += step->stride_b[d];
        if (++self->at[d] < step->shape[d]) {
            return true;
        }
        self->a -= (int64_t)step->shape[d] * step->stride_a[d];
        self->b -= (int64_t)step->shape[d] * step->stride_b[d];
        self->at[d] = 0;
    }
    return false;
}

/* ---- arithmetic -------------------------------------------------------------------------------- */

static float binary(int32_t function, float x, float y)
{
    switch (function) {
    case LTLM_ADD: return x + y;
    case LTLM_SUB: return x - y;
    case LTLM_MUL: return x * y;
    case LTLM_DIV: return x / y;
    case LTLM_MAXIMUM: return x > y ? x : y;
    case LTLM_MINIMUM: return x < y ? x : y;
    default: return powf(x, y);
    }
}

static void binary_row(const at_row *at, const float *x, int64_t x_stride, const float *y, int64_t y_stride,
                       int32_t n, float *out)
{
    int32_t function = at->step->function;
    if (x_stride == 1 && y_stride == 1 && function == LTLM_ADD) {
        kernels(at)->add(x, y, n, out);
    } else if (x_stride == 1 && y_stride == 1 && function == LTLM_MUL) {
        kernels(at)->mul(x, y, n, out);
    } else {
        for (int32_t i = 0; i < n; i++) {
            out[i] = binary(function, x[i * x_stride], y[i * y_stride]);
        }
    }
}

static void do_binary(const at_row *at)
{
    const ltlm_step *step = at->step;
    const float *x = input(at, 0), *y = input(at, 1);
    float *out = output(at);
    walk rows = {.a = step->offset_a};
    if (is_contiguous(step->shape, step->stride_a) && is_contiguous(step->shape, step->stride_b)) {
        int32_t size = step->shape[0] * step->shape[1] * step->shape[2] * step->shape[3];
        binary_row(at, x + rows.a, 1, y, 1, size, out);
        return;
    }
    int32_t n = step->shape[3];
    do {
        binary_row(at, x + rows.a, step->stride_a[3], y + rows.b, step->stride_b[3], n, out);
        out += n;
    } while (step_on(&rows, step));
}

static void do_copy(const at_row *at)
{
    const ltlm_step *step = at->step;
    const float *x = input(at, 0);
    float *out = output(at);
    walk rows = {.a = step->offset_a};
    int32_t n = step->shape[3];
    do {
        if (step->stride_a[3] == 1) {
            memcpy(out, x + rows.a, (size_t)n * sizeof *out);
        } else {
            for (int32_t i = 0; i < n; i++) {
                out[i] = x[rows.a + (int64_t)i * step->stride_a[3]];
            }
        }
        out += n;
    } while (step_on(&rows, step));
    for (int32_t i = 1; i < 4 && step->in[i] != LTLM_NONE; i++) {
        int32_t width = input_width(at, i);
        memcpy(out, input(at, i), (size_t)width * sizeof *out);
        out += width;
    }
}

static float reduce(int32_t function, const float *x, int32_t n)
{
    float result = x[0];
    for (int32_t i = 1; i < n; i++) {
        result = function == LTLM_MAX ? (x[i] > result ? x[i] : result) : result + x[i];
    }
    return function == LTLM_MEAN ? result / (float)n : result;
}

static void do_reduce(const at_row *at)
{
    const float *x = input(at, 0);
    float *out = output(at);
    int32_t groups = at->step->shape[0], n = at->step->shape[1];
    for (int32_t i = 0; i < groups; i++) {
        out[i] = reduce(at->step->function, x + (size_t)i * (size_t)n, n);
    }
}

/* ---- of a decoder ------------------------------------------------------------------------------ */

static void do_embed(const at_row *at)
{
    const ltlm_executor *executor = at->hand->executor;
    const ltlm_weights *table = &executor->program->weights.items[at->step->matrix[0]];
    kernels(at)->embed(table, executor->rows->tokens[run_row(at)], at->step->f[0], output(at));
}

static void do_rms_norm(const at_row *at)
{
    const float *x = input(at, 0), *weight = at->step->in[1] == LTLM_NONE ? NULL : input(at, 1);
    float *out = output(at);
    int32_t n = at->step->shape[1];
    for (int32_t i = 0; i < at->step->shape[0]; i++) {
        kernels(at)->rms_norm(x + (size_t)i * (size_t)n, weight, n, at->step->f[0],
                              out + (size_t)i * (size_t)n);
    }
}

static void do_rope(const at_row *at)
{
    const float *x = input(at, 0), *cosine = input(at, 1), *sine = input(at, 2);
    float *out = output(at);
    int32_t n = at->step->shape[1];
    for (int32_t i = 0; i < at->step->shape[0]; i++) {
        kernels(at)->rope(x + (size_t)i * (size_t)n, cosine, sine, n, out + (size_t)i * (size_t)n);
    }
}

static void do_softmax(const at_row *at)
{
    const float *x = input(at, 0);
    float *out = output(at);
    int32_t n = at->step->shape[1];
    for (int32_t i = 0; i < at->step->shape[0]; i++) {
        kernels(at)->softmax(x + (size_t)i * (size_t)n, n, out + (size_t)i * (size_t)n);
    }
}

static void do_kv_store(const at_row *at)
{
    const ltlm_executor *executor = at->hand->executor;
    const ltlm_cache *cache = &executor->program->plan.caches[at->step->cache];
    const ltlm_kv_place *place = ltlm_kv_store_place(executor->store, at->step->cache);
    int32_t row = run_row(at), position = executor->rows->positions[row];
    uint8_t *page = ltlm_kv_pages(executor->rows->sequences[row], place->group)[position / LTLM_PAGE];
    const float *keys = input(at, 0), *values = input(at, 1);
    for (int32_t head = 0; head < cache->kv_heads; head++) {
        size_t bytes = (size_t)head * place->head, floats = (size_t)head * (size_t)cache->head_dim;
        kernels(at)->store_key(keys + floats, cache->head_dim, executor->wide, page + place->keys + bytes,
                               position % LTLM_PAGE);
        kernels(at)->store_value(values + floats, cache->head_dim, executor->wide,
                                 page + place->values + bytes, position % LTLM_PAGE);
    }
}

static void do_step(const at_row *at)
{
    switch (at->step->op) {
    case LTLM_OP_POSITION: *output(at) = (float)at->hand->executor->rows->positions[run_row(at)]; break;
    case LTLM_OP_EMBED: do_embed(at); break;
    case LTLM_OP_RMS_NORM: do_rms_norm(at); break;
    case LTLM_OP_ROPE: do_rope(at); break;
    case LTLM_OP_GATE:
        kernels(at)->gate(at->step->shape[0], input(at, 0), input(at, 1), input_width(at, 0), output(at));
        break;
    case LTLM_OP_KV_STORE: do_kv_store(at); break;
    case LTLM_OP_BINARY: do_binary(at); break;
    case LTLM_OP_UNARY:
        kernels(at)->unary(at->step->function, input(at, 0), input_width(at, 0), output(at));
        break;
    case LTLM_OP_REDUCE: do_reduce(at); break;
    case LTLM_OP_SOFTMAX: do_softmax(at); break;
    case LTLM_OP_COPY: do_copy(at); break;
    default: break; /* LINEAR and ATTEND are phases of their own */
    }
}

void ltlm__row_steps(const ltlm__hand *hand, int32_t from, int32_t to, int32_t row)
{
    for (int32_t i = from; i < to; i++) {
        at_row at = {.hand = hand, .step = &hand->executor->program->plan.steps[i], .row = row};
        do_step(&at);
    }
}
