/* avx2_few.h - a few rows of activations times weights as they lie in the file. Weights of INT4 and
 * INT4_BLOCK are made unsigned (0..15) by flipping their top bits. */
#include "avx2_activations.h"

/* Asks for the weights that are read next, of which there need not be any. One or two rows of activations
 * wait for memory: into the second cache, whose queue of misses is the longer one. With more rows there is so
 * much to do that there is no queue: into the first. `rows` is a constant. */
LTLM_INLINE void ask_ahead(int rows, const uint8_t *p)
{
    if (rows <= 2) {
        _mm_prefetch((const char *)((uintptr_t)p + 512), _MM_HINT_T1);
    } else {
        _mm_prefetch((const char *)((uintptr_t)p + 2048), _MM_HINT_T0);
    }
}

LTLM_INLINE __m256i load256(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

/* 64 columns: low and high nibbles of the 32 bytes number `step` from p on. */
LTLM_INLINE void nibbles(int rows, const uint8_t *p, int step, __m256i *even, __m256i *odd)
{
    __m256i low = _mm256_set1_epi8(0x0f);
    __m256i v = _mm256_xor_si256(load256(p + step * 32), _mm256_set1_epi8((char)0x88));
    if (step % 2 == 0) { /* once a cache line */
        ask_ahead(rows, p + step * 32);
    }
    *even = _mm256_and_si256(v, low);
    *odd = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
}

#ifdef LTLM_VNNI

enum { INT8_OFFSET = 128 }; /* what was added to INT8 weights to make them unsigned */

/* sum[2] += 64 weights times activations. */
LTLM_INLINE void int8_dot(bool least, __m256i first, __m256i second, const uint8_t *x, __m256i sum[2])
{
    (void)least;
    __m256i flip = _mm256_set1_epi8((char)0x80);
    sum[0] = _mm256_dpbusd_avx_epi32(sum[0], _mm256_xor_si256(first, flip), load256(x));
    sum[1] = _mm256_dpbusd_avx_epi32(sum[1], _mm256_xor_si256(second, flip), load256(x + 32));
}

/* sum[2] += `steps` times 64 weights, at p, times rows of activations; steps and rows are constants. */
LTLM_INLINE void add_nibbles(int steps, int rows, const uint8_t *p, const uint8_t *x, size_t width,
                             __m256i sum[AT_ONCE][2])
{
    LTLM_UNROLL
    for (int s = 0; s < steps; s++, x += 64) {
        __m256i even, odd;
        nibbles(rows, p, s, &even, &odd);
        LTLM_UNROLL
        for (int m = 0; m < rows; m++) {
            const uint8_t *row = x + (size_t)m * width;
            sum[m][0] = _mm256_dpbusd_avx_epi32(sum[m][0], even, load256(row));
            sum[m][1] = _mm256_dpbusd_avx_epi32(sum[m][1], odd, load256(row + 32));
        }
    }
}

/* The products of two blocks, each in its half. */
LTLM_INLINE __m256i block_products(__m256i even, __m256i odd, const uint8_t *x)
{
    __m256i sum = _mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), even, load256(x));
    return _mm256_dpbusd_avx_epi32(sum, odd, load256(x + 32));
}

/* Those of eight -> their sums, those of even blocks before those of odd ones. */
LTLM_INLINE __m256i block_sums(const __m256i p[4])
{
    return _mm256_hadd_epi32(_mm256_hadd_epi32(p[0], p[1]), _mm256_hadd_epi32(p[2], p[3]));
}

#else

enum { INT8_OFFSET = 0 };

/* 32 bytes of activations, their absolute values after them, times weights: the sign moves from one to the
 * other, as vpmaddubsw wants one of them unsigned. Two products of at most 128 * 127 fit 16 bits. */
LTLM_INLINE __m256i bytes_dot(__m256i w, const uint8_t *x)
{
    __m256i products = _mm256_maddubs_epi16(load256(x + 32), _mm256_sign_epi8(w, load256(x)));
    return _mm256_madd_epi16(products, _mm256_set1_epi16(1));
}

