/* avx512_integers.c - products of INT8, INT4 and INT2 weights with activations quantised to bytes.
 *
 * vpdpbusd multiplies unsigned with signed bytes: activations are kept as q + 128, and 128 * (sum of the
 * weight row) comes off again together with the zero point. Weights need no offset: a nibble in the upper
 * half of a byte is 16 times its value, as a signed byte, so a mask (and for the lower nibble a shift) is all
 * the unpacking that there is, and the sum is shifted right at the end. The activations lie in the order that
 * this leaves the weights in: of each 64 bytes of weights first those that go with the lowest bits, then
 * those with the next.
 *
 * All sums are integers, so their order is free. Up to STREAM rows of activations: one row of weights at a
 * time, straight from the file, which is what memory likes best. More: panels of weights are unpacked into
 * scratch and multiplied in tiles that fill the registers.
 */
#include "avx512.h"

#ifdef LTLM_HAS_AVX512

#include "formats.h"
#include "portable.h"

enum {
    STREAM = 8,     /* rows of activations that are multiplied without unpacking weights */
    AHEAD = 4096,   /* bytes from weights in use to weights asked for */
    PANEL = 32,     /* weight rows unpacked together */
    TILE_ROWS = 6,  /* rows of activations in a tile */
    TILE_WEIGHTS = 4 /* weight rows in a tile */
};

LTLM_TARGET_BEGIN(LTLM_AVX512)

/* ---- weights ---- */

/* Plane p of 64 bytes: those weights at place p of each byte, times 1, 16 or 64. */
LTLM_INLINE __m512i plane_of(__m512i bytes, int p, int planes)
{
    int bits = 8 / planes, shift = 8 - bits - p * bits;
    __m512i upper = _mm512_set1_epi8((char)(0xff << (8 - bits)));
    __m512i shifted = shift ? _mm512_slli_epi16(bytes, (unsigned)shift) : bytes;
    return planes == 1 ? bytes : _mm512_and_si512(shifted, upper);
}

/* log2 of what the planes' weights are multiplied with. */
static unsigned shift_of(int32_t format)
{
    return format == LTLM_INT8 ? 0 : format == LTLM_INT4 ? 4 : 6;
}

LTLM_INLINE int32_t sum_of_row(const uint8_t *row, size_t bytes, int planes)
{
    __m512i sum = _mm512_setzero_si512(), ones = _mm512_set1_epi8(1);
    for (size_t k = 0; k < bytes; k += 64) {
        __m512i v = _mm512_maskz_loadu_epi8(ltlm__lanes64(bytes - k), row + k);
        LTLM_UNROLL(4)
        for (int p = 0; p < planes; p++) {
            sum = _mm512_dpbusd_epi32(sum, ones, plane_of(v, p, planes));
        }
    }
    return _mm512_reduce_add_epi32(sum);
}

void ltlm__avx512_sum_weights(const ltlm_weights *w, int32_t from, int32_t to, int32_t *sums,
                              int32_t *block_sums)
{
    if (w->format == LTLM_FLOAT32 || w->format == LTLM_INT4_BLOCK) {
        ltlm__portable_sum_weights(w, from, to, sums, block_sums);
        return;
    }
    size_t bytes = ltlm__row_bytes(w->format, w->columns);
    for (int32_t n = from; n < to; n++) {
        const uint8_t *row = ltlm__weight_row(w, n);
        switch (w->format) {
        case LTLM_INT8: sums[n] = sum_of_row(row, bytes, 1); break;
        case LTLM_INT4: sums[n] = sum_of_row(row, bytes, 2) >> 4; break;
        default: sums[n] = sum_of_row(row, bytes, 4) >> 6; break;
        }
    }
}

/* ---- products ---- */

/* What is known of a call of multiply. */
typedef struct {
    const ltlm_weights *w;
    const ltlm_activations *a;
    const float *bias;
    float *out;
    size_t stride;
    size_t bytes;  /* of a weight row in the file */
    size_t padded; /* of a weight row unpacked */
    size_t step;   /* from row to row of activations, and of unpacked weights */
} product;

