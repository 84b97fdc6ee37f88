/* avx2_multiply.h - the integer products of a table for 256-bit vectors. Included by one source for each
 * table, with the instructions switched on; LTLM_VNNI defined: there is vpdpbusd.
 *
 * More than a few rows: TILE_COLUMNS rows of weights are packed, 4 bytes of each in turn, into scratch that
 * stays in the cache while all activations pass by. vpdpbusd multiplies unsigned bytes with signed ones:
 * weights are made unsigned by flipping their top bits, which is corrected by the sum of the activations.
 * Without it INT8 is multiplied as int16, and smaller weights by vpmaddubsw, whose 16 bits hold a CHUNK of
 * them: 16 products of at most 15 * 128. Few rows of INT8 are: avx2_few.h.
 */
#ifdef LTLM_VNNI
enum { INT8_BYTES = 1, FEW_INT8 = 16, FEW_INT4 = 16, FEW_BLOCK = 8 };
#else
enum { INT8_BYTES = 2, FEW_INT8 = 16, FEW_INT4 = 24, FEW_BLOCK = 8 };
#endif

#include "avx2_few.h"

/* ---- panels ---- */

/* 8x8 transpose of 32-bit elements. */
LTLM_INLINE void transpose(__m256i r[8])
{
    __m256i a = _mm256_unpacklo_epi32(r[0], r[1]), b = _mm256_unpackhi_epi32(r[0], r[1]);
    __m256i c = _mm256_unpacklo_epi32(r[2], r[3]), d = _mm256_unpackhi_epi32(r[2], r[3]);
    __m256i e = _mm256_unpacklo_epi32(r[4], r[5]), f = _mm256_unpackhi_epi32(r[4], r[5]);
    __m256i g = _mm256_unpacklo_epi32(r[6], r[7]), h = _mm256_unpackhi_epi32(r[6], r[7]);
    __m256i low[4] = {_mm256_unpacklo_epi64(a, c), _mm256_unpackhi_epi64(a, c), _mm256_unpacklo_epi64(b, d),
                      _mm256_unpackhi_epi64(b, d)};
    __m256i high[4] = {_mm256_unpacklo_epi64(e, g), _mm256_unpackhi_epi64(e, g), _mm256_unpacklo_epi64(f, h),
                       _mm256_unpackhi_epi64(f, h)};
    LTLM_UNROLL
    for (int i = 0; i < 4; i++) {
        r[i] = _mm256_permute2x128_si256(low[i], high[i], 0x20);
        r[i + 4] = _mm256_permute2x128_si256(low[i], high[i], 0x31);
    }
}

/* 32 columns of INT4 or INT2 as unsigned bytes, in order. */
LTLM_INLINE __m256i spread_bits(int32_t format, const uint8_t *p)
{
    if (format == LTLM_INT2) {
        __m128i v = _mm_xor_si128(_mm_loadl_epi64((const __m128i *)p), _mm_set1_epi8((char)0xaa));
        __m128i low = _mm_set1_epi8(0x33), even = _mm_and_si128(v, low);
        __m128i odd = _mm_and_si128(_mm_srli_epi16(v, 2), low);
        v = _mm_unpacklo_epi8(even, odd); /* columns 0, 1 and, in the high nibbles, 2, 3 of each byte */
        low = _mm_set1_epi8(0x0f);
        even = _mm_and_si128(v, low);
        odd = _mm_and_si128(_mm_srli_epi16(v, 4), low);
        return _mm256_setr_m128i(_mm_unpacklo_epi16(even, odd), _mm_unpackhi_epi16(even, odd));
    }
    __m128i v = _mm_xor_si128(_mm_loadu_si128((const __m128i *)p), _mm_set1_epi8((char)0x88));
    __m128i low = _mm_set1_epi8(0x0f), even = _mm_and_si128(v, low);
    __m128i odd = _mm_and_si128(_mm_srli_epi16(v, 4), low);
    return _mm256_setr_m128i(_mm_unpacklo_epi8(even, odd), _mm_unpackhi_epi8(even, odd));
}

