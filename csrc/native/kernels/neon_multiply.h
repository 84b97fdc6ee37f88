/* neon_multiply.h - the integer products of a table for ARM. Included by one source for each table, with
 * dotprod switched on; LTLM_I8MM defined: and i8mm.
 *
 * More than a few rows: TILE_COLUMNS rows of weights are unpacked to signed bytes, 4 of each in turn (i8mm:
 * 8), in scratch that stays in the cache while all activations pass by.
 */
#include "neon_few.h"

/* ---- panels ---- */

/* A panel, in scratch. */
typedef struct {
    int8_t *bytes;  /* [chunks, CHUNK in turns][TILE_COLUMNS] */
    float *scales;  /* INT4_BLOCK: [blocks][TILE_COLUMNS] */
    int32_t *sums;  /* INT4_BLOCK: [blocks][TILE_COLUMNS], of weights */
} panel;

static size_t multiply_scratch(int32_t format, int32_t columns)
{
    if (format == LTLM_FLOAT32) {
        return ltlm__neon_float_scratch(columns);
    }
    size_t width = padded(columns) * TILE_COLUMNS;
    return width + (format == LTLM_INT4_BLOCK ? width / CHUNK * 8 : 0);
}

/* 32 weights, in order. */
LTLM_INLINE void unpack(int32_t format, const uint8_t *p, size_t left, int8x16_t *first, int8x16_t *second)
{
    int8x16_t v = load_bytes(p, left);
    if (format == LTLM_INT8) {
        *first = v;
        *second = left > 16 ? load_bytes(p + 16, left - 16) : vdupq_n_s8(0);
    } else if (format == LTLM_INT2) {
        int8x16_t a = vshrq_n_s8(vshlq_n_s8(v, 6), 6), b = vshrq_n_s8(vshlq_n_s8(v, 4), 6);
        int8x16_t c = vshrq_n_s8(vshlq_n_s8(v, 2), 6), d = vshrq_n_s8(v, 6);
        int16x8_t low = vreinterpretq_s16_s8(vzip1q_s8(a, b)), high = vreinterpretq_s16_s8(vzip1q_s8(c, d));
        *first = vreinterpretq_s8_s16(vzip1q_s16(low, high));
        *second = vreinterpretq_s8_s16(vzip2q_s16(low, high));
    } else {
        int8x16_t even, odd;
        nibbles(v, &even, &odd);
        *first = vzip1q_s8(even, odd);
        *second = vzip2q_s8(even, odd);
    }
}

/* 16 columns of weight row `row` of a panel. */
LTLM_INLINE void scatter(int8x16_t v, int row, int8_t *to)
{
#ifdef LTLM_I8MM
    vst1_s8(to + row * 8, vget_low_s8(v));
    vst1_s8(to + (TILE_COLUMNS + row) * 8, vget_high_s8(v));
#else
    int32_t quads[4];
    vst1q_s32(quads, vreinterpretq_s32_s8(v));
    for (int i = 0; i < 4; i++) {
        memcpy(to + (i * TILE_COLUMNS + row) * 4, quads + i, 4);
    }
#endif
}

/* Weight rows n..n + TILE_COLUMNS - 1; those from `to` on repeat the last one, and nobody reads their
 * products. */
LTLM_INLINE void pack(int32_t format, const ltlm_weights *w, int32_t n, int32_t to, const panel *out)
{
    size_t size = ltlm__row_bytes(format, w->columns), step = format == LTLM_INT8   ? 32
                                                              : format == LTLM_INT2 ? 8
                                                                                    : 16;
    for (int row = 0; row < TILE_COLUMNS; row++) {
        int32_t index = n + row < to ? n + row : to - 1;
        const uint8_t *p = ltlm__weight_row(w, index);
        int8_t *bytes = out->bytes;
        for (size_t at = 0, chunk = 0; at < size; at += step, chunk++, bytes += CHUNK * TILE_COLUMNS) {
            int8x16_t first, second;
            size_t left = size - at < step ? size - at : step;
            unpack(format, p + at, left, &first, &second);
            scatter(first, row, bytes);
            scatter(second, row, bytes + 16 * TILE_COLUMNS);
            if (format == LTLM_INT4_BLOCK) {
                out->scales[chunk * TILE_COLUMNS + row] = ltlm__scale_at(w, index, (int32_t)chunk * CHUNK);
                out->sums[chunk * TILE_COLUMNS + row] = vaddlvq_s8(first) + vaddlvq_s8(second);
            }
        }
    }
}