/* The same for any weights: of -128 there is no absolute value. */
LTLM_INLINE __m256i least_dot(__m256i w, const uint8_t *x)
{
    __m256i q = load256(x);
    __m256i low = _mm256_madd_epi16(_mm256_cvtepi8_epi16(_mm256_castsi256_si128(w)),
                                    _mm256_cvtepi8_epi16(_mm256_castsi256_si128(q)));
    __m256i high = _mm256_madd_epi16(_mm256_cvtepi8_epi16(_mm256_extracti128_si256(w, 1)),
                                     _mm256_cvtepi8_epi16(_mm256_extracti128_si256(q, 1)));
    return _mm256_add_epi32(low, high);
}

LTLM_INLINE void int8_dot(bool least, __m256i first, __m256i second, const uint8_t *x, __m256i sum[2])
{
    __m256i a = least ? least_dot(first, x) : bytes_dot(first, x);
    __m256i b = least ? least_dot(second, x + 64) : bytes_dot(second, x + 64);
    sum[0] = _mm256_add_epi32(sum[0], a);
    sum[1] = _mm256_add_epi32(sum[1], b);
}

/* At most 4 * 15 * 128 in 16 bits. */
LTLM_INLINE __m256i nibble_products(__m256i even, __m256i odd, const uint8_t *x)
{
    return _mm256_add_epi16(_mm256_maddubs_epi16(even, load256(x)),
                            _mm256_maddubs_epi16(odd, load256(x + 32)));
}

/* sum[0] += `steps` times 64 weights, at p, times rows of activations; steps, at most 4 as so many fit 16
 * bits, and rows are constants. */
LTLM_INLINE void add_nibbles(int steps, int rows, const uint8_t *p, const uint8_t *x, size_t width,
                             __m256i sum[AT_ONCE][2])
{
    __m256i words[AT_ONCE] = {_mm256_setzero_si256()};
    LTLM_UNROLL
    for (int s = 0; s < steps; s++, x += 64) {
        __m256i even, odd;
        nibbles(rows, p, s, &even, &odd);
        LTLM_UNROLL
        for (int m = 0; m < rows; m++) {
            __m256i v = nibble_products(even, odd, x + (size_t)m * width);
            words[m] = s == 0 ? v : _mm256_add_epi16(words[m], v);
        }
    }
    LTLM_UNROLL
    for (int m = 0; m < rows; m++) {
        __m256i v = _mm256_madd_epi16(words[m], _mm256_set1_epi16(1));
        sum[m][0] = _mm256_add_epi32(sum[m][0], v);
    }
}

LTLM_INLINE __m256i block_products(__m256i even, __m256i odd, const uint8_t *x)
{
    return nibble_products(even, odd, x);
}

/* Four of them fit 16 bits. */
LTLM_INLINE __m256i block_sums(const __m256i p[4])
{
    __m256i fours = _mm256_hadd_epi16(_mm256_hadd_epi16(p[0], p[1]), _mm256_hadd_epi16(p[2], p[3]));
    return _mm256_madd_epi16(fours, _mm256_set1_epi16(1));
}

#endif

/* sum += 64 columns of a row of weights, INT4 `steps` times as many, times `rows` rows of activations. */
LTLM_INLINE void add_steps(int32_t format, bool least, int steps, int rows, const uint8_t *p,
                           const uint8_t *x, size_t width, __m256i sum[AT_ONCE][2])
{
    if (format == LTLM_INT4) {
        add_nibbles(steps, rows, p, x, width, sum);
        return;
    }
    __m256i first = load256(p), second = load256(p + 32);
    ask_ahead(rows, p);
    LTLM_UNROLL
    for (int m = 0; m < rows; m++) {
        int8_dot(least, first, second, x + (size_t)m * width, sum[m]);
    }
}

/* A row of weights times `rows` rows of activations: format, least and rows are constants where this is
 * inlined. */