/* Columns k..k + 31 of 8 rows of weights -> panel; lanes are rows. */
LTLM_INLINE void pack_chunk(int32_t format, const uint8_t *const rows[8], size_t at, size_t left,
                            uint8_t *panel)
{
    __m256i r[8];
    uint8_t last[8][CHUNK];
    const uint8_t *p[8];
    size_t size = format == LTLM_INT8 ? 32 : format == LTLM_INT2 ? 8 : 16;
    for (int i = 0; i < 8; i++) {
        p[i] = rows[i] + at;
        if (left < size) {
            memset(last[i], 0, CHUNK);
            p[i] = memcpy(last[i], p[i], left);
        }
    }
    int parts = format == LTLM_INT8 && INT8_BYTES == 2 ? 2 : 1;
    LTLM_UNROLL
    for (int part = 0; part < parts; part++) {
        LTLM_UNROLL
        for (int i = 0; i < 8; i++) {
            if (format != LTLM_INT8) {
                r[i] = spread_bits(format, p[i]);
            } else if (INT8_BYTES == 2) {
                r[i] = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(p[i] + part * 16)));
            } else {
                r[i] =
                    _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)p[i]), _mm256_set1_epi8((char)0x80));
            }
        }
        transpose(r);
        LTLM_UNROLL
        for (int i = 0; i < 8; i++) {
            _mm256_storeu_si256((__m256i *)(void *)(panel + (part * 8 + i) * TILE_COLUMNS * 4), r[i]);
        }
    }
}

/* A panel, in scratch. */
typedef struct {
    uint8_t *bytes;  /* [padded columns, in turns of 4 bytes][TILE_COLUMNS] */
    float *scales;   /* INT4_BLOCK: [blocks][TILE_COLUMNS] */
} panel;

static size_t multiply_scratch(int32_t format, int32_t columns)
{
    if (format == LTLM_FLOAT32) {
        return ltlm__avx2_float_scratch(columns);
    }
    size_t width = padded(format, columns), bytes = width * TILE_COLUMNS * element(format);
    return bytes + (format == LTLM_INT4_BLOCK ? width / CHUNK * TILE_COLUMNS * sizeof(float) : 0);
}

/* Weight rows n..n + TILE_COLUMNS - 1; those from `to` on repeat the last one, and nobody reads their
 * products. */
LTLM_INLINE void pack(int32_t format, const ltlm_weights *w, int32_t n, int32_t to, const panel *out)
{
    size_t size = ltlm__row_bytes(format, w->columns), step = format == LTLM_INT8   ? 32
                                                              : format == LTLM_INT2 ? 8
                                                                                    : 16;
    size_t blocks = size / 16;
    for (int half = 0; half < 2; half++) {
        const uint8_t *rows[8];
        size_t index[8];
        for (int i = 0; i < 8; i++) {
            int32_t row = n + half * 8 + i;
            index[i] = (size_t)(row < to ? row : to - 1);
            rows[i] = w->data + index[i] * size;
        }
        uint8_t *bytes = out->bytes + half * 32;
        for (size_t at = 0, chunk = 0; at < size; at += step, chunk++) {
            pack_chunk(format, rows, at, size - at, bytes);
            bytes += CHUNK * TILE_COLUMNS * element(format);
            if (format == LTLM_INT4_BLOCK) {
                uint16_t halves[8];
                for (int i = 0; i < 8; i++) {
                    memcpy(halves + i, (const uint8_t *)w->scales + (index[i] * blocks + chunk) * 2, 2);
                }
                _mm256_storeu_ps(out->scales + chunk * TILE_COLUMNS + half * 8, ltlm__load_half(halves));
            }
        }
    }
}

/* ---- tiles ---- */

#define EACH_ROW(STEP) STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5)

LTLM_INLINE __m256i repeat4(const uint8_t *p)
{
    return _mm256_castps_si256(_mm256_broadcast_ss((const float *)(const void *)p));
}

/* *sum += v, in place and in this order: compilers that are left free do all products of a tile first, and
 * run out of registers. */
LTLM_INLINE void add32(__m256i *sum, __m256i v)
{
#if defined(__GNUC__)
    __asm__ volatile("vpaddd %1, %0, %0" : "+x"(*sum) : "x"(v));
#else
    *sum = _mm256_add_epi32(*sum, v);
#endif
}