/* ---- tiles ---- */

#ifdef LTLM_I8MM

/* Accumulators are 2x2: rows 2i, 2i + 1 of activations and 2j, 2j + 1 of weights. */
#define HEIGHT (TILE_ROWS / 2)
#define WIDTH (TILE_COLUMNS / 2)

/* sum += CHUNK columns of a tile of activations times a panel. */
LTLM_INLINE void add_chunk(const int8_t *x, size_t width, size_t chunk, const int8_t *w,
                           int32x4_t sum[HEIGHT][WIDTH])
{
    x += chunk * CHUNK * 2;
    for (int k = 0; k < CHUNK / 8; k++, x += 16) {
        int8x16_t columns[WIDTH];
        LTLM_UNROLL
        for (int j = 0; j < WIDTH; j++, w += 16) {
            columns[j] = vld1q_s8(w);
        }
        LTLM_UNROLL
        for (int i = 0; i < HEIGHT; i++) {
            int8x16_t rows = vld1q_s8(x + (size_t)i * 2 * width);
            LTLM_UNROLL
            for (int j = 0; j < WIDTH; j++) {
                sum[i][j] = vmmlaq_s32(sum[i][j], rows, columns[j]);
            }
        }
    }
}

/* Products of activation row `row` with weight rows 4j..4j + 3. */
LTLM_INLINE int32x4_t products(int32x4_t sum[HEIGHT][WIDTH], int row, int j)
{
    int64x2_t low = vreinterpretq_s64_s32(sum[row / 2][j * 2]),
              high = vreinterpretq_s64_s32(sum[row / 2][j * 2 + 1]);
    return vreinterpretq_s32_s64(row % 2 ? vtrn2q_s64(low, high) : vtrn1q_s64(low, high));
}

#else

#define HEIGHT TILE_ROWS
#define WIDTH (TILE_COLUMNS / 4)

LTLM_INLINE void add_chunk(const int8_t *x, size_t width, size_t chunk, const int8_t *w,
                           int32x4_t sum[HEIGHT][WIDTH])
{
    x += chunk * CHUNK;
    for (int k = 0; k < CHUNK / 16; k++, x += 16) {
        int8x16_t rows[HEIGHT];
        LTLM_UNROLL
        for (int i = 0; i < HEIGHT; i++) {
            rows[i] = vld1q_s8(x + (size_t)i * width);
        }
#define QUAD(lane)                                                                    \
    LTLM_UNROLL                                                                       \
    for (int j = 0; j < WIDTH; j++, w += 16) {                                        \
        int8x16_t columns = vld1q_s8(w);                                              \
        LTLM_UNROLL                                                                   \
        for (int i = 0; i < HEIGHT; i++) {                                            \
            sum[i][j] = vdotq_laneq_s32(sum[i][j], columns, rows[i], lane);           \
        }                                                                             \
    }
        QUAD(0) QUAD(1) QUAD(2) QUAD(3)
    }
}

LTLM_INLINE int32x4_t products(int32x4_t sum[HEIGHT][WIDTH], int row, int j)
{
    return sum[row][j];
}

#endif

LTLM_INLINE void clear(int32x4_t sum[HEIGHT][WIDTH])
{
    LTLM_UNROLL
    for (int i = 0; i < HEIGHT; i++) {
        LTLM_UNROLL
        for (int j = 0; j < WIDTH; j++) {
            sum[i][j] = vdupq_n_s32(0);
        }
    }
}

/* ---- products ---- */

/* y, or y + bias, for the columns that exist. */
LTLM_INLINE void finish(float32x4_t y, const float *bias, float *out, int32_t count)
{
    if (count > 0) {
        ltlm__store_some(out, count, bias ? vaddq_f32(y, ltlm__load_some(bias, count, 0)) : y);
    }
}