LTLM_INLINE void row_dots(int32_t format, bool least, int rows, const uint8_t *p, size_t size,
                          const uint8_t *x, size_t width, __m256i out[AT_ONCE])
{
    __m256i sum[AT_ONCE][2];
    LTLM_UNROLL
    for (int m = 0; m < rows; m++) {
        sum[m][0] = sum[m][1] = _mm256_setzero_si256();
    }
    const size_t step = format == LTLM_INT8 ? 64 : 32, wide = 64 * element(format);
    const size_t strip = format == LTLM_INT4 && rows <= 2 ? 4 : 1; /* for more there are no registers */
    size_t k = 0;
    for (; k + strip * step <= size; k += strip * step, x += strip * wide) {
        add_steps(format, least, (int)strip, rows, p + k, x, width, sum);
    }
    for (; k + step <= size; k += step, x += wide) {
        add_steps(format, least, 1, rows, p + k, x, width, sum);
    }
    if (k < size) {
        uint8_t last[64] = {0};
        memcpy(last, p + k, size - k);
        add_steps(format, least, 1, rows, last, x, width, sum);
    }
    LTLM_UNROLL
    for (int m = 0; m < rows; m++) {
        out[m] = _mm256_add_epi32(sum[m][0], sum[m][1]);
    }
}

/* Activation rows m..m + rows - 1 times weight rows n..n + 3, one of these after the other: memory is read in
 * order. */
LTLM_INLINE void multiply_rows(int32_t format, bool least, int rows, const ltlm_weights *w,
                               const ltlm_activations *a, int32_t m, int32_t n, int32_t to, const float *bias,
                               float *out, size_t stride)
{
    size_t size = ltlm__row_bytes(format, w->columns), width = padded(format, w->columns) * element(format);
    int32_t offset = format == LTLM_INT8 ? INT8_OFFSET : 8;
    const float *scales = w->scales;
    __m256i sums[4][AT_ONCE];
    for (int32_t j = 0; j < 4; j++) { /* past the end the last one again, for nobody */
        const uint8_t *p = w->data + (size_t)(n + j < to ? n + j : to - 1) * size;
        row_dots(format, least, rows, p, size, a->bytes + (size_t)m * width, width, sums[j]);
    }
    __m128i lanes = _mm256_castsi256_si128(ltlm__lanes(to - n));
    __m128i weights = _mm_maskload_epi32(w->sums + n, lanes);
    __m128 scale = _mm_maskload_ps(scales + n, lanes);
    LTLM_UNROLL
    for (int i = 0; i < rows; i++) {
        const ltlm_quantised *q = a->quantised + m + i;
        __m128i v = ltlm__sum4x8(sums[0][i], sums[1][i], sums[2][i], sums[3][i]);
        v = _mm_sub_epi32(v, _mm_set1_epi32(offset * q->sum));
        v = _mm_sub_epi32(v, _mm_mullo_epi32(weights, _mm_set1_epi32(q->zero_point)));
        __m128 y = _mm_mul_ps(_mm_mul_ps(_mm_cvtepi32_ps(v), _mm_set1_ps(q->inverse_scale)), scale);
        if (bias) {
            y = _mm_add_ps(y, _mm_maskload_ps(bias + n, lanes));
        }
        _mm_maskstore_ps(out + (size_t)(m + i) * stride + n, lanes, y);
    }
}

/* INT8, of which `least` says whether there may be -128, and INT4. */
LTLM_INLINE void multiply_few(int32_t format, bool least, const ltlm_weights *w,
                              const ltlm_activations *a, int32_t from, int32_t to, const float *bias,
                              float *out, size_t stride)
{
    for (int32_t n = from; n < to; n += 4) {
        for (int32_t m = 0; m < a->rows; m += AT_ONCE) {
            switch (a->rows - m) {
            case 1: multiply_rows(format, least, 1, w, a, m, n, to, bias, out, stride); break;
            case 2: multiply_rows(format, least, 2, w, a, m, n, to, bias, out, stride); break;
            case 3: multiply_rows(format, least, 3, w, a, m, n, to, bias, out, stride); break;
            default: multiply_rows(format, least, 4, w, a, m, n, to, bias, out, stride); break;
            }
        }
    }
}

