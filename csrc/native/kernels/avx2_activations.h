/* avx2_activations.h - activations quantised row by row and laid out for avx2_multiply.h. Included by one
 * source for each table, which has switched the instructions on and defined INT8_BYTES, the size of an
 * activation that meets INT8, and how many rows are few.
 *
 * Few rows meet weights as they lie in the file, so a row is contiguous; for INT8, without vpdpbusd, with the
 * absolute values of each 32 bytes after them; for INT4 and INT4_BLOCK with the
 * even columns of each 64 before the odd ones, as the nibbles come apart. More rows, and INT2, meet a packed
 * panel of weights: there TILE_ROWS rows are interleaved, 4 bytes of each in turn.
 */
#include "avx2.h"

enum {
    AT_ONCE = 4, /* of a few rows, that are multiplied with a vector of weights while it is in a register */
    TILE_ROWS = 6,
    TILE_COLUMNS = 16, /* weight rows in a panel */
    CHUNK = 32         /* columns that are packed and multiplied at a time: a block of INT4_BLOCK */
};

/* Columns with the zeros after them. */
LTLM_INLINE size_t padded(int32_t format, int32_t columns)
{
    size_t step = format == LTLM_INT4_BLOCK ? 256 : 64;
    return ((size_t)columns + step - 1) / step * step;
}

LTLM_INLINE bool is_few(int32_t format, int32_t rows)
{
    switch (format) {
    case LTLM_INT8: return rows <= FEW_INT8;
    case LTLM_INT4: return rows <= FEW_INT4;
    case LTLM_INT4_BLOCK: return rows <= FEW_BLOCK;
    default: return false;
    }
}

LTLM_INLINE size_t element(int32_t format)
{
    return format == LTLM_INT8 ? INT8_BYTES : 1;
}

/* Where the offsets of INT4_BLOCK begin: for each row and block 8 times the sum of q, which is what the
 * products have too much as the weights are unsigned. */
LTLM_INLINE size_t offsets_at(int32_t format, int32_t rows, int32_t columns)
{
    size_t held =
        is_few(format, rows) ? (size_t)rows : ((size_t)rows + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
    return held * padded(format, columns) * element(format);
}

LTLM_INLINE int32_t *offsets_of(const ltlm_activations *a, int32_t row)
{
    size_t blocks = padded(LTLM_INT4_BLOCK, a->columns) / CHUNK;
    return (int32_t *)(void *)(a->bytes + offsets_at(LTLM_INT4_BLOCK, a->rows, a->columns)) + row * blocks;
}

static size_t activation_bytes(int32_t format, int32_t rows, int32_t columns)
{
    if (format == LTLM_FLOAT32) {
        return 0;
    }
    size_t blocks = format == LTLM_INT4_BLOCK ? padded(format, columns) / CHUNK : 0;
    return offsets_at(format, rows, columns) + (size_t)rows * blocks * sizeof(int32_t);
}

/* Fills in how the row is quantised; returns what it is multiplied by. */
LTLM_INLINE float find_scale(const float *x, int32_t n, ltlm_quantised *to)
{
    __m256 low = _mm256_setzero_ps(), high = low;
    for (int32_t i = 0; i < n; i += 8) {
        __m256 v = _mm256_maskload_ps(x + i, ltlm__lanes(n - i));
        low = _mm256_min_ps(v, low); /* NaN: what was there */
        high = _mm256_max_ps(v, high);
    }
    float least = -ltlm__max8(_mm256_sub_ps(_mm256_setzero_ps(), low)), most = ltlm__max8(high);
    float scale;
    *to = ltlm__quantisation(least, most, &scale);
    return scale;
}

/* 8 of x as q, one to each 32 bits; 0 from `n` on. As ltlm__quantise. */
LTLM_INLINE __m256i quantise8(const float *x, int32_t n, __m256 scale, __m256i zero)
{
    __m256i lanes = ltlm__lanes(n);
    __m256 scaled = _mm256_mul_ps(_mm256_maskload_ps(x, lanes), scale);
    scaled = _mm256_min_ps(_mm256_max_ps(scaled, _mm256_set1_ps(-512.0f)), _mm256_set1_ps(512.0f));
    __m256i v = _mm256_add_epi32(_mm256_cvtps_epi32(scaled), zero);
    v = _mm256_min_epi32(_mm256_max_epi32(v, _mm256_set1_epi32(-128)), _mm256_set1_epi32(127));
    return _mm256_and_si256(v, lanes);
}

/* 32 of x as bytes, in order; *sum += them. */
LTLM_INLINE __m256i quantise32(const float *x, int32_t n, __m256 scale, __m256i zero, __m256i *sum)
{
    __m256i a, b = _mm256_setzero_si256(), c = b, d = b;
    a = quantise8(x, n, scale, zero);
    if (n > 8) {
        b = quantise8(x + 8, n - 8, scale, zero);
    }
    if (n > 16) {
        c = quantise8(x + 16, n - 16, scale, zero);
    }
    if (n > 24) {
        d = quantise8(x + 24, n - 24, scale, zero);
    }
    *sum = _mm256_add_epi32(*sum, _mm256_add_epi32(_mm256_add_epi32(a, b), _mm256_add_epi32(c, d)));
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

LTLM_INLINE int32_t sum8i(__m256i v)
{
    return _mm_cvtsi128_si32(ltlm__sum4x8(v, v, v, v));
}

/* The even bytes, then the odd ones. */
LTLM_INLINE __m256i part(__m256i v)
{
    __m256i order =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15));
    return _mm256_permute4x64_epi64(_mm256_shuffle_epi8(v, order), 0xd8);
}