/* Weight rows n .. n + count - 1, with rows m .. m + rows - 1 of activations; sums[row][n]: lanes to be
 * added. */
static void finish(const product *job, int32_t n, int32_t count, int32_t m, int32_t rows,
                   __m512i (*sums)[LTLM_GROUP])
{
    __mmask16 lanes = ltlm__lanes16(count);
    __m512i weight_sums = _mm512_maskz_loadu_epi32(lanes, job->w->sums + n);
    __m512 scales = _mm512_maskz_loadu_ps(lanes, (const uint8_t *)job->w->scales + (size_t)n * sizeof(float));
    unsigned shift = shift_of(job->w->format);
    for (int32_t i = 0; i < rows; i++) {
        ltlm_quantised quantised = job->a->quantised[m + i];
        __m512i offset = _mm512_set1_epi32(quantised.zero_point + 128);
        __m512i sum = _mm512_srai_epi32(ltlm__sum_each(sums[i]), shift);
        sum = _mm512_sub_epi32(sum, _mm512_mullo_epi32(offset, weight_sums));
        ltlm__finish(_mm512_cvtepi32_ps(sum), quantised.inverse_scale, scales, job->bias ? job->bias + n : NULL,
                     lanes, job->out + (size_t)(m + i) * job->stride + n);
    }
}

/* One weight row and one row of activations: four sums, to be independent of their latency. */
LTLM_INLINE __m512i dot_one(const uint8_t *w, size_t bytes, int planes, const uint8_t *x)
{
    __m512i sums[4];
    LTLM_UNROLL(4)
    for (int i = 0; i < 4; i++) {
        sums[i] = _mm512_setzero_si512();
    }
    size_t k = 0;
    for (; k + 256 <= bytes; k += 256, x += 256 * planes) {
        LTLM_UNROLL(4)
        for (int i = 0; i < 4; i++) {
            __m512i v = _mm512_loadu_si512(w + k + 64 * i);
            _mm_prefetch((const char *)w + k + 64 * i + AHEAD, _MM_HINT_T0);
            LTLM_UNROLL(4)
            for (int p = 0; p < planes; p++) {
                sums[i] = _mm512_dpbusd_epi32(sums[i], _mm512_load_si512(x + 64 * (i * planes + p)),
                                              plane_of(v, p, planes));
            }
        }
    }
    for (; k < bytes; k += 64, x += 64 * planes) {
        __m512i v = _mm512_maskz_loadu_epi8(ltlm__lanes64(bytes - k), w + k);
        LTLM_UNROLL(4)
        for (int p = 0; p < planes; p++) {
            sums[p] = _mm512_dpbusd_epi32(sums[p], _mm512_load_si512(x + 64 * p), plane_of(v, p, planes));
        }
    }
    return _mm512_add_epi32(_mm512_add_epi32(sums[0], sums[1]), _mm512_add_epi32(sums[2], sums[3]));
}

/* One weight row and `rows` <= STREAM of activations. */
LTLM_INLINE void dot_some(const uint8_t *w, size_t bytes, int planes, const uint8_t *x, size_t step,
                          int rows, __m512i *out)
{
    __m512i sums[STREAM];
    LTLM_UNROLL(8)
    for (int m = 0; m < rows; m++) {
        sums[m] = _mm512_setzero_si512();
    }
    for (size_t k = 0; k < bytes; k += 64, x += 64 * planes) {
        __m512i v = _mm512_maskz_loadu_epi8(ltlm__lanes64(bytes - k), w + k);
        _mm_prefetch((const char *)w + k + AHEAD, _MM_HINT_T0);
        LTLM_UNROLL(4)
        for (int p = 0; p < planes; p++) {
            __m512i plane = plane_of(v, p, planes);
            LTLM_UNROLL(8)
            for (int m = 0; m < rows; m++) {
                __m512i q = _mm512_load_si512(x + (size_t)m * step + 64 * p);
                sums[m] = _mm512_dpbusd_epi32(sums[m], q, plane);
            }
        }
    }
    LTLM_UNROLL(8)
    for (int m = 0; m < rows; m++) {
        out[m * LTLM_GROUP] = sums[m];
    }
}

