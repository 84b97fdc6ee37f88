/* avx512_panels.c - activations quantised and laid out, weights packed: see avx512_panels.h. */
#include "avx512_panels.h"

#ifdef LTLM_HAS_AVX512

LTLM_TARGET_BEGIN(LTLM_AVX512)

/* ---- activations ---- */

size_t ltlm__avx512_activation_bytes(int32_t format, int32_t rows, int32_t columns)
{
    if (format == LTLM_FLOAT32) {
        return 0;
    }
    int32_t packed = (rows + LTLM_PACK_ROWS - 1) / LTLM_PACK_ROWS * LTLM_PACK_ROWS;
    return (size_t)(rows > LTLM_STREAM ? packed : rows) * ltlm__unpacked_bytes(format, columns);
}

static ltlm_quantised quantisation_of(const float *x, int32_t n, float *scale)
{
    __m512 least = _mm512_setzero_ps(), greatest = least;
    for (int32_t i = 0; i < n; i += 16) {
        __m512 v = _mm512_maskz_loadu_ps(ltlm__lanes16(n - i), x + i);
        least = _mm512_min_ps(v, least); /* in this order NaN is passed over */
        greatest = _mm512_max_ps(v, greatest);
    }
    return ltlm__quantisation(_mm512_reduce_min_ps(least), _mm512_reduce_max_ps(greatest), scale);
}

/* 64 of q + 128 from column i on; beyond the last column 0. */
LTLM_INLINE __m512i quantise64(const float *x, int32_t i, int32_t n, __m512 scale, __m512i zero_point)
{
    _Alignas(64) uint8_t out[64];
    LTLM_UNROLL(4)
    for (int32_t j = 0; j < 64; j += 16) {
        __mmask16 lanes = i + j < n ? ltlm__lanes16(n - i - j) : 0;
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, x + i + j), scale);
        v = _mm512_min_ps(_mm512_max_ps(v, _mm512_set1_ps(-512.0f)), _mm512_set1_ps(512.0f)); /* NaN too */
        __m128i q = _mm512_cvtsepi32_epi8(_mm512_add_epi32(_mm512_cvtps_epi32(v), zero_point));
        q = _mm_maskz_mov_epi8(lanes, _mm_xor_si128(q, _mm_set1_epi8((char)0x80)));
        _mm_store_si128((__m128i *)(out + j), q);
    }
    return _mm512_load_si512(out);
}

/* The even bytes of a and b, and the odd ones. */
LTLM_INLINE void split(__m512i *a, __m512i *b)
{
    __m512i low = _mm512_set1_epi16(0xff), order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    __m512i even = _mm512_packus_epi16(_mm512_and_si512(*a, low), _mm512_and_si512(*b, low));
    __m512i odd = _mm512_packus_epi16(_mm512_srli_epi16(*a, 8), _mm512_srli_epi16(*b, 8));
    *a = _mm512_permutexvar_epi64(order, even); /* packing works in 128 bits */
    *b = _mm512_permutexvar_epi64(order, odd);
}

/* Bytes in the order of columns into the order of planes. */
LTLM_INLINE void to_planes(__m512i *v, int planes)
{
    if (planes == 2) {
        split(&v[0], &v[1]);
    } else if (planes == 4) {
        split(&v[0], &v[1]);
        split(&v[2], &v[3]);
        split(&v[0], &v[2]); /* 0 and 2 modulo 4 */
        split(&v[1], &v[3]); /* 1 and 3 */
    }
}

/* 64 bytes to where they belong in row `row`. */
LTLM_INLINE void place(int32_t format, const ltlm_activations *a, int32_t row, size_t at, __m512i bytes)
{
    size_t size = ltlm__unpacked_bytes(format, a->columns);
    if (a->rows <= LTLM_STREAM) {
        _mm512_store_si512(a->bytes + (size_t)row * size + at, bytes);
        return;
    }
    uint8_t *group = a->bytes + (size_t)(row / LTLM_PACK_ROWS * LTLM_PACK_ROWS) * size;
    uint8_t *to = group + (size_t)(row % LTLM_PACK_ROWS) * 4;
    _Alignas(64) uint32_t fours[16];
    _mm512_store_si512(fours, bytes);
    for (size_t i = 0; i < 16; i++) {
        memcpy(to + ltlm__packed_place(format, a->columns, at / 4 + i) * LTLM_PACK_ROWS * 4, &fours[i], 4);
    }
}

