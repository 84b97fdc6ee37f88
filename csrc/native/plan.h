/* plan.h - what a model computes, read from its decode graph: the input of our own engine.
 *
 * The planner (Python) reads the model's graph, recognises in it what this engine has kernels for, and
 * describes it as a plan; the engine checks every number of a plan against the file and against the other
 * numbers before it uses it, so a plan made of a damaged file is refused, never run.
 *
 * A plan describes what happens to one row, that is one token at one position. The engine runs it on any
 * number of rows at once, of one sequence or of many. Rows meet only in the KV caches.
 */
#ifndef LTLM_PLAN_H
#define LTLM_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* cdef-begin: plain declarations only; build_ext.py feeds this region to cffi. */

/* How weights lie in the file. Integers are signed, row major, without zero points. */
typedef enum {
    LTLM_INT8 = 1,       /* a byte each; one float32 scale a row */
    LTLM_INT4 = 2,       /* two to a byte along the row, low nibble first; one float32 scale a row */
    LTLM_INT2 = 3,       /* four to a byte along the row, lowest bits first; one float32 scale a row */
    LTLM_INT4_BLOCK = 4, /* as INT4; one float16 scale for each 32 weights of a row: [rows, columns / 32] */
    LTLM_FLOAT32 = 5     /* no scales */
} ltlm_weight_format;

/* A matrix of weights: [rows = outputs, columns = inputs]. Also a table of embeddings: [tokens, width]. */
typedef struct {
    int32_t format;         /* an ltlm_weight_format */
    int32_t rows, columns;
    uint64_t data;          /* where row 0 begins in the file */
    uint64_t scales;        /* where the scales begin in the file */
    int32_t scale_count;    /* rows; 1: the same for every row; rows * columns / 32 for INT4_BLOCK; 0 for
                               FLOAT32 */
    bool float_activations; /* multiplied with float32 activations (weight-only quantisation); otherwise the
                               activations of each row are quantised to int8 as they come */
} ltlm_matrix;

/* A KV cache; one for each layer that has its own. */
typedef struct {
    int32_t kv_heads, head_dim;
    int32_t window; /* how many positions back anything looks, its own included; 0: all */
} ltlm_cache;

/* What a step does with one row. "in" are operands: a value's index, or ~index of a constant, or LTLM_NONE.
 * "out" are values. A value is written by exactly one step, before it is read. Shapes are those of one row.
 * What a step does not use is not looked at. */
typedef enum {
    LTLM_OP_POSITION = 1, /* out0[1] = the row's position */
    LTLM_OP_EMBED,        /* out0[width] = row `token` of matrix0, dequantised, times f0 */
    LTLM_OP_LINEAR,       /* out_i[rows of matrix_i] = in0, a value, times matrix_i transposed + bias_i, for
                             i < count; all of one format, number of columns and kind of activations */
    LTLM_OP_RMS_NORM,     /* out0 = in0 / sqrt(mean(in0^2) + f0) * in1, in each of shape0 groups of shape1;
                             in1 is [shape1] or LTLM_NONE */
    LTLM_OP_ROPE,         /* out0 = in0 * in1 + (-second half, first half of in0) * in2 in each of shape0
                             heads of shape1; in1 (cosines) and in2 (sines) are [shape1], the same for every
                             head */
    LTLM_OP_GATE,         /* out0 = activation(in0) * in1; shape0 is an ltlm_activation */
    LTLM_OP_KV_STORE,     /* in0 and in1, [kv_heads * head_dim] each, become key and value of the row's
                             position in `cache`; once for each cache */
    LTLM_OP_ATTEND,       /* out0 = attention of the shape0 heads of in0, a value, over `cache`, f0 times each
                             product of query and key; f1 > 0: then f1 * tanh(x / f1); shape1: how many
                             positions back it looks, its own included, 0: all; not more than the cache's
                             window. Comes after the KV_STORE of its cache. Head h uses kv head
                             h / (shape0 / kv_heads). */
    LTLM_OP_BINARY,       /* out0[shape] = in0 `function` in1, both read by strides (in0 by strides a from
                             offset_a, in1 by strides b); out0 is contiguous */
    LTLM_OP_UNARY,        /* out0 = function(in0), the width of out0 */
    LTLM_OP_REDUCE,       /* out0[shape0] = function over the shape1 values of each group of in0 */
    LTLM_OP_SOFTMAX,      /* out0 = softmax in each of shape0 groups of shape1 */
    LTLM_OP_COPY          /* out0 = in0 read by strides a from offset_a: slices, transposes, repeats. And,
                             with in1 not LTLM_NONE: after that, in1, whole; and in2, in3 likewise:
                             concatenation */
} ltlm_op;

typedef enum {
    LTLM_SILU = 1, LTLM_GELU = 2, LTLM_GELU_TANH = 3, LTLM_SIGMOID = 4, LTLM_RELU = 5
} ltlm_activation;

/* Functions of BINARY, UNARY and REDUCE. */
typedef enum {
    LTLM_ADD = 1, LTLM_SUB, LTLM_MUL, LTLM_DIV, LTLM_MAXIMUM, LTLM_MINIMUM, LTLM_POW,
    LTLM_NEG = 32, LTLM_ABS, LTLM_EXP, LTLM_LOG, LTLM_SQRT, LTLM_RSQRT, LTLM_SQUARE, LTLM_TANH, LTLM_LOGISTIC,
    LTLM_COS, LTLM_SIN, LTLM_ACT_SILU, LTLM_ACT_GELU, LTLM_ACT_GELU_TANH, LTLM_ACT_RELU, LTLM_FLOOR,
    LTLM_ROUND,
    LTLM_SUM = 64, LTLM_MEAN, LTLM_MAX
} ltlm_function;

enum { LTLM_NONE = 0x7fffffff };

typedef struct {
    int32_t op;          /* an ltlm_op */
    int32_t function;    /* an ltlm_function */
    int32_t in[4];
    int32_t out[4];
    int32_t count;       /* LINEAR: matrices, outputs, biases; 1..4 */
    int32_t matrix[4];
    int32_t bias[4];     /* operands: constants, or LTLM_NONE */
    int32_t cache;
    int32_t shape[4];    /* unused dimensions are 1 */
    int32_t stride_a[4]; /* floats; 0 repeats, negative reverses */
    int32_t stride_b[4];
    int32_t offset_a;    /* floats */
    float f[2];
} ltlm_step;

/* A constant: [width] floats from `offset` on in ltlm_plan.constants. */
typedef struct {
    uint64_t offset;
    int32_t width;
} ltlm_constant;

/* Everything is borrowed for the call that takes the plan, and copied by it. */
typedef struct {
    const ltlm_matrix *matrices;
    size_t matrix_count;
    const float *floats;            /* what constants refer to */
    size_t float_count;
    const ltlm_constant *constants;
    size_t constant_count;
    const int32_t *widths;          /* of each value, floats a row */
    size_t value_count;
    const ltlm_cache *caches;
    size_t cache_count;
    const ltlm_step *steps;
    size_t step_count;
    int32_t logits;                 /* the value that holds them: [vocabulary]; after the last KV_STORE */
    int32_t vocabulary;             /* token ids are below it */
    int32_t max_context;            /* positions are below it */
} ltlm_plan;

/* cdef-end */

#endif /* LTLM_PLAN_H */
