/* avx512_panels.h - how weights and activations lie for products.
 *
 * vpdpbusd multiplies unsigned with signed bytes: activations are kept as q + 128, and 128 * (sum of the
 * weights) comes off again together with the zero point. Weights need no offset: a nibble in the upper half
 * of a byte is 16 times its value, as a signed byte, so a mask (and for the lower nibble a shift) is all the
 * unpacking that there is, and sums are divided at the end. The activations lie in the order that this leaves
 * the weights in: of each 64 bytes of weights first those that go with the lowest bits, then those with the
 * next.
 *
 * Up to LTLM_STREAM rows of activations lie one after the other, and weights are used as they come from the
 * file, one row at a time: memory likes that best. More rows are packed, LTLM_PACK_ROWS at a time, as [4
 * columns][row], and weights in panels as [4 columns][weight row]: then a tile of products fills the
 * registers.
 */
#ifndef LTLM_KERNELS_AVX512_PANELS_H
#define LTLM_KERNELS_AVX512_PANELS_H

#include "avx512.h"

#ifdef LTLM_HAS_AVX512

#include "formats.h"

enum {
    LTLM_STREAM = 8,     /* most rows of activations that are not packed */
    LTLM_PACK_ROWS = 12, /* rows of activations packed together */
    LTLM_PANEL = 32,     /* weight rows packed together */
    LTLM_SET = 16        /* blocks of INT4_BLOCK whose products come together in a vector */
};

/* Packed blocks lie in the order in which their products are added, see avx512_blocks.c. */
static inline size_t ltlm__block_sets(int32_t columns)
{
    return ((size_t)columns + LTLM_SET * LTLM_BLOCK - 1) / (LTLM_SET * LTLM_BLOCK);
}

/* Where a block that is lane `lane` of its set is packed. Sums of lanes are added as in ltlm__sum_each_float:
 * 0 to 2, 1 to 3, in fours and of fours. */
static inline size_t ltlm__block_place(size_t sets, size_t set, size_t lane)
{
    static const uint8_t turn[] = {0, 2, 1, 3};
    return (4u * turn[lane / 4] + turn[lane % 4]) * sets + set;
}

/* Where four columns are packed that lie at 4 * `four` in the order of unpacked weights. */
static inline size_t ltlm__packed_place(int32_t format, int32_t columns, size_t four)
{
    if (format != LTLM_INT4_BLOCK) {
        return four;
    }
    /* 32 fours are two planes of 4 blocks, 4 fours of each plane belonging to a block. */
    size_t chunk = four / 32, plane = four / 16 % 2, block = four / 4 % 4;
    size_t place = ltlm__block_place(ltlm__block_sets(columns), chunk / 4, 4 * block + chunk % 4);
    return place * 8 + plane * 4 + four % 4;
}

/* Bytes of a row of activations, or of weights once unpacked. */
static inline size_t ltlm__unpacked_bytes(int32_t format, int32_t columns)
{
    size_t unit = (size_t)ltlm__weights_per_byte(format) * 64;
    unit = format == LTLM_INT4_BLOCK ? LTLM_SET * LTLM_BLOCK : unit;
    return ((size_t)columns + unit - 1) / unit * unit;
}

/* avx512_panels.c: `count` <= LTLM_PANEL weight rows from n on, packed; the others are 0. */
void ltlm__avx512_pack_weights(const ltlm_weights *w, int32_t n, int32_t count, uint8_t *out);

LTLM_TARGET_BEGIN(LTLM_AVX512)

/* Plane p of 64 bytes: those weights at place p of each byte, times 1, 16 or 64. */
LTLM_INLINE __m512i ltlm__plane(__m512i bytes, int p, int planes)
{
    int bits = 8 / planes, shift = 8 - bits - p * bits;
    __m512i upper = _mm512_set1_epi8((char)(0xff << (8 - bits)));
    __m512i shifted = shift ? _mm512_slli_epi16(bytes, (unsigned)shift) : bytes;
    return planes == 1 ? bytes : _mm512_and_si512(shifted, upper);
}

/* Asks for part `index` of `parts` of the weights that come next, so that packing finds them in the cache. */
LTLM_INLINE void ltlm__fetch_part(const uint8_t *next, size_t size, int32_t index, int32_t parts)
{
    size_t from = size / (size_t)parts * (size_t)index, to = from + size / (size_t)parts + 64;
    for (size_t k = from; k < to; k += 64) {
        _mm_prefetch((const char *)next + k, _MM_HINT_T1);
    }
}

LTLM_TARGET_END

#endif

#endif /* LTLM_KERNELS_AVX512_PANELS_H */
