/* avx512_attend.h - attention in spans of positions, whatever numbers are multiplied in.
 *
 * One pass over the pages, SPAN positions at a time, with the greatest score so far, the sum of exponentials
 * and the weighted values of each row carried on. Spans begin at multiples of SPAN, and a row that looks at
 * nothing in a span stays as it was, so what a row gets does not depend on the rows beside it.
 */
#ifndef LTLM_KERNELS_AVX512_ATTEND_H
#define LTLM_KERNELS_AVX512_ATTEND_H

#include "avx512.h"

#ifdef LTLM_HAS_AVX512

enum {
    LTLM_SPAN = 2 * LTLM_PAGE,
    LTLM_SPAN_TILES = LTLM_SPAN / LTLM_KEY_TILE,
    LTLM_SPAN_PAGES = LTLM_SPAN / LTLM_PAGE,
    LTLM_ROW_TILE = 6 /* query rows in a tile of registers; 4 vectors wide */
};

/* What an attend computes in. Sizes of buffers: as for floats; `width` is head_dim rounded up to whole
 * vectors. */
typedef struct {
    float *query;   /* [rows][width]: see prepare */
    float *tile;    /* [SPAN * width]: keys, then values of a span, as the arithmetic wants them */
    float *scores;  /* [rows][SPAN]; then the weights of the values */
    float *sums;    /* [rows][width]: values times weights so far */
    float *highest; /* [rows]: greatest score so far */
    float *totals;  /* [rows]: sum of the weights so far */
    float *factors; /* [rows]: what sums and totals are multiplied with before a span is added */
    int32_t width;
    int32_t begin;                        /* first position of the span */
    const uint8_t *keys[LTLM_SPAN_TILES]; /* [head_dim][16]; what nobody looks at may be any keys */
    const uint8_t *values[LTLM_SPAN];     /* [head_dim]; zeros where nobody looks */
    /* What comes after the keys, and after the values, of the span, page by page: to be asked for. */
    const uint8_t *after_keys[LTLM_SPAN_PAGES], *after_values[LTLM_SPAN_PAGES];
    const uint8_t *zeros;                 /* [width] floats */
} ltlm__attend_state;

/* The arithmetic. Each works on a whole span and all rows. */
typedef struct {
    void (*prepare)(const ltlm_attention *job, ltlm__attend_state *s); /* query */
    void (*load_keys)(const ltlm_attention *job, ltlm__attend_state *s);
    void (*score)(const ltlm_attention *job, ltlm__attend_state *s); /* query * keys, not scaled */
    void (*load_values)(const ltlm_attention *job, ltlm__attend_state *s);
    void (*add_values)(const ltlm_attention *job, ltlm__attend_state *s); /* sums = sums * factors + ... */
} ltlm__attend_arithmetic;

void ltlm__avx512_attend_with(const ltlm_attention *job, const ltlm__attend_arithmetic *arithmetic);

LTLM_TARGET_BEGIN(LTLM_AVX512)

/* 16 elements of a page. */
LTLM_INLINE __m512 ltlm__load_elements(bool wide, const uint8_t *elements, size_t index)
{
    if (wide) {
        return _mm512_loadu_ps(elements + index * sizeof(float));
    }
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(elements + index * sizeof(uint16_t))));
}

/* The same, of which only `lanes` exist. */
LTLM_INLINE __m512 ltlm__load_some_elements(bool wide, const uint8_t *elements, size_t index, __mmask16 lanes)
{
    if (wide) {
        return _mm512_maskz_loadu_ps(lanes, elements + index * sizeof(float));
    }
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, elements + index * sizeof(uint16_t)));
}

/* Asks for the bytes from..to - 1 of what comes after the keys or values of a span, in each of its pages:
 * they lie elsewhere, where no prefetcher of the CPU expects them. Into the second cache, whose queue of
 * misses is the longer one; and a few at a time, as many at once would hold up whatever is read meanwhile. */
LTLM_INLINE void ltlm__ask_for(const uint8_t *const *after, size_t from, size_t to)
{
    for (size_t i = from; i < to; i += 64) {
        LTLM_UNROLL(2)
        for (int page = 0; page < LTLM_SPAN_PAGES; page++) {
            _mm_prefetch((const char *)after[page] + i, _MM_HINT_T1);
        }
    }
}

/* Whether keys and values are converted into the tile first; for few rows that is not worth it, and they are
 * converted where they are used. */
LTLM_INLINE bool ltlm__loads(const ltlm_attention *job)
{
    return job->rows > LTLM_ROW_TILE;
}

/* Calls function(job, s, row, number of rows) for all rows, with the number a constant, LTLM_ROW_TILE at
 * most. */
#define LTLM_FOR_ROW_TILES(function, job, s)                                                                 \
    for (int32_t row = 0, count; row < (job)->rows; row += count) {                                          \
        count = (job)->rows - row < LTLM_ROW_TILE ? (job)->rows - row : LTLM_ROW_TILE;                       \
        count = count == 5 ? 4 : count; /* rare enough */                                                    \
        switch (count) {                                                                                     \
        case 1: function((job), (s), row, 1); break;                                                         \
        case 2: function((job), (s), row, 2); break;                                                         \
        case 3: function((job), (s), row, 3); break;                                                         \
        case 4: function((job), (s), row, 4); break;                                                         \
        default: function((job), (s), row, LTLM_ROW_TILE); break;                                            \
        }                                                                                                    \
    }

LTLM_TARGET_END

#endif

#endif /* LTLM_KERNELS_AVX512_ATTEND_H */
