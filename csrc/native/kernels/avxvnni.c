/* avxvnni.c - the table for CPUs that have, beside AVX2, the 256-bit form of VNNI. */
#include "avx2.h"

#ifdef LTLM_HAS_AVX2

#if defined(__clang__) && __clang_major__ < 12 || defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 11

const ltlm_kernels *ltlm_kernels_avxvnni(void)
{
    return NULL; /* the compiler does not know the instructions */
}

#else

#define LTLM_VNNI
LTLM_TARGET_BEGIN("avx2,fma,f16c,avxvnni")
#include "avx2_multiply.h"
LTLM_TARGET_END

const ltlm_kernels *ltlm_kernels_avxvnni(void)
{
    static const ltlm_kernels table = AVX2_TABLE("avxvnni");
    return ltlm__has_avxvnni() ? &table : NULL;
}

#endif

#endif