/* INT4_BLOCK, weight row n times activation rows m..m + rows - 1: 8 blocks at a time, b in lane b % 8. */
LTLM_INLINE void block_dots(int rows, const ltlm_weights *w, const ltlm_activations *a, int32_t m, int32_t n,
                            __m256 total[AT_ONCE])
{
    size_t blocks = (size_t)w->columns / CHUNK, width = padded(LTLM_INT4_BLOCK, w->columns);
    const uint8_t *p = w->data + (size_t)n * blocks * 16;
    const uint8_t *scales = (const uint8_t *)w->scales + (size_t)n * blocks * 2;
    LTLM_UNROLL
    for (int i = 0; i < rows; i++) {
        total[i] = _mm256_setzero_ps();
    }
    for (size_t b = 0; b < blocks; b += 8) {
        uint8_t last[8 * 16], last_scales[8 * 2];
        const uint8_t *v = p + b * 16, *s = scales + b * 2, *x = a->bytes + (size_t)m * width + b * CHUNK;
        if (b + 8 > blocks) {
            memset(last, 0, sizeof last);
            memset(last_scales, 0, sizeof last_scales);
            v = memcpy(last, v, (blocks - b) * 16);
            s = memcpy(last_scales, s, (blocks - b) * 2);
        }
        __m256i products[AT_ONCE][4];
        LTLM_UNROLL
        for (int j = 0; j < 4; j++) {
            __m256i even, odd;
            nibbles(rows, v, j, &even, &odd);
            LTLM_UNROLL
            for (int i = 0; i < rows; i++) {
                products[i][j] = block_products(even, odd, x + (size_t)i * width + j * 64);
            }
        }
        __m256 scale = ltlm__load_half(s);
        LTLM_UNROLL
        for (int i = 0; i < rows; i++) {
            __m256i sum = ltlm__in_order(block_sums(products[i]));
            sum = _mm256_sub_epi32(sum, load256((const uint8_t *)(offsets_of(a, m + i) + b)));
            total[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, total[i]);
        }
    }
}

/* The same for weight rows n..n + 3. */
LTLM_INLINE void multiply_blocks(int rows, const ltlm_weights *w, const ltlm_activations *a, int32_t m,
                                 int32_t n, int32_t to, const float *bias, float *out, size_t stride)
{
    __m256 totals[4][AT_ONCE];
    for (int32_t j = 0; j < 4; j++) { /* past the end the last one again, for nobody */
        block_dots(rows, w, a, m, n + j < to ? n + j : to - 1, totals[j]);
    }
    __m128i lanes = _mm256_castsi256_si128(ltlm__lanes(to - n));
    __m128 weights = _mm_maskload_ps(w->block_sums + n, lanes);
    LTLM_UNROLL
    for (int i = 0; i < rows; i++) {
        const ltlm_quantised *q = a->quantised + m + i;
        __m128 y = ltlm__sums8(totals[0][i], totals[1][i], totals[2][i], totals[3][i]);
        y = _mm_fnmadd_ps(_mm_set1_ps((float)q->zero_point), weights, y);
        y = _mm_mul_ps(y, _mm_set1_ps(q->inverse_scale));
        if (bias) {
            y = _mm_add_ps(y, _mm_maskload_ps(bias + n, lanes));
        }
        _mm_maskstore_ps(out + (size_t)(m + i) * stride + n, lanes, y);
    }
}

LTLM_INLINE void multiply_few_blocks(const ltlm_weights *w, const ltlm_activations *a, int32_t from,
                                     int32_t to, const float *bias, float *out, size_t stride)
{
    for (int32_t n = from; n < to; n += 4) {
        for (int32_t m = 0; m < a->rows; m += AT_ONCE) {
            switch (a->rows - m) {
            case 1: multiply_blocks(1, w, a, m, n, to, bias, out, stride); break;
            case 2: multiply_blocks(2, w, a, m, n, to, bias, out, stride); break;
            case 3: multiply_blocks(3, w, a, m, n, to, bias, out, stride); break;
            default: multiply_blocks(4, w, a, m, n, to, bias, out, stride); break;
            }
        }
    }
}
