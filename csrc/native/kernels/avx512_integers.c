/* avx512_integers.c - products of INT8, INT4 and INT2 weights with activations quantised to bytes: see
 * avx512_panels.h. All sums are integers, so their order is free. */
#include "avx512_panels.h"

#ifdef LTLM_HAS_AVX512

#include "portable.h"

enum {
    AHEAD = 4096, /* bytes from weights in use to weights asked for */
    CACHE = 32768 /* of the nearest cache, for activations */
};

LTLM_TARGET_BEGIN(LTLM_AVX512)

/* ---- weights ---- */

/* log2 of what the planes' weights are multiplied with. */
static int shift_of(int32_t format)
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
            sum = _mm512_dpbusd_epi32(sum, ones, ltlm__plane(v, p, planes));
        }
    }
    return _mm512_reduce_add_epi32(sum);
}

bool ltlm__avx512_sum_weights(const ltlm_weights *w, int32_t from, int32_t to, int32_t *sums)
{
    size_t bytes = ltlm__row_bytes(w->format, w->columns);
    for (int32_t n = from; n < to; n++) {
        const uint8_t *row = ltlm__weight_row(w, n);
        switch (w->format) {
        case LTLM_INT8: sums[n] = sum_of_row(row, bytes, 1); break;
        case LTLM_INT4: sums[n] = sum_of_row(row, bytes, 2) >> 4; break;
        default: sums[n] = sum_of_row(row, bytes, 4) >> 6; break;
        }
    }
    return true;
}

/* ---- products ---- */

/* What is known of a call of multiply. */
typedef struct {
    const ltlm_weights *w;
    const ltlm_activations *a;
    const float *bias;
    float *out;
    size_t stride;
    size_t bytes; /* of a weight row in the file */
    size_t step;  /* bytes of a row of activations */
} product;

/* What turns sums of up to LTLM_GROUP weight rows from n on into products. */
typedef struct {
    int32_t n;
    __mmask16 lanes;
    __m512i weight_sums;
    __m512 scales;
    __m128i shift;
} finishing;

/* count <= 0: of none. */
static finishing finishing_of(const product *job, int32_t n, int32_t count)
{
    finishing f = {.n = n, .lanes = count > 0 ? ltlm__lanes16(count) : 0};
    f.shift = _mm_cvtsi32_si128(shift_of(job->w->format));
    if (!f.lanes) {
        return f;
    }
    f.weight_sums = _mm512_maskz_loadu_epi32(f.lanes, job->w->sums + n);
    f.scales = _mm512_maskz_loadu_ps(f.lanes, (const uint8_t *)job->w->scales + (size_t)n * sizeof(float));
    return f;
}

/* Row m of activations. */
LTLM_INLINE void finish_row(const product *job, const finishing *f, int32_t m, __m512i sums)
{
    if (!f->lanes) {
        return;
    }
    ltlm_quantised quantised = job->a->quantised[m];
    __m512i offset = _mm512_set1_epi32(quantised.zero_point + 128);
    sums = _mm512_sra_epi32(sums, f->shift);
    sums = _mm512_sub_epi32(sums, _mm512_mullo_epi32(offset, f->weight_sums));
    ltlm__finish(_mm512_cvtepi32_ps(sums), quantised.inverse_scale, f->scales,
                 job->bias ? job->bias + f->n : NULL, f->lanes, job->out + (size_t)m * job->stride + f->n);
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
                                              ltlm__plane(v, p, planes));
            }
        }
    }
    for (; k < bytes; k += 64, x += 64 * planes) {
        __m512i v = _mm512_maskz_loadu_epi8(ltlm__lanes64(bytes - k), w + k);
        LTLM_UNROLL(4)
        for (int p = 0; p < planes; p++) {
            sums[p] = _mm512_dpbusd_epi32(sums[p], _mm512_load_si512(x + 64 * p), ltlm__plane(v, p, planes));
        }
    }
    return _mm512_add_epi32(_mm512_add_epi32(sums[0], sums[1]), _mm512_add_epi32(sums[2], sums[3]));
}