LTLM_INLINE void add16(__m256i *sum, __m256i v)
{
#if defined(__GNUC__)
    __asm__ volatile("vpaddw %1, %0, %0" : "+x"(*sum) : "x"(v));
#else
    *sum = _mm256_add_epi16(*sum, v);
#endif
}

LTLM_INLINE void clear(__m256i sum[TILE_ROWS][2])
{
    LTLM_UNROLL
    for (int i = 0; i < TILE_ROWS; i++) {
        sum[i][0] = sum[i][1] = _mm256_setzero_si256();
    }
}

#ifdef LTLM_VNNI

/* sum += CHUNK columns of a tile of activations times a panel. */
LTLM_INLINE void add_chunk(const uint8_t *x, const uint8_t *w, __m256i sum[TILE_ROWS][2])
{
    LTLM_UNROLL
    for (int k = 0; k < CHUNK / 4; k++, w += TILE_COLUMNS * 4, x += TILE_ROWS * 4) {
        __m256i low = load256(w), high = load256(w + 32);
#define STEP(i)                                                        \
    {                                                                  \
        __m256i v = repeat4(x + (i) * 4);                              \
        sum[i][0] = _mm256_dpbusd_avx_epi32(sum[i][0], low, v);        \
        sum[i][1] = _mm256_dpbusd_avx_epi32(sum[i][1], high, v);       \
    }
        EACH_ROW(STEP)
#undef STEP
    }
}

LTLM_INLINE void add_int8_chunk(const uint8_t *x, const uint8_t *w, __m256i sum[TILE_ROWS][2])
{
    add_chunk(x, w, sum);
}

#else

LTLM_INLINE void add_chunk(const uint8_t *x, const uint8_t *w, __m256i sum[TILE_ROWS][2])
{
    __m256i words[TILE_ROWS][2], one = _mm256_set1_epi16(1);
    clear(words);
    for (int k = 0; k < CHUNK / 4; k++, w += TILE_COLUMNS * 4, x += TILE_ROWS * 4) {
        __m256i low = load256(w), high = load256(w + 32);
#define STEP(i)                                                  \
    {                                                            \
        __m256i v = repeat4(x + (i) * 4);                        \
        add16(&words[i][0], _mm256_maddubs_epi16(low, v));       \
        add16(&words[i][1], _mm256_maddubs_epi16(high, v));      \
    }
        EACH_ROW(STEP)
#undef STEP
    }
    LTLM_UNROLL
    for (int i = 0; i < TILE_ROWS; i++) {
        sum[i][0] = _mm256_add_epi32(sum[i][0], _mm256_madd_epi16(words[i][0], one));
        sum[i][1] = _mm256_add_epi32(sum[i][1], _mm256_madd_epi16(words[i][1], one));
    }
}

LTLM_INLINE void add_int8_chunk(const uint8_t *x, const uint8_t *w, __m256i sum[TILE_ROWS][2])
{
    for (int k = 0; k < CHUNK / 2; k++, w += TILE_COLUMNS * 4, x += TILE_ROWS * 4) {
        __m256i low = load256(w), high = load256(w + 32);
#define STEP(i)                                              \
    {                                                        \
        __m256i v = repeat4(x + (i) * 4);                    \
        add32(&sum[i][0], _mm256_madd_epi16(low, v));        \
        add32(&sum[i][1], _mm256_madd_epi16(high, v));       \
    }
        EACH_ROW(STEP)
#undef STEP
    }
}

#endif

/* ---- products ---- */

/* y, or y + bias, to the lanes that exist. */
LTLM_INLINE void finish(__m256 y, const float *bias, float *out, __m256i lanes)
{
    _mm256_maskstore_ps(out, lanes, bias ? _mm256_add_ps(y, _mm256_maskload_ps(bias, lanes)) : y);
}