/* `first` and `second`, 64 columns from `k` on, go where multiply expects them. */
LTLM_INLINE void place(int32_t format, const ltlm_activations *a, int32_t row, size_t k, __m256i first,
                       __m256i second)
{
    size_t width = padded(format, a->columns) * element(format);
    __m256i words[4] = {first, second};
    int count = 2;
    if (element(format) == 2 && is_few(format, a->rows)) {
        words[1] = _mm256_abs_epi8(first);
        words[2] = second;
        words[3] = _mm256_abs_epi8(second);
        count = 4;
    } else if (element(format) == 2) {
        words[0] = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(first));
        words[1] = _mm256_cvtepi8_epi16(_mm256_extracti128_si256(first, 1));
        words[2] = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(second));
        words[3] = _mm256_cvtepi8_epi16(_mm256_extracti128_si256(second, 1));
        count = 4;
    }
    if (is_few(format, a->rows)) {
        if (format == LTLM_INT4 || format == LTLM_INT4_BLOCK) {
            __m256i u = part(first), v = part(second);
            words[0] = _mm256_permute2x128_si256(u, v, 0x20);
            words[1] = _mm256_permute2x128_si256(u, v, 0x31);
        }
        __m256i *to = (__m256i *)(void *)(a->bytes + (size_t)row * width + k * element(format));
        for (int i = 0; i < count; i++) {
            _mm256_storeu_si256(to + i, words[i]);
        }
        return;
    }
    int32_t *to =
        (int32_t *)(void *)(a->bytes + (size_t)(row / TILE_ROWS) * TILE_ROWS * width) + row % TILE_ROWS;
    to += k * element(format) / 4 * TILE_ROWS;
    for (int i = 0; i < count; i++) {
        int32_t quads[8];
        _mm256_storeu_si256((__m256i *)quads, words[i]);
        for (int j = 0; j < 8; j++) {
            to[(i * 8 + j) * TILE_ROWS] = quads[j];
        }
    }
}

LTLM_INLINE void prepare_as(int32_t format, const ltlm_activations *a, int32_t row)
{
    const float *x = a->floats + (size_t)row * a->stride;
    ltlm_quantised *quantised = a->quantised + row;
    int32_t columns = a->columns, width = (int32_t)padded(format, columns);
    __m256 scale = _mm256_set1_ps(find_scale(x, columns, quantised));
    __m256i zero = _mm256_set1_epi32(quantised->zero_point), sum = _mm256_setzero_si256();
    for (int32_t k = 0; k < width; k += 64) {
        __m256i q[2], none = _mm256_setzero_si256();
        for (int i = 0; i < 2; i++) {
            int32_t at = k + i * CHUNK;
            __m256i part_sum = none;
            q[i] = at < columns ? quantise32(x + at, columns - at, scale, zero, &part_sum) : none;
            sum = _mm256_add_epi32(sum, part_sum);
            if (format == LTLM_INT4_BLOCK) {
                offsets_of(a, row)[at / CHUNK] = 8 * sum8i(part_sum);
            }
        }
        place(format, a, row, (size_t)k, q[0], q[1]);
    }
    quantised->sum = sum8i(sum);
}

static void prepare(int32_t format, const ltlm_activations *a, int32_t row)
{
    switch (format) {
    case LTLM_INT8: prepare_as(LTLM_INT8, a, row); return;
    case LTLM_INT4: prepare_as(LTLM_INT4, a, row); return;
    case LTLM_INT2: prepare_as(LTLM_INT2, a, row); return;
    case LTLM_INT4_BLOCK: prepare_as(LTLM_INT4_BLOCK, a, row); return;
    default: return; /* LTLM_FLOAT32: the floats are read */
    }
}