LTLM_INLINE void prepare_as(int32_t format, const ltlm_activations *a, int32_t row)
{
    const float *x = a->floats + (size_t)row * a->stride;
    int planes = ltlm__weights_per_byte(format);
    float scale;
    ltlm_quantised quantised = quantisation_of(x, a->columns, &scale);
    __m512 factor = _mm512_set1_ps(scale);
    __m512i zero_point = _mm512_set1_epi32(quantised.zero_point);
    __m512i sum = _mm512_setzero_si512(), ones = _mm512_set1_epi8(1);
    size_t size = ltlm__unpacked_bytes(format, a->columns);
    for (size_t at = 0; at < size; at += 64 * (size_t)planes) {
        __m512i v[4];
        LTLM_UNROLL(4)
        for (int p = 0; p < planes; p++) {
            v[p] = quantise64(x, (int32_t)at + 64 * p, a->columns, factor, zero_point);
            sum = _mm512_dpbusd_epi32(sum, v[p], ones);
        }
        to_planes(v, planes);
        LTLM_UNROLL(4)
        for (int p = 0; p < planes; p++) {
            place(format, a, row, at + 64 * (size_t)p, v[p]);
        }
    }
    quantised.sum = _mm512_reduce_add_epi32(sum) - 128 * a->columns;
    a->quantised[row] = quantised;
}

void ltlm__avx512_prepare(int32_t format, const ltlm_activations *a, int32_t row)
{
    switch (format) {
    case LTLM_INT8: prepare_as(LTLM_INT8, a, row); break;
    case LTLM_INT4: prepare_as(LTLM_INT4, a, row); break;
    case LTLM_INT2: prepare_as(LTLM_INT2, a, row); break;
    case LTLM_INT4_BLOCK: prepare_as(LTLM_INT4_BLOCK, a, row); break;
    default: break;
    }
}

/* ---- weights ---- */

/* 16 vectors of fours, of 16 weight rows, into their places. */
LTLM_INLINE void place_fours(int32_t format, int32_t columns, size_t at, const __m512i *fours, uint8_t *out)
{
    LTLM_UNROLL(16)
    for (size_t i = 0; i < 16; i++) {
        _mm512_store_si512(out + ltlm__packed_place(format, columns, at / 4 + i) * LTLM_PANEL * 4, fours[i]);
    }
}

/* 64 bytes of each of 16 weight rows. */
LTLM_INLINE void pack_chunk(int32_t format, int32_t columns, size_t at, const __m512i *raw, uint8_t *out)
{
    int planes = ltlm__weights_per_byte(format);
    LTLM_UNROLL(4)
    for (int p = 0; p < planes; p++) {
        __m512i fours[16];
        LTLM_UNROLL(16)
        for (int i = 0; i < 16; i++) {
            fours[i] = ltlm__plane(raw[i], p, planes);
        }
        ltlm__transpose(fours);
        place_fours(format, columns, (at * (size_t)planes) + 64 * (size_t)p, fours, out);
    }
}

/* 16 weight rows, `count` of which exist. */
LTLM_INLINE void pack_half(int32_t format, const ltlm_weights *w, const uint8_t *rows, int32_t count, uint8_t *out)
{
    size_t bytes = ltlm__row_bytes(format, w->columns), k = 0;
    size_t size = ltlm__unpacked_bytes(format, w->columns) / (size_t)ltlm__weights_per_byte(format);
    __m512i raw[16];
    for (; count >= 16 && k + 64 <= bytes; k += 64) {
        LTLM_UNROLL(16)
        for (int i = 0; i < 16; i++) {
            const uint8_t *from = rows + (size_t)i * bytes + k;
            raw[i] = _mm512_loadu_si512(from);
            _mm_prefetch((const char *)from + 512, _MM_HINT_T0);
        }
        pack_chunk(format, w->columns, k, raw, out);
    }
    for (; k < size; k += 64) {
        __mmask64 lanes = k < bytes ? ltlm__lanes64(bytes - k) : 0;
        for (int32_t i = 0; i < 16; i++) {
            raw[i] = _mm512_maskz_loadu_epi8(i < count ? lanes : 0, rows + (size_t)i * bytes + k);
        }
        pack_chunk(format, w->columns, k, raw, out);
    }
}

void ltlm__avx512_pack_weights(const ltlm_weights *w, int32_t n, int32_t count, uint8_t *out)
{
    for (int32_t half = 0; half < LTLM_PANEL; half += 16, out += 64) {
        int32_t left = count - half;
        const uint8_t *rows = left > 0 ? ltlm__weight_row(w, n + half) : w->data;
        switch (w->format) {
        case LTLM_INT8: pack_half(LTLM_INT8, w, rows, left, out); break;
        case LTLM_INT4: pack_half(LTLM_INT4, w, rows, left, out); break;
        case LTLM_INT4_BLOCK: pack_half(LTLM_INT4_BLOCK, w, rows, left, out); break;
        default: pack_half(LTLM_INT2, w, rows, left, out); break;
        }
    }
}

LTLM_TARGET_END

#endif
