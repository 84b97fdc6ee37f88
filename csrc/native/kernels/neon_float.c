/* neon_float.c - products with float32 activations, and embeddings.
 *
 * A dot product is four accumulators of 4 lanes: element k goes to lane k % 16, in order. So a row's result
 * is the same whatever it is computed with.
 */
#include "neon.h"

#ifdef LTLM_HAS_NEON

enum {
    GROUP = 8, /* weight rows that are unpacked at once, to be met by all activations */
    ROWS = 4   /* activation rows that share a load of weights */
};

/* 16 bytes as floats times `scale`, from `out` on. */
LTLM_INLINE void widen16(int8x16_t v, float scale, float *out)
{
    int16x8_t low = vmovl_s8(vget_low_s8(v)), high = vmovl_high_s8(v);
    vst1q_f32(out, vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), scale));
    vst1q_f32(out + 4, vmulq_n_f32(vcvtq_f32_s32(vmovl_high_s16(low)), scale));
    vst1q_f32(out + 8, vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), scale));
    vst1q_f32(out + 12, vmulq_n_f32(vcvtq_f32_s32(vmovl_high_s16(high)), scale));
}

/* Row `row` as floats, times the scales of its blocks if it has such. */
static void unpack(const ltlm_weights *w, int32_t row, float *out)
{
    int32_t k = 0, columns = w->columns;
    const uint8_t *p = ltlm__weight_row(w, row);
    if (w->format == LTLM_FLOAT32) {
        memcpy(out, p, (size_t)columns * sizeof *out);
        return;
    }
    if (w->format == LTLM_INT8) {
        for (; k + 16 <= columns; k += 16) {
            widen16(vreinterpretq_s8_u8(vld1q_u8(p + k)), 1.0f, out + k);
        }
    } else if (w->format != LTLM_INT2) {
        for (; k + 32 <= columns; k += 32) {
            int8x16_t v = vreinterpretq_s8_u8(vld1q_u8(p + k / 2));
            int8x16_t even = vshrq_n_s8(vshlq_n_s8(v, 4), 4), odd = vshrq_n_s8(v, 4);
            float scale = w->format == LTLM_INT4_BLOCK ? ltlm__scale_at(w, row, k) : 1.0f;
            widen16(vzip1q_s8(even, odd), scale, out + k);
            widen16(vzip2q_s8(even, odd), scale, out + k + 16);
        }
    }
    for (; k < columns; k++) {
        out[k] = (float)ltlm__integer_at(w->format, p, k);
    }
}

/* Products of `rows` rows of activations with one of weights; rows is a constant where this is inlined. */
LTLM_INLINE void dots(const float *x, size_t stride, int rows, const float *w, int32_t columns, float *out)
{
    float32x4_t a[ROWS][4];
    LTLM_UNROLL
    for (int m = 0; m < rows; m++) {
        a[m][0] = a[m][1] = a[m][2] = a[m][3] = vdupq_n_f32(0);
    }
    for (int32_t k = 0; k < columns; k += 16) {
        LTLM_UNROLL
        for (int j = 0; j < 4; j++) {
            int32_t at = k + j * 4, left = columns - at;
            if (left > 0) {
                float32x4_t v = ltlm__load_some(w + at, left, 0);
                LTLM_UNROLL
                for (int m = 0; m < rows; m++) {
                    a[m][j] = vfmaq_f32(a[m][j], ltlm__load_some(x + (size_t)m * stride + at, left, 0), v);
                }
            }
        }
    }
    LTLM_UNROLL
    for (int m = 0; m < rows; m++) {
        out[m] = vaddvq_f32(vaddq_f32(vaddq_f32(a[m][0], a[m][2]), vaddq_f32(a[m][1], a[m][3])));
    }
}

size_t ltlm__neon_float_scratch(int32_t columns)
{
    return GROUP * (size_t)columns * sizeof(float);
}

void ltlm__neon_float_multiply(const ltlm_weights *w, const ltlm_activations *a, int32_t from, int32_t to,
                               const float *bias, float *out, size_t stride, void *scratch)
{
    int32_t columns = w->columns, group = a->rows > ROWS ? GROUP : 1;
    for (int32_t n = from; n < to; n += group) {
        int32_t count = to - n < group ? to - n : group;
        for (int32_t i = 0; i < count; i++) {
            unpack(w, n + i, (float *)scratch + (size_t)i * columns);
        }
        for (int32_t m = 0; m < a->rows; m += ROWS) {
            int32_t rows = a->rows - m < ROWS ? a->rows - m : ROWS;
            const float *x = a->floats + (size_t)m * a->stride;
            for (int32_t i = 0; i < count; i++) {
                float sums[ROWS], scale = w->format == LTLM_INT4_BLOCK ? 1.0f : ltlm__scale_at(w, n + i, 0);
                const float *row = (const float *)scratch + (size_t)i * columns;
                switch (rows) {
                case 1: dots(x, a->stride, 1, row, columns, sums); break;
                case 2: dots(x, a->stride, 2, row, columns, sums); break;
                case 3: dots(x, a->stride, 3, row, columns, sums); break;
                default: dots(x, a->stride, 4, row, columns, sums); break;
                }
                for (int32_t j = 0; j < rows; j++) {
                    float product = sums[j] * scale;
                    out[(size_t)(m + j) * stride + n + i] = bias ? product + bias[n + i] : product;
                }
            }
        }
    }
}

void ltlm__neon_embed(const ltlm_weights *table, int32_t row, float factor, float *out)
{
    unpack(table, row, out);
    float scale = table->format == LTLM_INT4_BLOCK ? 1.0f : ltlm__scale_at(table, row, 0);
    for (int32_t i = 0; i < table->columns; i += 4) {
        float32x4_t v = ltlm__load_some(out + i, table->columns - i, 0);
        ltlm__store_some(out + i, table->columns - i, vmulq_n_f32(vmulq_n_f32(v, scale), factor));
    }
}

#endif