/* One weight row and `rows` <= LTLM_STREAM of activations. */
LTLM_INLINE void dot_some(const uint8_t *w, size_t bytes, int planes, const uint8_t *x, size_t step, int rows,
                          __m512i *out)
{
    __m512i sums[LTLM_STREAM];
    LTLM_UNROLL(8)
    for (int m = 0; m < rows; m++) {
        sums[m] = _mm512_setzero_si512();
    }
    for (size_t k = 0; k < bytes; k += 64, x += 64 * planes) {
        __m512i v = _mm512_maskz_loadu_epi8(ltlm__lanes64(bytes - k), w + k);
        _mm_prefetch((const char *)w + k + AHEAD, _MM_HINT_T0);
        LTLM_UNROLL(4)
        for (int p = 0; p < planes; p++) {
            __m512i plane = ltlm__plane(v, p, planes);
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

/* Up to LTLM_GROUP weight rows, with rows m .. m + rows - 1 of activations. */
static void stream(const product *job, int32_t n, int32_t count, int32_t m, int32_t rows)
{
    __m512i sums[LTLM_STREAM][LTLM_GROUP];
    const uint8_t *x = job->a->bytes + (size_t)m * job->step;
    for (int32_t i = 0; i < count; i++) {
        const uint8_t *row = job->w->data + (size_t)(n + i) * job->bytes;
        switch (job->w->format) {
        case LTLM_INT8: dot_row(row, job->bytes, 1, x, job->step, rows, &sums[0][i]); break;
        case LTLM_INT4: dot_row(row, job->bytes, 2, x, job->step, rows, &sums[0][i]); break;
        default: dot_row(row, job->bytes, 4, x, job->step, rows, &sums[0][i]); break;
        }
    }
    finishing f = finishing_of(job, n, count);
    for (int32_t row = 0; row < rows; row++) {
        for (int32_t i = count; i < LTLM_GROUP; i++) {
            sums[row][i] = _mm512_setzero_si512();
        }
        finish_row(job, &f, m + row, ltlm__sum_each(sums[row]));
    }
}

/* ---- many rows ---- */

/* A panel of weights with `rows` of activations, packed, that begin at x. */
LTLM_INLINE void tile(const uint8_t *w, const uint8_t *x, size_t fours, int rows, __m512i (*out)[2])
{
    __m512i sums[LTLM_PACK_ROWS][2];
    LTLM_UNROLL(12)
    for (int m = 0; m < rows; m++) {
        sums[m][0] = sums[m][1] = _mm512_setzero_si512();
    }
    for (size_t k = 0; k < fours; k++, w += 4 * LTLM_PANEL, x += 4 * LTLM_PACK_ROWS) {
        __m512i left = _mm512_load_si512(w), right = _mm512_load_si512(w + 64);
        LTLM_UNROLL(12)
        for (int m = 0; m < rows; m++) {
            int32_t four;
            memcpy(&four, x + 4 * m, sizeof four);
            __m512i q = _mm512_set1_epi32(four);
            sums[m][0] = _mm512_dpbusd_epi32(sums[m][0], q, left);
            sums[m][1] = _mm512_dpbusd_epi32(sums[m][1], q, right);
        }
    }
    LTLM_UNROLL(12)
    for (int m = 0; m < rows; m++) {
        out[m][0] = sums[m][0];
        out[m][1] = sums[m][1];
    }
}

static void panel(const product *job, int32_t n, int32_t count, bool more, uint8_t *scratch)
{
    ltlm__avx512_pack_weights(job->w, n, count, scratch);
    const uint8_t *next = job->w->data + (size_t)(n + LTLM_PANEL) * job->bytes;
    int32_t tiles = (job->a->rows + LTLM_PACK_ROWS - 1) / LTLM_PACK_ROWS;
    finishing left = finishing_of(job, n, count),
              right = finishing_of(job, n + LTLM_GROUP, count - LTLM_GROUP);
    for (int32_t t = 0; t < tiles; t++) {
        int32_t m = t * LTLM_PACK_ROWS, rows = job->a->rows - m;
        const uint8_t *x = job->a->bytes + (size_t)m * job->step;
        __m512i sums[LTLM_PACK_ROWS][2];
        if (rows > LTLM_PACK_ROWS / 2) {
            tile(scratch, x, job->step / 4, LTLM_PACK_ROWS, sums);
        } else {
            tile(scratch, x, job->step / 4, LTLM_PACK_ROWS / 2, sums);
        }
        if (more) {
            ltlm__fetch_part(next, LTLM_PANEL * job->bytes, t, tiles);
        }
        for (int32_t i = 0; i < rows && i < LTLM_PACK_ROWS; i++) {
            finish_row(job, &left, m + i, sums[i][0]);
            finish_row(job, &right, m + i, sums[i][1]);
        }
    }
}

size_t ltlm__avx512_integer_scratch(int32_t format, int32_t columns)
{
    return LTLM_PANEL * ltlm__unpacked_bytes(format, columns);
}

void ltlm__avx512_integer_multiply(const ltlm_weights *w, const ltlm_activations *a, int32_t from, int32_t to,
                                   const float *bias, float *out, size_t stride, void *scratch)
{
    product job = {.w = w, .a = a, .bias = bias, .out = out, .stride = stride};
    job.bytes = ltlm__row_bytes(w->format, w->columns);
    job.step = ltlm__unpacked_bytes(w->format, w->columns);
    if (a->rows > LTLM_STREAM) {
        for (int32_t n = from; n < to; n += LTLM_PANEL) {
            panel(&job, n, to - n < LTLM_PANEL ? to - n : LTLM_PANEL, to - n >= 2 * LTLM_PANEL, scratch);
        }
    } else {
        /* Activations that do not fit the cache are used in halves: the weights do. */
        int32_t most = (size_t)a->rows * job.step > CACHE ? LTLM_STREAM / 2 : LTLM_STREAM;
        for (int32_t n = from; n < to; n += LTLM_GROUP) {
            int32_t count = to - n < LTLM_GROUP ? to - n : LTLM_GROUP;
            for (int32_t m = 0; m < a->rows; m += most) {
                stream(&job, n, count, m, a->rows - m < most ? a->rows - m : most);
            }
        }
    }
}

LTLM_TARGET_END

#endif