/* Formats with one scale for each row of weights; format is a constant where this is inlined. */
LTLM_INLINE void multiply_panel(int32_t format, const ltlm_weights *w, const ltlm_activations *a,
                                const panel *t, int32_t n, int32_t to, const float *bias, float *out,
                                size_t stride)
{
    size_t chunks = ((size_t)w->columns + CHUNK - 1) / CHUNK, width = padded(w->columns);
    int32_t count = to - n < TILE_COLUMNS ? to - n : TILE_COLUMNS, sums[TILE_COLUMNS] = {0};
    float scales[TILE_COLUMNS] = {0};
    (void)format;
    memcpy(sums, w->sums + n, (size_t)count * sizeof *sums);
    memcpy(scales, (const uint8_t *)w->scales + (size_t)n * sizeof *scales, (size_t)count * sizeof *scales);
    for (int32_t row = 0; row < a->rows; row += TILE_ROWS) {
        const int8_t *x = (const int8_t *)a->bytes + (size_t)row * width;
        int32x4_t sum[HEIGHT][WIDTH];
        clear(sum);
        for (size_t i = 0; i < chunks; i++) {
            add_chunk(x, width, i, t->bytes + i * CHUNK * TILE_COLUMNS, sum);
        }
        LTLM_UNROLL
        for (int i = 0; i < TILE_ROWS; i++) {
            if (row + i < a->rows) {
                const ltlm_quantised *q = a->quantised + row + i;
                LTLM_UNROLL
                for (int j = 0; j < TILE_COLUMNS / 4; j++) {
                    int32x4_t v = vmlsq_n_s32(products(sum, i, j), vld1q_s32(sums + j * 4), q->zero_point);
                    float32x4_t y = vmulq_n_f32(vcvtq_f32_s32(v), q->inverse_scale);
                    int32_t column = n + j * 4;
                    finish(vmulq_f32(y, vld1q_f32(scales + j * 4)), bias ? bias + column : NULL,
                           out + (size_t)(row + i) * stride + column, to - column);
                }
            }
        }
    }
}

/* INT4_BLOCK. Floats are added in the order of multiply_blocks: block b to the sum b % 4. */
LTLM_INLINE void multiply_block_panel(const ltlm_weights *w, const ltlm_activations *a, const panel *t,
                                      int32_t n, int32_t to, const float *bias, float *out, size_t stride)
{
    size_t blocks = (size_t)w->columns / CHUNK, width = padded(w->columns);
    for (int32_t row = 0; row < a->rows; row += TILE_ROWS) {
        const int8_t *x = (const int8_t *)a->bytes + (size_t)row * width;
        float32x4_t total[4][TILE_ROWS][TILE_COLUMNS / 4];
        memset(total, 0, sizeof total);
        for (size_t b = 0; b < blocks; b++) {
            int32x4_t sum[HEIGHT][WIDTH];
            clear(sum);
            add_chunk(x, width, b, t->bytes + b * CHUNK * TILE_COLUMNS, sum);
            LTLM_UNROLL
            for (int j = 0; j < TILE_COLUMNS / 4; j++) {
                int32x4_t weights = vld1q_s32(t->sums + b * TILE_COLUMNS + j * 4);
                float32x4_t scale = vld1q_f32(t->scales + b * TILE_COLUMNS + j * 4);
                LTLM_UNROLL
                for (int i = 0; i < TILE_ROWS; i++) {
                    int32_t zero = row + i < a->rows ? a->quantised[row + i].zero_point : 0;
                    float32x4_t v = vcvtq_f32_s32(vmlsq_n_s32(products(sum, i, j), weights, zero));
                    total[b % 4][i][j] = vfmaq_f32(total[b % 4][i][j], v, scale);
                }
            }
        }
        for (int i = 0; i < TILE_ROWS && row + i < a->rows; i++) {
            for (int j = 0; j < TILE_COLUMNS / 4; j++) {
                float32x4_t y = vaddq_f32(vaddq_f32(total[0][i][j], total[1][i][j]),
                                          vaddq_f32(total[2][i][j], total[3][i][j]));
                int32_t column = n + j * 4;
                finish(vmulq_n_f32(y, a->quantised[row + i].inverse_scale), bias ? bias + column : NULL,
                       out + (size_t)(row + i) * stride + column, to - column);
            }
        }
    }
}