/* Formats with one scale for each row of weights; format is a constant where this is inlined. */
LTLM_INLINE void multiply_panel(int32_t format, const ltlm_weights *w, const ltlm_activations *a,
                                const panel *t, int32_t n, int32_t to, const float *bias, float *out,
                                size_t stride)
{
    size_t chunks = ((size_t)w->columns + CHUNK - 1) / CHUNK,
           width = padded(format, w->columns) * element(format);
    int32_t offset = format == LTLM_INT8 ? INT8_OFFSET : format == LTLM_INT4 ? 8 : 2;
    const float *scales = w->scales;
    for (int32_t row = 0; row < a->rows; row += TILE_ROWS) {
        const uint8_t *x = a->bytes + (size_t)row * width, *p = t->bytes;
        __m256i sum[TILE_ROWS][2];
        clear(sum);
        for (size_t i = 0; i < chunks; i++) {
            if (format == LTLM_INT8) {
                add_int8_chunk(x, p, sum);
            } else {
                add_chunk(x, p, sum);
            }
            x += CHUNK * TILE_ROWS * element(format);
            p += CHUNK * TILE_COLUMNS * element(format);
        }
        LTLM_UNROLL
        for (int h = 0; h < 2; h++) {
            int32_t column = n + h * 8;
            __m256i lanes = ltlm__lanes(to - column),
                    weights = _mm256_maskload_epi32(w->sums + column, lanes);
            __m256 scale = _mm256_maskload_ps(scales + column, lanes);
            LTLM_UNROLL
            for (int i = 0; i < TILE_ROWS; i++) {
                if (row + i < a->rows) {
                    const ltlm_quantised *q = a->quantised + row + i;
                    __m256i v = _mm256_sub_epi32(sum[i][h], _mm256_set1_epi32(offset * q->sum));
                    v = _mm256_sub_epi32(v, _mm256_mullo_epi32(weights, _mm256_set1_epi32(q->zero_point)));
                    __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(v), _mm256_set1_ps(q->inverse_scale));
                    finish(_mm256_mul_ps(y, scale), bias ? bias + column : NULL,
                           out + (size_t)(row + i) * stride + column, lanes);
                }
            }
        }
    }
}

/* INT4_BLOCK. Floats are added in the order of multiply_few_blocks: block b to the sum b % 8. */
LTLM_INLINE void multiply_block_panel(const ltlm_weights *w, const ltlm_activations *a, const panel *t,
                                      int32_t n, int32_t to, const float *bias, float *out, size_t stride)
{
    size_t blocks = (size_t)w->columns / CHUNK, width = padded(LTLM_INT4_BLOCK, w->columns);
    for (int32_t row = 0; row < a->rows; row += TILE_ROWS) {
        const uint8_t *x = a->bytes + (size_t)row * width, *p = t->bytes;
        const int32_t *offsets[TILE_ROWS];
        for (int i = 0; i < TILE_ROWS; i++) {
            offsets[i] = offsets_of(a, row + i < a->rows ? row + i : a->rows - 1);
        }
        __m256 total[8][TILE_ROWS][2];
        memset(total, 0, sizeof total);
        for (size_t b = 0; b < blocks; b++, x += CHUNK * TILE_ROWS, p += CHUNK * TILE_COLUMNS) {
            __m256i sum[TILE_ROWS][2];
            clear(sum);
            add_chunk(x, p, sum);
            __m256(*to_add)[2] = total[b % 8];
            LTLM_UNROLL
            for (int h = 0; h < 2; h++) {
                __m256 scale = _mm256_loadu_ps(t->scales + b * TILE_COLUMNS + h * 8);
                LTLM_UNROLL
                for (int i = 0; i < TILE_ROWS; i++) {
                    __m256i offset = repeat4((const uint8_t *)(offsets[i] + b));
                    __m256 v = _mm256_cvtepi32_ps(_mm256_sub_epi32(sum[i][h], offset));
                    to_add[i][h] = _mm256_fmadd_ps(v, scale, to_add[i][h]);
                }
            }
        }
        for (int h = 0; h < 2; h++) {
            int32_t column = n + h * 8;
            __m256i lanes = ltlm__lanes(to - column);
            __m256 weights = _mm256_maskload_ps(w->block_sums + column, lanes);
            for (int i = 0; i < TILE_ROWS && row + i < a->rows; i++) {
                const ltlm_quantised *q = a->quantised + row + i;
                __m256 s[4];
                for (int j = 0; j < 4; j++) {
                    s[j] = _mm256_add_ps(total[j][i][h], total[j + 4][i][h]); /* the order of ltlm__sum8 */
                }
                __m256 y = _mm256_add_ps(_mm256_add_ps(s[0], s[2]), _mm256_add_ps(s[1], s[3]));
                y = _mm256_fnmadd_ps(_mm256_set1_ps((float)q->zero_point), weights, y);
                finish(_mm256_mul_ps(y, _mm256_set1_ps(q->inverse_scale)),
                       bias ? bias + column : NULL, out + (size_t)(row + i) * stride + column, lanes);
            }
        }
    }
}

