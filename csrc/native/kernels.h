/* kernels.h - the arithmetic, once for each instruction set.
 *
 * A table of functions is chosen when a model is opened; nothing else knows which. All tables
 * compute the same:
 *  - integer parts bit for bit the same as the portable table;
 *  - float parts within rounding, but within one table the result for a row depends on that row alone: not on
 *    how many rows are computed together, how a range is split, or which thread runs it. So the order in
 *    which floats are added is fixed for each function, whatever path it takes for 1, 4 or 512 rows.
 * No function allocates, locks or fails. Any thread. Nothing needs more than the alignment of its type unless
 * that is said; data and scales of weights need none.
 */
#ifndef LTLM_KERNELS_H
#define LTLM_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan.h"

enum {
    LTLM_ALIGN = 64,         /* of every buffer that the engine allocates for kernels */
    LTLM_PAGE = 32,          /* positions in a page of the KV cache */
    LTLM_KEY_TILE = 16,      /* positions whose keys lie interleaved */
    LTLM_QUERY_BLOCK = 32,   /* most query rows of one attend */
    LTLM_MAX_COLUMNS = 65536 /* of quantised weights: so that sums fit 32 bits */
};

/* Weights ready for use. */
typedef struct {
    int32_t format; /* an ltlm_weight_format */
    int32_t rows;
    int32_t columns; /* at most LTLM_MAX_COLUMNS; a row is whole bytes, and whole blocks for INT4_BLOCK */
    bool float_activations;
    bool has_least; /* INT8: one of them may be -128 */
    const uint8_t *data;     /* in the mapped file, or a copy of the same bytes */
    const void *scales;      /* float[rows], or uint16_t[rows * columns / 32] (float16) for INT4_BLOCK */
    const int32_t *sums;     /* [rows]: the sum of each row's integers; NULL for FLOAT32 and INT4_BLOCK */
    const float *block_sums; /* INT4_BLOCK: [rows]: the sum over a row's blocks of scale times sum of
                                integers; NULL if this table does without */
} ltlm_weights;

/* How a row of activations was quantised: x = (q - zero_point) * inverse_scale, q in -128..127.
 * The scheme is XNNPACK's dynamic one: range min(0, min)..max(0, max), scale = 255 / (max - min) (1 if both
 * are 0), the zero point from whichever end errs less, rounded half to even; q = clamp(rint(x * (1 /
 * inverse_scale)) + zero_point), where inverse_scale = 1 / scale, each rounded to float; a row with NaN or
 * infinities gives any q, but no crash. A product is (sum q*w - zero_point * sum w) * inverse_scale * scale
 * of the weights, multiplied in that order, then + bias; with a scale for each block: (the sum over blocks of
 * scale * (sum q*w - zero_point * sum w)) * inverse_scale. */
typedef struct {
    float inverse_scale;
    int32_t zero_point;
    int32_t sum; /* of q */
} ltlm_quantised;

/* Rows of activations as a table's multiply wants them; layout is the table's own business and may depend on
 * `rows`. */
typedef struct {
    int32_t rows, columns;
    const float *floats;      /* [rows, stride]: what they were made of; used for float activations */
    size_t stride;            /* floats */
    uint8_t *bytes;           /* activation_bytes() of them, aligned to LTLM_ALIGN */
    ltlm_quantised *quantised; /* [rows] */
} ltlm_activations;

/* One kv head's keys and values of one sequence, and the queries that look at them.
 * A page holds LTLM_PAGE positions: at `keys` bytes from its beginning the keys as [LTLM_PAGE /
 * LTLM_KEY_TILE, head_dim, LTLM_KEY_TILE], at `values` bytes the values as [LTLM_PAGE, head_dim]; elements
 * are float16, or float32 if `wide`. */
typedef struct {
    int32_t rows;               /* 1..LTLM_QUERY_BLOCK */
    int32_t head_dim;           /* a multiple of 8 */
    bool wide;
    const uint8_t *const *pages; /* [..]: position p is in pages[p / LTLM_PAGE]; before a window NULL */
    size_t keys, values;
    const float *const *query;  /* [rows] -> [head_dim] */
    float *const *out;          /* [rows] -> [head_dim] */
    const int32_t *first, *last; /* [rows]: positions that the row looks at, both included */
    float scale, softcap;
    void *scratch;              /* attend_scratch() bytes, aligned, this thread's */
} ltlm_attention;

