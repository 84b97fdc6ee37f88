/* neon.c - the table for ARMv8.2 with the dot product instructions. */
#include "neon.h"

#ifdef LTLM_HAS_DOTPROD

LTLM_TARGET_BEGIN(LTLM_DOTPROD)
#include "neon_multiply.h"
LTLM_TARGET_END

const ltlm_kernels *ltlm_kernels_neon(void)
{
    static const ltlm_kernels table = NEON_TABLE("neon");
    return ltlm__has_dotprod() ? &table : NULL;
}

#elif defined(__aarch64__) || defined(_M_ARM64)

const ltlm_kernels *ltlm_kernels_neon(void)
{
    return NULL; /* the compiler does not know the instructions */
}

#endif
