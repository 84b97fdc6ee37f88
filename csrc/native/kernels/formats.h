/* formats.h - how numbers lie in files and caches, one at a time: what every table and every test agrees on.
 *
 * Any thread. Bytes of files need no alignment, so floats in them are copied before they are used.
 */
#ifndef LTLM_KERNELS_FORMATS_H
#define LTLM_KERNELS_FORMATS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "../kernels.h"

enum { LTLM_BLOCK = 32 /* weights of INT4_BLOCK that share a scale */ };

static inline float ltlm__float_at(const void *floats, size_t index)
{
    float value;
    memcpy(&value, (const uint8_t *)floats + index * sizeof value, sizeof value);
    return value;
}

static inline uint16_t ltlm__half_at(const void *halves, size_t index)
{
    uint16_t value;
    memcpy(&value, (const uint8_t *)halves + index * sizeof value, sizeof value);
    return value;
}

static inline float ltlm__bits_to_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float ltlm__half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = (half >> 10) & 31, fraction = half & 1023;
    if (exponent == 0) {
        float value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    if (exponent == 31) {
        return ltlm__bits_to_float(sign | 0x7f800000 | fraction << 13);
    }
    return ltlm__bits_to_float(sign | (exponent + 112) << 23 | fraction << 13);
}

/* Rounded half to even; what is too great for a half becomes the greatest, so that a cache holds no infinity.
 * */
static inline uint16_t ltlm__float_to_half(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    bits &= 0x7fffffff;
    if (bits > 0x7f800000) {
        return sign | 0x7e00;
    }
    if (bits >= 0x477fe000) { /* 65504 */
        return sign | 0x7bff;
    }
    if (bits < 0x38800000) { /* below the least normal half */
        return sign | (uint16_t)rintf(ltlm__bits_to_float(bits) * 0x1p24f);
    }
    uint32_t rounded = bits + 0xfff + (bits >> 13 & 1);
    return sign | (uint16_t)((rounded - 0x38000000) >> 13);
}

/* Weights that lie in one byte; 0 for FLOAT32. */
static inline int32_t ltlm__weights_per_byte(int32_t format)
{
    switch (format) {
    case LTLM_INT8: return 1;
    case LTLM_INT4:
    case LTLM_INT4_BLOCK: return 2;
    case LTLM_INT2: return 4;
    default: return 0;
    }
}

static inline size_t ltlm__row_bytes(int32_t format, int32_t columns)
{
    int32_t per_byte = ltlm__weights_per_byte(format);
    return per_byte ? (size_t)columns / (size_t)per_byte : (size_t)columns * sizeof(float);
}

static inline const uint8_t *ltlm__weight_row(const ltlm_weights *w, int32_t row)
{
    return w->data + (size_t)row * ltlm__row_bytes(w->format, w->columns);
}

/* The integer at `column` of a row of integers. */
static inline int32_t ltlm__integer_at(int32_t format, const uint8_t *row, int32_t column)
{
    switch (ltlm__weights_per_byte(format)) {
    case 1: return (int8_t)row[column];
    case 2: return (((row[column / 2] >> 4 * (column % 2)) & 15) ^ 8) - 8;
    default: return (((row[column / 4] >> 2 * (column % 4)) & 3) ^ 2) - 2;
    }
}

/* What the integer at `column` is multiplied with; 1 for FLOAT32. */
static inline float ltlm__scale_at(const ltlm_weights *w, int32_t row, int32_t column)
{
    switch (w->format) {
    case LTLM_FLOAT32: return 1.0f;
    case LTLM_INT4_BLOCK: {
        size_t blocks = (size_t)w->columns / LTLM_BLOCK;
        size_t block = (size_t)row * blocks + (size_t)column / LTLM_BLOCK;
        return ltlm__half_to_float(ltlm__half_at(w->scales, block));
    }
    default: return ltlm__float_at(w->scales, (size_t)row);
    }
}

/* From the least and the greatest of a row, and 0. *scale: what to multiply with; q as ltlm__quantise makes
 * it. */
static inline ltlm_quantised ltlm__quantisation(float least, float greatest, float *scale)
{
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif
    float wanted = least == greatest ? 1.0f : 255.0f / (greatest - least);
    float low = least * wanted, high = greatest * wanted;
    float low_error = -128.0f + low, high_error = 127.0f + high;
    float zero = low_error + high_error > 0 ? -128.0f - low : 127.0f - high;
    zero = zero > -128.0f ? zero : -128.0f; /* NaN too */
    zero = zero < 127.0f ? zero : 127.0f;
    ltlm_quantised result = {.inverse_scale = 1.0f / wanted, .zero_point = (int32_t)rintf(zero)};
    *scale = 1.0f / result.inverse_scale;
    return result;
}

static inline int32_t ltlm__quantise(float x, float scale, int32_t zero_point)
{
    float scaled = x * scale;
    scaled = scaled > -512.0f ? scaled : -512.0f; /* NaN too: no integer is made of what does not fit one */
    scaled = scaled < 512.0f ? scaled : 512.0f;
    int32_t q = (int32_t)rintf(scaled) + zero_point;
    return q < -128 ? -128 : q > 127 ? 127 : q;
}

#endif /* LTLM_KERNELS_FORMATS_H */