typedef struct {
    const char *name; /* "portable", "avx2", "avxvnni", "avx512", "avx512-bf16", "neon", "neon-i8mm" */
    int32_t row_step; /* ranges of weight rows passed to multiply begin at multiples of it */

    /* Bytes of ltlm_activations.bytes. Here, in prepare and in multiply_scratch, `format` is that of the
     * weights, but LTLM_FLOAT32 where they have float_activations: nothing to prepare, 0 bytes. */
    size_t (*activation_bytes)(int32_t format, int32_t rows, int32_t columns);
    /* Row `row` of `a` from a->floats. `a->rows` is known; different rows may be prepared by different
     * threads. */
    void (*prepare)(int32_t format, const ltlm_activations *a, int32_t row);
    /* Bytes of scratch that multiply needs on each thread. */
    size_t (*multiply_scratch)(int32_t format, int32_t columns);
    /* out[m * stride + n] = product of activation row m and weight row n (+ bias[n]), for all m and
     * from <= n < to. */
    void (*multiply)(const ltlm_weights *w, const ltlm_activations *a, int32_t from, int32_t to,
                     const float *bias, float *out, size_t stride, void *scratch);
    /* sums[n] for from <= n < to; not for FLOAT32 and INT4_BLOCK. False: none of the weights, which are INT8,
     * is -128; true also where the table does not care. */
    bool (*sum_weights)(const ltlm_weights *w, int32_t from, int32_t to, int32_t *sums);
    /* block_sums[n] likewise, for INT4_BLOCK. NULL: the table does without. */
    void (*sum_blocks)(const ltlm_weights *w, int32_t from, int32_t to, float *sums);
    /* One row, dequantised and multiplied by `factor`: a look-up in a table of embeddings. */
    void (*embed)(const ltlm_weights *table, int32_t row, float factor, float *out);

    /* One position's key or value of one kv head into its page (`page` points at the beginning of that head's
     * keys or values). */
    void (*store_key)(const float *key, int32_t head_dim, bool wide, uint8_t *page, int32_t slot);
    void (*store_value)(const float *value, int32_t head_dim, bool wide, uint8_t *page, int32_t slot);
    /* Bytes of scratch for ranges of up to `positions`. */
    size_t (*attend_scratch)(int32_t positions, int32_t head_dim);
    void (*attend)(const ltlm_attention *job);

    /* Row arithmetic; out may be one of the inputs. */
    void (*rms_norm)(const float *x, const float *weight /* or NULL */, int32_t n, float epsilon, float *out);
    void (*rope)(const float *x, const float *cosine, const float *sine, int32_t head_dim, float *out);
    void (*gate)(int32_t activation, const float *x, const float *y, int32_t n, float *out);
    void (*unary)(int32_t function, const float *x, int32_t n, float *out);
    void (*add)(const float *x, const float *y, int32_t n, float *out);
    void (*mul)(const float *x, const float *y, int32_t n, float *out);
    void (*softmax)(const float *x, int32_t n, float *out);
    /* The index of the greatest (the first of equals; NaN never), and log(sum(exp(x))). */
    int32_t (*argmax)(const float *x, int32_t n);
    float (*log_sum_exp)(const float *x, int32_t n);
} ltlm_kernels;

/* The best table for this CPU, or the one named; NULL: no table of that name, or the CPU cannot run it.
 * Static. */
const ltlm_kernels *ltlm_kernels_choose(const char *name);

/* The tables; NULL where they were not built or the CPU lacks the instructions. Used by ltlm_kernels_choose
 * and tests. */
const ltlm_kernels *ltlm_kernels_portable(void);
const ltlm_kernels *ltlm_kernels_avx2(void);
const ltlm_kernels *ltlm_kernels_avxvnni(void);
const ltlm_kernels *ltlm_kernels_avx512(void);      /* AVX-512 F, BW, DQ, VL and VNNI */
const ltlm_kernels *ltlm_kernels_avx512_bf16(void); /* attention in bfloat16 unless wide */
const ltlm_kernels *ltlm_kernels_neon(void);
const ltlm_kernels *ltlm_kernels_neon_i8mm(void);

#endif /* LTLM_KERNELS_H */
