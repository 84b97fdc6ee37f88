/* neon_activations.h - activations quantised row by row and laid out for neon_multiply.h. Included by one
 * source for each table, which has switched the instructions on.
 *
 * A few rows meet weights as they lie in the file: of each 32 columns, for INT4 and INT4_BLOCK, the even ones
 * come before the odd ones, as the nibbles come apart. More rows, and INT2, meet a packed panel of weights:
 * for vmmlaq two rows are interleaved, 8 bytes of each in turn.
 */
#include "neon.h"

enum {
    FEW = 8,
    AT_ONCE = 4, /* of a few rows, that are multiplied with a vector of weights while it is in a register */
    CHUNK = 32,  /* columns that are packed and multiplied at a time: a block of INT4_BLOCK */
#ifdef LTLM_I8MM
    TILE_ROWS = 8,
    TILE_COLUMNS = 8 /* weight rows in a panel */
#else
    TILE_ROWS = 4,
    TILE_COLUMNS = 16
#endif
};

/* Columns with the zeros after them: four chunks. */
LTLM_INLINE size_t padded(int32_t columns)
{
    return ((size_t)columns + 127) / 128 * 128;
}

LTLM_INLINE bool is_few(int32_t format, int32_t rows)
{
    return rows <= FEW && format != LTLM_INT2;
}

static size_t activation_bytes(int32_t format, int32_t rows, int32_t columns)
{
    if (format == LTLM_FLOAT32) {
        return 0;
    }
    size_t held =
        is_few(format, rows) ? (size_t)rows : ((size_t)rows + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
    return held * padded(columns);
}

/* Fills in how the row is quantised; returns what it is multiplied by. */
static float find_scale(const float *x, int32_t n, ltlm_quantised *to)
{
    float32x4_t low = vdupq_n_f32(0), high = low;
    for (int32_t i = 0; i < n; i += 4) {
        float32x4_t v = ltlm__load_some(x + i, n - i, 0);
        low = vminnmq_f32(low, v); /* NaN: what was there */
        high = vmaxnmq_f32(high, v);
    }
    float scale;
    *to = ltlm__quantisation(vminnmvq_f32(low), vmaxnmvq_f32(high), &scale);
    return scale;
}

/* 4 of x as q. As ltlm__quantise. */
LTLM_INLINE int32x4_t quantise4(const float *x, float scale, int32x4_t zero)
{
    float32x4_t most = vdupq_n_f32(512.0f);
    float32x4_t scaled = vmulq_n_f32(vld1q_f32(x), scale);
    scaled = vminq_f32(vmaxnmq_f32(scaled, vnegq_f32(most)), most); /* NaN: -512 */
    int32x4_t q = vaddq_s32(vcvtnq_s32_f32(scaled), zero);
    return vminq_s32(vmaxq_s32(q, vdupq_n_s32(-128)), vdupq_n_s32(127));
}

/* 16 of x as bytes. */
LTLM_INLINE int8x16_t quantise16(const float *x, float scale, int32x4_t zero)
{
    int16x8_t low =
        vcombine_s16(vmovn_s32(quantise4(x, scale, zero)), vmovn_s32(quantise4(x + 4, scale, zero)));
    int16x8_t high =
        vcombine_s16(vmovn_s32(quantise4(x + 8, scale, zero)), vmovn_s32(quantise4(x + 12, scale, zero)));
    return vcombine_s8(vmovn_s16(low), vmovn_s16(high));
}

/* 32 columns from `k` on go where multiply expects them. */
LTLM_INLINE void place(int32_t format, const ltlm_activations *a, int32_t row, size_t k, int8x16_t first,
                       int8x16_t second)
{
    size_t width = padded(a->columns);
    int8_t *to = (int8_t *)a->bytes;
    if (is_few(format, a->rows)) {
        to += (size_t)row * width + k;
        if (format != LTLM_INT8) {
            int8x16_t even = vuzp1q_s8(first, second), odd = vuzp2q_s8(first, second);
            first = even;
            second = odd;
        }
        vst1q_s8(to, first);
        vst1q_s8(to + 16, second);
        return;
    }
#ifdef LTLM_I8MM
    to += (size_t)(row / 2) * 2 * width + k * 2 + (size_t)(row % 2) * 8;
    vst1_s8(to, vget_low_s8(first));
    vst1_s8(to + 16, vget_high_s8(first));
    vst1_s8(to + 32, vget_low_s8(second));
    vst1_s8(to + 48, vget_high_s8(second));
#else
    to += (size_t)row * width + k;
    vst1q_s8(to, first);
    vst1q_s8(to + 16, second);
#endif
}

static void prepare(int32_t format, const ltlm_activations *a, int32_t row)
{
    if (format == LTLM_FLOAT32) {
        return;
    }
    const float *x = a->floats + (size_t)row * a->stride;
    ltlm_quantised quantised;
    float scale = find_scale(x, a->columns, &quantised);
    int32x4_t zero = vdupq_n_s32(quantised.zero_point);
    int32_t width = (int32_t)padded(a->columns);
    for (int32_t k = 0; k < width; k += CHUNK) {
        int8x16_t first = vdupq_n_s8(0), second = first;
        int32_t left = a->columns - k;
        if (left >= CHUNK) {
            first = quantise16(x + k, scale, zero);
            second = quantise16(x + k + 16, scale, zero);
        } else if (left > 0) {
            float last[CHUNK] = {0};
            int8_t bytes[CHUNK] = {0};
            memcpy(last, x + k, (size_t)left * sizeof *x);
            vst1q_s8(bytes, quantise16(last, scale, zero));
            vst1q_s8(bytes + 16, quantise16(last + 16, scale, zero));
            memset(bytes + left, 0, (size_t)(CHUNK - left));
            first = vld1q_s8(bytes);
            second = vld1q_s8(bytes + 16);
        }
        quantised.sum += vaddlvq_s8(first) + vaddlvq_s8(second);
        place(format, a, row, (size_t)k, first, second);
    }
    a->quantised[row] = quantised;
}
