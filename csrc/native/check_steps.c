/* Every number of every step, one rule after the other, in the order in which plan.h says what a step is. */
#include "alloc.h"
#include "program.h"
#include "status.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

typedef struct {
    const ltlm_plan *plan;
    const ltlm_step *step; /* the one that is looked at */
    int at;
    bool *written; /* [value_count]: an earlier step wrote it */
    bool *stored;  /* [cache_count]: an earlier step filled it */
    ltlm_error *err;
} checker;

static const char *op_name(int32_t op)
{
    static const char *const names[] = {"",      "POSITION", "EMBED",    "LINEAR", "RMS_NORM",
                                        "ROPE",  "GATE",     "KV_STORE", "ATTEND", "BINARY",
                                        "UNARY", "REDUCE",   "SOFTMAX",  "COPY"};
    return op >= LTLM_OP_POSITION && op <= LTLM_OP_COPY ? names[op] : "?";
}

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static bool refuse(checker *c, const char *format, ...)
{
    char reason[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    ltlm__fail(c->err, LTLM_E_INVALID_ARGUMENT, "step %d (%s): %s", c->at, op_name(c->step->op), reason);
    return false;
}

/* ---- operands ---------------------------------------------------------------------------------- */

/* The width of an input; 0, and refused, if it cannot be read. */
static int32_t read_width(checker *c, int32_t i)
{
    int32_t operand = c->step->in[i];
    if (operand < 0) {
        size_t constant = (size_t)~operand;
        if (constant < c->plan->constant_count) {
            return c->plan->constants[constant].width;
        }
        refuse(c, "in%d is constant %d of %d", (int)i, (int)constant, (int)c->plan->constant_count);
        return 0;
    }
    if ((size_t)operand >= c->plan->value_count) {
        refuse(c, operand == LTLM_NONE ? "in%d is missing" : "in%d is value %d of %d", (int)i, (int)operand,
               (int)c->plan->value_count);
        return 0;
    }
    if (!c->written[operand]) {
        refuse(c, "in%d is value %d, which is not written before", (int)i, (int)operand);
        return 0;
    }
    return c->plan->widths[operand];
}

/* Input i exists and has `width` floats. */
static bool reads(checker *c, int32_t i, int64_t width)
{
    int32_t actual = read_width(c, i);
    return actual == width ||
           (actual > 0 && refuse(c, "in%d has %d floats, not %lld", (int)i, (int)actual, (long long)width));
}

static bool is_value(checker *c, int32_t i)
{
    return c->step->in[i] >= 0 || refuse(c, "in%d is a constant", (int)i);
}

/* Output i exists, has `width` floats and is written for the first time. */
static bool writes(checker *c, int32_t i, int64_t width)
{
    int32_t value = c->step->out[i];
    if (value < 0 || (size_t)value >= c->plan->value_count) {
        return refuse(c, "out%d is value %d of %d", (int)i, (int)value, (int)c->plan->value_count);
    }
    if (c->written[value]) {
        return refuse(c, "out%d is value %d, which is written twice", (int)i, (int)value);
    }
    c->written[value] = true;
    return c->plan->widths[value] == width ||
           refuse(c, "out%d has %d floats, not %lld", (int)i, (int)c->plan->widths[value], (long long)width);
}

/* ---- shapes ------------------------------------------------------------------------------------ */

#define MAX_SHAPE (1 << 22)

/* The product of the first `count` dimensions; 0, and refused, if one is not positive or the product is too
 * large. */
static int64_t shape_size(checker *c, int32_t count)
{
    int64_t size = 1;
    for (int32_t i = 0; i < count; i++) {
        int32_t dimension = c->step->shape[i];
        if (dimension < 1 || dimension > MAX_SHAPE || size * dimension > MAX_SHAPE) {
            refuse(c, "shape%d is %d", (int)i, (int)dimension);
            return 0;
        }
        size *= dimension;
    }
    return size;
}

/* Everything that the strides reach from `offset` on lies within input i of `width` floats. */
static bool reaches(checker *c, int32_t i, const int32_t *strides, int64_t offset, int64_t width)
{
    int64_t least = offset, greatest = offset;
    for (int32_t d = 0; d < 4; d++) {
        int64_t way = (int64_t)(c->step->shape[d] - 1) * strides[d]; /* below 2^53 */
        *(way < 0 ? &least : &greatest) += way;
    }
    return (least >= 0 && greatest < width) ||
           refuse(c, "strides reach floats %lld to %lld of in%d, which has %lld", (long long)least,
                  (long long)greatest, (int)i, (long long)width);
}

static bool is_function(checker *c, int32_t first, int32_t last)
{
    return (c->step->function >= first && c->step->function <= last) ||
           refuse(c, "function %d is not one of its own", (int)c->step->function);
}

static bool is_finite(checker *c, int32_t i)
{
    return isfinite(c->step->f[i]) || refuse(c, "f%d is not finite", (int)i);
}

/* ---- one function for each op ------------------------------------------------------------------ */

static const ltlm_matrix *matrix(checker *c, int32_t i)
{
    int32_t index = c->step->matrix[i];
    if (index < 0 || (size_t)index >= c->plan->matrix_count) {
        refuse(c, "matrix%d is matrix %d of %d", (int)i, (int)index, (int)c->plan->matrix_count);
        return NULL;
    }
    return &c->plan->matrices[index];
}

static bool check_embed(checker *c)
{
    const ltlm_matrix *table = matrix(c, 0);
    if (!table) {
        return false;
    }
    if (table->rows < c->plan->vocabulary) {
        return refuse(c, "its table has %d rows for a vocabulary of %d", (int)table->rows,
                      (int)c->plan->vocabulary);
    }
    return is_finite(c, 0) && writes(c, 0, table->columns);
}

static bool check_bias(checker *c, int32_t i, int32_t rows)
{
    int32_t bias = c->step->bias[i];
    if (bias == LTLM_NONE) {
        return true;
    }
    if (bias >= 0 || (size_t)~bias >= c->plan->constant_count) {
        return refuse(c, "bias%d, %d, is not a constant", (int)i, (int)bias);
    }
    int32_t width = c->plan->constants[~bias].width;
    return width == rows || refuse(c, "bias%d has %d floats, not %d", (int)i, (int)width, (int)rows);
}

static bool check_linear(checker *c)
{
    const ltlm_step *step = c->step;
    if (step->count < 1 || step->count > 4) {
        return refuse(c, "it has %d matrices; 1 to 4 can be", (int)step->count);
    }
    const ltlm_matrix *first = matrix(c, 0);
    if (!first || !is_value(c, 0) || !reads(c, 0, first->columns)) {
        return false;
    }
    for (int32_t i = 0; i < step->count; i++) {
        const ltlm_matrix *each = matrix(c, i);
        if (!each) {
            return false;
        }
        if (each->format != first->format || each->columns != first->columns ||
            each->float_activations != first->float_activations) {
            return refuse(c, "matrices %d and %d differ in format, columns or kind of activations",
                          (int)step->matrix[0], (int)step->matrix[i]);
        }
        if (!check_bias(c, i, each->rows)) {
            return false;
        }
    }
    for (int32_t i = 0; i < step->count; i++) {
        if (!writes(c, i, matrix(c, i)->rows)) {
            return false;
        }
    }
    return true;
}

static bool check_rms_norm(checker *c)
{
    int64_t size = shape_size(c, 2);
    return size > 0 && (c->step->in[1] == LTLM_NONE || reads(c, 1, c->step->shape[1])) && is_finite(c, 0) &&
           (c->step->f[0] >= 0 || refuse(c, "f0 is negative")) && reads(c, 0, size) && writes(c, 0, size);
}

static bool check_rope(checker *c)
{
    int64_t size = shape_size(c, 2);
    return size > 0 &&
           (c->step->shape[1] % 2 == 0 || refuse(c, "heads of %d have no halves", (int)c->step->shape[1])) &&
           reads(c, 0, size) && reads(c, 1, c->step->shape[1]) && reads(c, 2, c->step->shape[1]) &&
           writes(c, 0, size);
}

static bool check_gate(checker *c)
{
    int32_t activation = c->step->shape[0];
    if (activation < LTLM_SILU || activation > LTLM_RELU) {
        return refuse(c, "activation %d is unknown", (int)activation);
    }
    int32_t width = read_width(c, 0);
    return width > 0 && reads(c, 1, width) && writes(c, 0, width);
}

static const ltlm_cache *cache(checker *c)
{
    int32_t index = c->step->cache;
    if (index < 0 || (size_t)index >= c->plan->cache_count) {
        refuse(c, "it uses cache %d of %d", (int)index, (int)c->plan->cache_count);
        return NULL;
    }
    return &c->plan->caches[index];
}

static bool check_kv_store(checker *c)
{
    const ltlm_cache *its = cache(c);
    if (!its) {
        return false;
    }
    if (c->stored[c->step->cache]) {
        return refuse(c, "cache %d is stored to twice", (int)c->step->cache);
    }
    c->stored[c->step->cache] = true;
    int64_t width = (int64_t)its->kv_heads * its->head_dim;
    return reads(c, 0, width) && reads(c, 1, width);
}

static bool check_attend(checker *c)
{
    const ltlm_cache *its = cache(c);
    if (!its) {
        return false;
    }
    int32_t heads = c->step->shape[0], window = c->step->shape[1];
    if (!c->stored[c->step->cache]) {
        return refuse(c, "cache %d is not stored to before", (int)c->step->cache);
    }
    if (heads < 1 || heads > MAX_SHAPE || heads % its->kv_heads != 0) {
        return refuse(c, "%d heads do not share %d kv heads evenly", (int)heads, (int)its->kv_heads);
    }
    if (window < 0 || (its->window > 0 && (window == 0 || window > its->window))) {
        return refuse(c, "it looks back %d positions (0: all) over a cache that keeps %d", (int)window,
                      (int)its->window);
    }
    int64_t width = (int64_t)heads * its->head_dim;
    return is_finite(c, 0) && is_finite(c, 1) && (c->step->f[1] >= 0 || refuse(c, "f1 is negative")) &&
           is_value(c, 0) && reads(c, 0, width) && writes(c, 0, width);
}

static bool check_binary(checker *c)
{
    int64_t size = shape_size(c, 4);
    if (size == 0 || !is_function(c, LTLM_ADD, LTLM_POW)) {
        return false;
    }
    int32_t a = read_width(c, 0), b = a > 0 ? read_width(c, 1) : 0;
    return b > 0 && reaches(c, 0, c->step->stride_a, c->step->offset_a, a) &&
           reaches(c, 1, c->step->stride_b, 0, b) && writes(c, 0, size);
}

static bool check_unary(checker *c)
{
    int32_t width = is_function(c, LTLM_NEG, LTLM_ROUND) ? read_width(c, 0) : 0;
    return width > 0 && writes(c, 0, width);
}

static bool check_reduce(checker *c)
{
    int64_t size = is_function(c, LTLM_SUM, LTLM_MAX) ? shape_size(c, 2) : 0;
    return size > 0 && reads(c, 0, size) && writes(c, 0, c->step->shape[0]);
}

static bool check_softmax(checker *c)
{
    int64_t size = shape_size(c, 2);
    return size > 0 && reads(c, 0, size) && writes(c, 0, size);
}

static bool check_copy(checker *c)
{
    int64_t size = shape_size(c, 4);
    int32_t width = size > 0 ? read_width(c, 0) : 0;
    if (width == 0 || !reaches(c, 0, c->step->stride_a, c->step->offset_a, width)) {
        return false;
    }
    for (int32_t i = 1; i < 4 && c->step->in[i] != LTLM_NONE; i++) {
        int32_t more = read_width(c, i);
        if (more == 0) {
            return false;
        }
        size += more;
    }
    return writes(c, 0, size);
}

static bool check_step(checker *c)
{
    switch (c->step->op) {
    case LTLM_OP_POSITION: return writes(c, 0, 1);
    case LTLM_OP_EMBED: return check_embed(c);
    case LTLM_OP_LINEAR: return check_linear(c);
    case LTLM_OP_RMS_NORM: return check_rms_norm(c);
    case LTLM_OP_ROPE: return check_rope(c);
    case LTLM_OP_GATE: return check_gate(c);
    case LTLM_OP_KV_STORE: return check_kv_store(c);
    case LTLM_OP_ATTEND: return check_attend(c);
    case LTLM_OP_BINARY: return check_binary(c);
    case LTLM_OP_UNARY: return check_unary(c);
    case LTLM_OP_REDUCE: return check_reduce(c);
    case LTLM_OP_SOFTMAX: return check_softmax(c);
    case LTLM_OP_COPY: return check_copy(c);
    default: return refuse(c, "op %d is unknown", (int)c->step->op);
    }
}

static bool check_steps(checker *c)
{
    int last_store = -1, logits_at = -1;
    for (size_t i = 0; i < c->plan->step_count; i++) {
        c->step = &c->plan->steps[i];
        c->at = (int)i;
        int32_t logits = c->plan->logits;
        bool before = c->written[logits];
        if (!check_step(c)) {
            return false;
        }
        last_store = c->step->op == LTLM_OP_KV_STORE ? c->at : last_store;
        logits_at = c->written[logits] && !before ? c->at : logits_at;
    }
    for (size_t i = 0; i < c->plan->cache_count; i++) {
        if (!c->stored[i]) {
            ltlm__fail(c->err, LTLM_E_INVALID_ARGUMENT, "cache %d is never stored to", (int)i);
            return false;
        }
    }
    if (logits_at < 0) {
        ltlm__fail(c->err, LTLM_E_INVALID_ARGUMENT, "the logits, value %d, are never written",
                   (int)c->plan->logits);
        return false;
    }
    if (logits_at < last_store) {
        ltlm__fail(c->err, LTLM_E_INVALID_ARGUMENT,
                   "the logits, value %d, are not written after the last KV_STORE, step %d",
                   (int)c->plan->logits, last_store);
        return false;
    }
    return true;
}

int32_t ltlm__steps_check(const ltlm_plan *plan, ltlm_error *err)
{
    if (plan->logits < 0 || (size_t)plan->logits >= plan->value_count ||
        plan->widths[plan->logits] != plan->vocabulary) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "the logits, value %d, are not a value of %d floats",
                          (int)plan->logits, (int)plan->vocabulary);
    }
    checker c = {.plan = plan, .err = err};
    c.written = ltlm__calloc(plan->value_count + plan->cache_count, sizeof *c.written);
    if (!c.written) {
        return ltlm__fail_no_memory(err);
    }
    c.stored = c.written + plan->value_count;
    int32_t status = check_steps(&c) ? LTLM_OK : LTLM_E_INVALID_ARGUMENT;
    ltlm__free(c.written);
    return status;
}