LTLM_INLINE void multiply_many(int32_t format, const ltlm_weights *w, const ltlm_activations *a, int32_t from,
                               int32_t to, const float *bias, float *out, size_t stride, void *scratch)
{
    size_t width = padded(format, w->columns);
    panel t = {.bytes = scratch};
    t.scales = (float *)(void *)(t.bytes + width * TILE_COLUMNS * element(format));
    for (int32_t n = from; n < to; n += TILE_COLUMNS) {
        pack(format, w, n, to, &t);
        if (format == LTLM_INT4_BLOCK) {
            multiply_block_panel(w, a, &t, n, to, bias, out, stride);
        } else {
            multiply_panel(format, w, a, &t, n, to, bias, out, stride);
        }
    }
}

static void multiply(const ltlm_weights *w, const ltlm_activations *a, int32_t from, int32_t to,
                     const float *bias, float *out, size_t stride, void *scratch)
{
    bool few = is_few(w->format, a->rows);
    if (w->float_activations || w->format == LTLM_FLOAT32) {
        ltlm__avx2_float_multiply(w, a, from, to, bias, out, stride, scratch);
    } else if (w->format == LTLM_INT8 && few && w->has_least) {
        multiply_few(LTLM_INT8, true, w, a, from, to, bias, out, stride);
    } else if (w->format == LTLM_INT8 && few) {
        multiply_few(LTLM_INT8, false, w, a, from, to, bias, out, stride);
    } else if (w->format == LTLM_INT8) {
        multiply_many(LTLM_INT8, w, a, from, to, bias, out, stride, scratch);
    } else if (w->format == LTLM_INT4 && few) {
        multiply_few(LTLM_INT4, false, w, a, from, to, bias, out, stride);
    } else if (w->format == LTLM_INT4) {
        multiply_many(LTLM_INT4, w, a, from, to, bias, out, stride, scratch);
    } else if (w->format == LTLM_INT4_BLOCK && few) {
        multiply_few_blocks(w, a, from, to, bias, out, stride);
    } else if (w->format == LTLM_INT4_BLOCK) {
        multiply_many(LTLM_INT4_BLOCK, w, a, from, to, bias, out, stride, scratch);
    } else {
        multiply_many(LTLM_INT2, w, a, from, to, bias, out, stride, scratch);
    }
}

#define AVX2_TABLE(its_name) \
    {.name = its_name, \
     .row_step = TILE_COLUMNS, \
     .activation_bytes = activation_bytes, \
     .prepare = prepare, \
     .multiply_scratch = multiply_scratch, \
     .multiply = multiply, \
     .sum_weights = ltlm__avx2_sum_weights, \
     .sum_blocks = ltlm__avx2_sum_blocks, \
     .embed = ltlm__avx2_embed, \
     .store_key = ltlm__avx2_store_key, \
     .store_value = ltlm__avx2_store_value, \
     .attend_scratch = ltlm__avx2_attend_scratch, \
     .attend = ltlm__avx2_attend, \
     .rms_norm = ltlm__avx2_rms_norm, \
     .rope = ltlm__avx2_rope, \
     .gate = ltlm__avx2_gate, \
     .unary = ltlm__avx2_unary, \
     .add = ltlm__avx2_add, \
     .mul = ltlm__avx2_mul, \
     .softmax = ltlm__avx2_softmax, \
     .argmax = ltlm__avx2_argmax, \
     .log_sum_exp = ltlm__avx2_log_sum_exp}
