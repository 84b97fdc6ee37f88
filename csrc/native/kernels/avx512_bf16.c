/* avx512_bf16.c - the arithmetic of attention in bfloat16, where the CPU multiplies pairs of them.
 *
 * Queries, keys, values and weights are rounded to 8 bits of precision, the precision that models are trained
 * in; sums stay floats. vdpbf16ps multiplies two pairs and adds both products to a float: pairs are
 * neighbours along head_dim for scores, neighbouring positions for values. The first of a pair is in the
 * lower half.
 *
 * Only over float16 pages: who asks for float32 ones wants the digits.
 */
#include "avx512_attend.h"

#ifdef LTLM_HAS_AVX512

#include <string.h>

LTLM_TARGET_BEGIN(LTLM_AVX512 ",avx512bf16")

/* The lanes of a and b as pairs. */
LTLM_INLINE __m512i pairs(__m512 a, __m512 b)
{
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23,
                                           7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(b, a));
}

LTLM_INLINE __m512 dot_pairs(__m512 sum, __m512i a, __m512i b)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

LTLM_INLINE __m512i broadcast(const float *pair)
{
    int32_t bits;
    memcpy(&bits, pair, sizeof bits);
    return _mm512_set1_epi32(bits);
}

/* query: [rows][width / 2] pairs. */
static void prepare(const ltlm_attention *job, ltlm__attend_state *s)
{
    for (int32_t row = 0; row < job->rows; row++) {
        float *to = s->query + (size_t)row * (size_t)s->width / 2;
        for (int32_t i = 0; i < s->width; i += 16) {
            __m512 v = _mm512_maskz_loadu_ps(ltlm__lanes16(job->head_dim - i), job->query[row] + i);
            _mm256_store_si256((__m256i *)(to + i / 2), (__m256i)_mm512_cvtneps_pbh(v));
        }
    }
}

/* ---- keys: [head_dim / 2][SPAN] pairs ---- */

/* Elements 2 * i and 2 * i + 1 of the keys of 16 positions. */
LTLM_INLINE __m512i key_pairs(const uint8_t *keys, int32_t i)
{
    size_t index = (size_t)i * 2 * LTLM_KEY_TILE;
    return pairs(ltlm__load_elements(false, keys, index),
                 ltlm__load_elements(false, keys, index + LTLM_KEY_TILE));
}

static void load_keys(const ltlm_attention *job, ltlm__attend_state *s)
{
    if (!ltlm__loads(job)) {
        return;
    }
    float *to = s->tile;
    for (int32_t i = 0; i < job->head_dim / 2; i++, to += LTLM_SPAN) {
        LTLM_UNROLL(4)
        for (int32_t t = 0; t < LTLM_SPAN_TILES; t++) {
            _mm512_store_si512(to + t * LTLM_KEY_TILE, key_pairs(s->keys[t], i));
        }
    }
}

LTLM_INLINE void score_tile(const ltlm_attention *job, ltlm__attend_state *s, int32_t row, int rows,
                            bool loaded)
{
    __m512 sums[LTLM_ROW_TILE][LTLM_SPAN_TILES];
    size_t step = (size_t)s->width / 2;
    const float *query = s->query + (size_t)row * step;
    LTLM_UNROLL(4)
    for (int t = 0; t < LTLM_SPAN_TILES; t++) {
        LTLM_UNROLL(6)
        for (int i = 0; i < rows; i++) {
            sums[i][t] = _mm512_setzero_ps();
        }
    }
    for (int32_t d = 0; d < job->head_dim / 2; d++) {
        __m512i k[LTLM_SPAN_TILES];
        LTLM_UNROLL(4)
        for (int t = 0; t < LTLM_SPAN_TILES; t++) {
            k[t] = loaded ? _mm512_load_si512(s->tile + d * LTLM_SPAN + 16 * t) : key_pairs(s->keys[t], d);
        }
        if (!loaded) {
            ltlm__ask_for(s->after_keys, (size_t)d * 128, (size_t)d * 128 + 128);
        }
        LTLM_UNROLL(6)
        for (int i = 0; i < rows; i++) {
            __m512i q = broadcast(query + (size_t)i * step + d);
            LTLM_UNROLL(4)
            for (int t = 0; t < LTLM_SPAN_TILES; t++) {
                sums[i][t] = dot_pairs(sums[i][t], q, k[t]);
            }
        }
    }
    LTLM_UNROLL(6)
    for (int i = 0; i < rows; i++) {
        LTLM_UNROLL(4)
        for (int t = 0; t < LTLM_SPAN_TILES; t++) {
            _mm512_store_ps(s->scores + (size_t)(row + i) * LTLM_SPAN + 16 * t, sums[i][t]);
        }
    }
}

LTLM_INLINE void score_rows(const ltlm_attention *job, ltlm__attend_state *s, int32_t row, int rows)
{
    if (ltlm__loads(job)) {
        score_tile(job, s, row, rows, true);
    } else {
        score_tile(job, s, row, rows, false);
    }
}

static void score(const ltlm_attention *job, ltlm__attend_state *s){LTLM_FOR_ROW_TILES(score_rows, job, s)}

/* ---- values: [SPAN / 2][width] pairs ---- */

