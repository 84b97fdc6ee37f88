/* neon_few.h - a few rows of activations times weights as they lie in the file. */
#include "neon_activations.h"

/* `size` of 16 bytes, then 0: reads nothing beyond. */
LTLM_INLINE int8x16_t load_bytes(const uint8_t *p, size_t size)
{
    if (size >= 16) {
        return vreinterpretq_s8_u8(vld1q_u8(p));
    }
    int8_t bytes[16] = {0};
    memcpy(bytes, p, size);
    return vld1q_s8(bytes);
}

/* The low and the high nibbles, with their signs. */
LTLM_INLINE void nibbles(int8x16_t v, int8x16_t *even, int8x16_t *odd)
{
    *even = vshrq_n_s8(vshlq_n_s8(v, 4), 4);
    *odd = vshrq_n_s8(v, 4);
}

/* out[m]: a row of weights times `rows` rows of activations; format and rows are constants where this is
 * inlined. */
LTLM_INLINE void row_dots(int32_t format, int rows, const uint8_t *p, size_t size, const int8_t *x,
                          size_t width, int32_t out[AT_ONCE])
{
    int32x4_t sum[AT_ONCE][2];
    LTLM_UNROLL
    for (int m = 0; m < rows; m++) {
        sum[m][0] = sum[m][1] = vdupq_n_s32(0);
    }
    size_t step = format == LTLM_INT8 ? 32 : 16;
    for (size_t k = 0; k < size; k += step, x += CHUNK) {
        int8x16_t first = load_bytes(p + k, size - k), second = vdupq_n_s8(0);
        if (format == LTLM_INT4) {
            nibbles(first, &first, &second);
        } else if (size - k > 16) {
            second = load_bytes(p + k + 16, size - k - 16);
        }
        LTLM_UNROLL
        for (int m = 0; m < rows; m++) {
            sum[m][0] = vdotq_s32(sum[m][0], first, vld1q_s8(x + (size_t)m * width));
            sum[m][1] = vdotq_s32(sum[m][1], second, vld1q_s8(x + (size_t)m * width + 16));
        }
    }
    LTLM_UNROLL
    for (int m = 0; m < rows; m++) {
        out[m] = vaddvq_s32(vaddq_s32(sum[m][0], sum[m][1]));
    }
}

/* INT8 and INT4: activation rows m..m + rows - 1 times weight row n. */
LTLM_INLINE void multiply_row(int32_t format, int rows, const ltlm_weights *w, const ltlm_activations *a,
                              int32_t m, int32_t n, const float *bias, float *out, size_t stride)
{
    size_t width = padded(w->columns);
    int32_t sums[AT_ONCE];
    row_dots(format, rows, ltlm__weight_row(w, n), ltlm__row_bytes(format, w->columns),
             (const int8_t *)a->bytes + (size_t)m * width, width, sums);
    float scale = ltlm__scale_at(w, n, 0);
    for (int i = 0; i < rows; i++) {
        const ltlm_quantised *q = a->quantised + m + i;
        float product = (float)(sums[i] - q->zero_point * w->sums[n]) * q->inverse_scale * scale;
        out[(size_t)(m + i) * stride + n] = bias ? product + bias[n] : product;
    }
}

/* INT4_BLOCK, likewise: 4 blocks at a time, block b in lane b % 4. */
LTLM_INLINE void multiply_blocks(int rows, const ltlm_weights *w, const ltlm_activations *a, int32_t m,
                                 int32_t n, const float *bias, float *out, size_t stride)
{
    size_t blocks = (size_t)w->columns / CHUNK, width = padded(w->columns);
    const uint8_t *p = ltlm__weight_row(w, n), *scales = (const uint8_t *)w->scales + (size_t)n * blocks * 2;
    float32x4_t total[AT_ONCE];
    LTLM_UNROLL
    for (int i = 0; i < rows; i++) {
        total[i] = vdupq_n_f32(0);
    }
    for (size_t b = 0; b < blocks; b += 4) {
        const int8_t *x = (const int8_t *)a->bytes + (size_t)m * width + b * CHUNK;
        size_t left = blocks - b < 4 ? blocks - b : 4;
        int32x4_t sums[AT_ONCE][4];
        LTLM_UNROLL
        for (size_t j = 0; j < 4; j++) {
            int8x16_t even, odd, one = vdupq_n_s8(1);
            nibbles(load_bytes(p + (b + j) * 16, j < left ? 16 : 0), &even, &odd);
            int32x4_t weights = vdotq_s32(vdotq_s32(vdupq_n_s32(0), even, one), odd, one);
            LTLM_UNROLL
            for (int i = 0; i < rows; i++) {
                const int8_t *at = x + (size_t)i * width + j * CHUNK;
                int32x4_t sum =
                    vdotq_s32(vdotq_s32(vdupq_n_s32(0), even, vld1q_s8(at)), odd, vld1q_s8(at + 16));
                sums[i][j] = vmlsq_n_s32(sum, weights, a->quantised[m + i].zero_point);
            }
        }
        uint16_t halves[4] = {0};
        memcpy(halves, scales + b * 2, left * 2);
        float32x4_t scale = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(halves)));
        LTLM_UNROLL
        for (int i = 0; i < rows; i++) {
            int32x4_t sum =
                vpaddq_s32(vpaddq_s32(sums[i][0], sums[i][1]), vpaddq_s32(sums[i][2], sums[i][3]));
            total[i] = vfmaq_f32(total[i], vcvtq_f32_s32(sum), scale);
        }
    }
    for (int i = 0; i < rows; i++) {
        float product = vaddvq_f32(total[i]) * a->quantised[m + i].inverse_scale;
        out[(size_t)(m + i) * stride + n] = bias ? product + bias[n] : product;
    }
}

LTLM_INLINE void multiply_some(int32_t format, int rows, const ltlm_weights *w, const ltlm_activations *a,
                               int32_t m, int32_t n, const float *bias, float *out, size_t stride)
{
    if (format == LTLM_INT4_BLOCK) {
        multiply_blocks(rows, w, a, m, n, bias, out, stride);
    } else {
        multiply_row(format, rows, w, a, m, n, bias, out, stride);
    }
}

/* All rows of weights, in the order of memory. */
LTLM_INLINE void multiply_few(int32_t format, const ltlm_weights *w, const ltlm_activations *a, int32_t from,
                              int32_t to, const float *bias, float *out, size_t stride)
{
    for (int32_t n = from; n < to; n++) {
        for (int32_t m = 0; m < a->rows; m += AT_ONCE) {
            switch (a->rows - m) {
            case 1: multiply_some(format, 1, w, a, m, n, bias, out, stride); break;
            case 2: multiply_some(format, 2, w, a, m, n, bias, out, stride); break;
            case 3: multiply_some(format, 3, w, a, m, n, bias, out, stride); break;
            default: multiply_some(format, 4, w, a, m, n, bias, out, stride); break;
            }
        }
    }
}
