/* neon_i8mm.c - the table for ARM with i8mm, which multiplies 2x8 with 8x2 bytes at once. */
#include "neon.h"

#if defined(LTLM_HAS_DOTPROD) && defined(LTLM_HAS_I8MM)

#define LTLM_I8MM
LTLM_TARGET_BEGIN(LTLM_I8MM_TOO)
#include "neon_multiply.h"
LTLM_TARGET_END

const ltlm_kernels *ltlm_kernels_neon_i8mm(void)
{
    static const ltlm_kernels table = NEON_TABLE("neon-i8mm");
    return ltlm__has_i8mm() ? &table : NULL;
}

#elif defined(__aarch64__) || defined(_M_ARM64)

const ltlm_kernels *ltlm_kernels_neon_i8mm(void)
{
    return NULL; /* the compiler does not know the instructions */
}

#endif