/* 16 elements from i on of two positions, all of them or some `lanes`. */
LTLM_INLINE __m512i value_pairs(const uint8_t *const *values, int32_t i)
{
    return pairs(ltlm__load_elements(false, values[0], (size_t)i),
                 ltlm__load_elements(false, values[1], (size_t)i));
}

LTLM_INLINE __m512i some_value_pairs(const uint8_t *const *values, int32_t i, __mmask16 lanes)
{
    return pairs(ltlm__load_some_elements(false, values[0], (size_t)i, lanes),
                 ltlm__load_some_elements(false, values[1], (size_t)i, lanes));
}

static void load_values(const ltlm_attention *job, ltlm__attend_state *s)
{
    if (!ltlm__loads(job)) {
        return;
    }
    float *to = s->tile;
    for (int32_t p = 0; p < LTLM_SPAN; p += 2, to += s->width) {
        int32_t i = 0;
        for (; i + 16 <= job->head_dim; i += 16) {
            _mm512_store_si512(to + i, value_pairs(s->values + p, i));
        }
        if (i < job->head_dim) {
            _mm512_store_si512(to + i, some_value_pairs(s->values + p, i, ltlm__lanes16(job->head_dim - i)));
        }
    }
}

/* The weights of a row as pairs, in its first half. */
static void pair_weights(ltlm__attend_state *s, int32_t row)
{
    float *weights = s->scores + (size_t)row * LTLM_SPAN;
    for (int32_t i = 0; i < LTLM_SPAN; i += 16) {
        __m256i v = (__m256i)_mm512_cvtneps_pbh(_mm512_load_ps(weights + i));
        _mm256_store_si256((__m256i *)(weights + i / 2), v);
    }
}

/* `vectors` of 16 columns from `column` on; of a single one only `lanes` may exist. */
LTLM_INLINE void add_columns(ltlm__attend_state *s, int32_t row, int rows, int32_t column, int vectors,
                             __mmask16 lanes, bool loaded)
{
    __m512 sums[LTLM_ROW_TILE][4];
    const float *weights = s->scores + (size_t)row * LTLM_SPAN, *values = s->tile + column;
    float *to = s->sums + (size_t)row * (size_t)s->width + column;
    LTLM_UNROLL(6)
    for (int i = 0; i < rows; i++) {
        LTLM_UNROLL(4)
        for (int v = 0; v < vectors; v++) {
            sums[i][v] = _mm512_mul_ps(_mm512_load_ps(to + (size_t)i * (size_t)s->width + 16 * v),
                                       _mm512_set1_ps(s->factors[row + i]));
        }
    }
    for (int32_t p = 0; p < LTLM_SPAN / 2; p++, values += s->width) {
        __m512i value[4];
        LTLM_UNROLL(4)
        for (int v = 0; v < vectors; v++) {
            if (loaded) {
                value[v] = _mm512_load_si512(values + 16 * v);
            } else if (vectors > 1) {
                value[v] = value_pairs(s->values + 2 * p, column + 16 * v);
            } else {
                value[v] = some_value_pairs(s->values + 2 * p, column, lanes);
            }
        }
        if (!loaded && vectors > 1) {
            size_t at = (size_t)(column + 2 * p) * 64;
            ltlm__ask_for(s->after_values, at, at + 128);
        }
        LTLM_UNROLL(6)
        for (int i = 0; i < rows; i++) {
            __m512i weight = broadcast(weights + i * LTLM_SPAN + p);
            LTLM_UNROLL(4)
            for (int v = 0; v < vectors; v++) {
                sums[i][v] = dot_pairs(sums[i][v], weight, value[v]);
            }
        }
    }
    LTLM_UNROLL(6)
    for (int i = 0; i < rows; i++) {
        LTLM_UNROLL(4)
        for (int v = 0; v < vectors; v++) {
            _mm512_store_ps(to + (size_t)i * (size_t)s->width + 16 * v, sums[i][v]);
        }
    }
}

LTLM_INLINE void add_rows(const ltlm_attention *job, ltlm__attend_state *s, int32_t row, int rows)
{
    int32_t column = 0;
    for (; column + 64 <= job->head_dim; column += 64) {
        if (ltlm__loads(job)) {
            add_columns(s, row, rows, column, 4, 0xffff, true);
        } else {
            add_columns(s, row, rows, column, 4, 0xffff, false);
        }
    }
    for (; column < job->head_dim; column += 16) {
        add_columns(s, row, rows, column, 1, ltlm__lanes16(job->head_dim - column), ltlm__loads(job));
    }
}

static void add_values(const ltlm_attention *job, ltlm__attend_state *s)
{
    for (int32_t row = 0; row < job->rows; row++) {
        pair_weights(s, row);
    }
    LTLM_FOR_ROW_TILES(add_rows, job, s)
}

void ltlm__avx512_bf16_attend(const ltlm_attention *job)
{
    static const ltlm__attend_arithmetic bfloat16 = {prepare, load_keys, score, load_values, add_values};
    if (job->wide) {
        ltlm__avx512_attend(job);
    } else {
        ltlm__avx512_attend_with(job, &bfloat16);
    }
}

LTLM_TARGET_END

#endif