LTLM_INLINE void dot_row(const uint8_t *w, size_t bytes, int planes, const uint8_t *x, size_t step,
                         int32_t rows, __m512i *out)
{
    switch (rows) {
    case 1: *out = dot_one(w, bytes, planes, x); break;
    case 2: dot_some(w, bytes, planes, x, step, 2, out); break;
    case 3: dot_some(w, bytes, planes, x, step, 3, out); break;
    case 4: dot_some(w, bytes, planes, x, step, 4, out); break;
    case 5: dot_some(w, bytes, planes, x, step, 5, out); break;
    case 6: dot_some(w, bytes, planes, x, step, 6, out); break;
    case 7: dot_some(w, bytes, planes, x, step, 7, out); break;
    default: dot_some(w, bytes, planes, x, step, 8, out); break;
    }
}

static void stream(const product *job, int32_t n, int32_t count, int32_t m, int32_t rows)
{
    __m512i sums[STREAM][LTLM_GROUP];
    const uint8_t *x = job->a->bytes + (size_t)m * job->step;
    for (int32_t i = 0; i < count; i++) {
        const uint8_t *row = job->w->data + (size_t)(n + i) * job->bytes;
        switch (job->w->format) {
        case LTLM_INT8: dot_row(row, job->bytes, 1, x, job->step, rows, &sums[0][i]); break;
        case LTLM_INT4: dot_row(row, job->bytes, 2, x, job->step, rows, &sums[0][i]); break;
        default: dot_row(row, job->bytes, 4, x, job->step, rows, &sums[0][i]); break;
        }
    }
    for (int32_t i = count; i < LTLM_GROUP; i++) {
        for (int32_t row = 0; row < rows; row++) {
            sums[row][i] = _mm512_setzero_si512();
        }
    }
    finish(job, n, count, m, rows, sums);
}

/* ---- many rows ---- */

LTLM_INLINE void unpack_row(const uint8_t *w, size_t bytes, int planes, uint8_t *out)
{
    for (size_t k = 0; k < bytes; k += 64, out += 64 * planes) {
        __m512i v = _mm512_maskz_loadu_epi8(ltlm__lanes64(bytes - k), w + k);
        LTLM_UNROLL(4)
        for (int p = 0; p < planes; p++) {
            _mm512_store_si512(out + 64 * p, plane_of(v, p, planes));
        }
    }
}

static void unpack_panel(const product *job, int32_t n, uint8_t *out)
{
    for (int32_t i = 0; i < PANEL; i++, out += job->step) {
        const uint8_t *row = job->w->data + (size_t)(n + i) * job->bytes;
        switch (job->w->format) {
        case LTLM_INT8: unpack_row(row, job->bytes, 1, out); break;
        case LTLM_INT4: unpack_row(row, job->bytes, 2, out); break;
        default: unpack_row(row, job->bytes, 4, out); break;
        }
    }
}

LTLM_INLINE void tile(const product *job, const uint8_t *w, const uint8_t *x, int rows,
                      __m512i (*out)[LTLM_GROUP])
{
    __m512i sums[TILE_ROWS][TILE_WEIGHTS];
    LTLM_UNROLL(6)
    for (int m = 0; m < rows; m++) {
        LTLM_UNROLL(4)
        for (int n = 0; n < TILE_WEIGHTS; n++) {
            sums[m][n] = _mm512_setzero_si512();
        }
    }
    size_t step = job->step, size = job->padded;
    for (size_t k = 0; k < size; k += 64) {
        __m512i q[TILE_ROWS];
        LTLM_UNROLL(6)
        for (int m = 0; m < rows; m++) {
            q[m] = _mm512_load_si512(x + (size_t)m * step + k);
        }
        LTLM_UNROLL(4)
        for (int n = 0; n < TILE_WEIGHTS; n++) {
            __m512i v = _mm512_load_si512(w + (size_t)n * step + k);
            LTLM_UNROLL(6)
            for (int m = 0; m < rows; m++) {
                sums[m][n] = _mm512_dpbusd_epi32(sums[m][n], q[m], v);
            }
        }
    }
    LTLM_UNROLL(6)
    for (int m = 0; m < rows; m++) {
        LTLM_UNROLL(4)
        for (int n = 0; n < TILE_WEIGHTS; n++) {
            out[m][n] = sums[m][n];
        }
    }
}