LTLM_INLINE void multiply_many(int32_t format, const ltlm_weights *w, const ltlm_activations *a, int32_t from,
                               int32_t to, const float *bias, float *out, size_t stride, void *scratch)
{
    size_t width = padded(w->columns) * TILE_COLUMNS;
    panel t = {.bytes = scratch};
    t.scales = (float *)(void *)(t.bytes + width);
    t.sums = (int32_t *)(void *)(t.scales + width / CHUNK);
    for (int32_t n = from; n < to; n += TILE_COLUMNS) {
        pack(format, w, n, to, &t);
        if (format == LTLM_INT4_BLOCK) {
            multiply_block_panel(w, a, &t, n, to, bias, out, stride);
        } else {
            multiply_panel(format, w, a, &t, n, to, bias, out, stride);
        }
    }
}

#define MULTIPLY(format)                                                               \
    if (is_few(format, a->rows)) {                                                     \
        multiply_few(format, w, a, from, to, bias, out, stride);                       \
    } else {                                                                           \
        multiply_many(format, w, a, from, to, bias, out, stride, scratch);             \
    }                                                                                  \
    return;

static void multiply(const ltlm_weights *w, const ltlm_activations *a, int32_t from, int32_t to,
                     const float *bias, float *out, size_t stride, void *scratch)
{
    if (w->float_activations || w->format == LTLM_FLOAT32) {
        ltlm__neon_float_multiply(w, a, from, to, bias, out, stride, scratch);
        return;
    }
    switch (w->format) {
    case LTLM_INT8: MULTIPLY(LTLM_INT8)
    case LTLM_INT4: MULTIPLY(LTLM_INT4)
    case LTLM_INT4_BLOCK: MULTIPLY(LTLM_INT4_BLOCK)
    default: multiply_many(LTLM_INT2, w, a, from, to, bias, out, stride, scratch); return;
    }
}

/* ---- sums of weights ---- */

LTLM_INLINE void sum_rows(int32_t format, const ltlm_weights *w, int32_t from, int32_t to, int32_t *sums)
{
    size_t size = ltlm__row_bytes(format, w->columns), step = format == LTLM_INT8   ? 32
                                                              : format == LTLM_INT2 ? 8
                                                                                    : 16;
    for (int32_t n = from; n < to; n++) {
        const uint8_t *p = ltlm__weight_row(w, n);
        int32x4_t sum = vdupq_n_s32(0);
        for (size_t at = 0; at < size; at += step) {
            int8x16_t first, second, one = vdupq_n_s8(1);
            unpack(format, p + at, size - at < step ? size - at : step, &first, &second);
            sum = vdotq_s32(vdotq_s32(sum, first, one), second, one);
        }
        sums[n] = vaddvq_s32(sum);
    }
}

static bool sum_weights(const ltlm_weights *w, int32_t from, int32_t to, int32_t *sums)
{
    switch (w->format) {
    case LTLM_INT8: sum_rows(LTLM_INT8, w, from, to, sums); break;
    case LTLM_INT4: sum_rows(LTLM_INT4, w, from, to, sums); break;
    default: sum_rows(LTLM_INT2, w, from, to, sums); break;
    }
    return true;
}

#define NEON_TABLE(its_name) \
    {.name = its_name, \
     .row_step = TILE_COLUMNS, \
     .activation_bytes = activation_bytes, \
     .prepare = prepare, \
     .multiply_scratch = multiply_scratch, \
     .multiply = multiply, \
     .sum_weights = sum_weights, \
     .embed = ltlm__neon_embed, \
     .store_key = ltlm__neon_store_key, \
     .store_value = ltlm__neon_store_value, \
     .attend_scratch = ltlm__neon_attend_scratch, \
     .attend = ltlm__neon_attend, \
     .rms_norm = ltlm__neon_rms_norm, \
     .rope = ltlm__neon_rope, \
     .gate = ltlm__neon_gate, \
     .unary = ltlm__neon_unary, \
     .add = ltlm__neon_add, \
     .mul = ltlm__neon_mul, \
     .softmax = ltlm__neon_softmax, \
     .argmax = ltlm__neon_argmax, \
     .log_sum_exp = ltlm__neon_log_sum_exp}