static void tile_of(const product *job, const uint8_t *w, const uint8_t *x, int32_t rows,
                    __m512i (*out)[LTLM_GROUP])
{
    switch (rows) {
    case 1: tile(job, w, x, 1, out); break;
    case 2: tile(job, w, x, 2, out); break;
    case 3: tile(job, w, x, 3, out); break;
    case 4: tile(job, w, x, 4, out); break;
    case 5: tile(job, w, x, 5, out); break;
    default: tile(job, w, x, 6, out); break;
    }
}

/* Asks for part `index` of `parts` of the next panel, so that unpacking finds it in the cache. */
static void fetch_part(const uint8_t *next, size_t size, int32_t index, int32_t parts)
{
    size_t from = size / (size_t)parts * (size_t)index, to = from + size / (size_t)parts + 64;
    for (size_t k = from; k < to; k += 64) {
        _mm_prefetch((const char *)next + k, _MM_HINT_T1);
    }
}

static void panel(const product *job, int32_t n, bool more, uint8_t *scratch)
{
    unpack_panel(job, n, scratch);
    const uint8_t *next = job->w->data + (size_t)(n + PANEL) * job->bytes;
    int32_t rows = job->a->rows, tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    for (int32_t t = 0; t < tiles; t++) {
        int32_t m = t * TILE_ROWS, count = rows - m < TILE_ROWS ? rows - m : TILE_ROWS;
        const uint8_t *x = job->a->bytes + (size_t)m * job->step;
        if (more) {
            fetch_part(next, PANEL * job->bytes, t, tiles);
        }
        for (int32_t group = 0; group < PANEL; group += LTLM_GROUP) {
            __m512i sums[TILE_ROWS][LTLM_GROUP];
            for (int32_t i = 0; i < LTLM_GROUP; i += TILE_WEIGHTS) {
                const uint8_t *w = scratch + (size_t)(group + i) * job->step;
                tile_of(job, w, x, count, (__m512i(*)[LTLM_GROUP]) & sums[0][i]);
            }
            finish(job, n + group, LTLM_GROUP, m, count, sums);
        }
    }
}

size_t ltlm__avx512_integer_scratch(int32_t format, int32_t columns)
{
    return PANEL * ltlm__avx512_activation_stride(format, columns);
}

void ltlm__avx512_integer_multiply(const ltlm_weights *w, const ltlm_activations *a, int32_t from, int32_t to,
                                   const float *bias, float *out, size_t stride, void *scratch)
{
    product job = {.w = w, .a = a, .bias = bias, .out = out, .stride = stride};
    job.bytes = ltlm__row_bytes(w->format, w->columns);
    job.padded = (job.bytes + 63) / 64 * 64 * (size_t)ltlm__weights_per_byte(w->format);
    job.step = ltlm__avx512_activation_stride(w->format, w->columns);
    int32_t n = from;
    if (a->rows > STREAM) {
        for (; n + PANEL <= to; n += PANEL) {
            panel(&job, n, n + 2 * PANEL <= to, scratch);
        }
    }
    for (; n < to; n += LTLM_GROUP) {
        int32_t count = to - n < LTLM_GROUP ? to - n : LTLM_GROUP;
        for (int32_t m = 0; m < a->rows; m += STREAM) {
            stream(&job, n, count, m, a->rows - m < STREAM ? a->rows - m : STREAM);
        }
    }
}

LTLM_TARGET_END

#endif
