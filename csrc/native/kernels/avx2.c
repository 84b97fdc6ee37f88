/* avx2.c - the table for CPUs with AVX2, FMA and F16C. */
#include "avx2.h"

#ifdef LTLM_HAS_AVX2

LTLM_TARGET_BEGIN("avx2,fma,f16c")
#include "avx2_multiply.h"
LTLM_TARGET_END

const ltlm_kernels *ltlm_kernels_avx2(void)
{
    static const ltlm_kernels table = AVX2_TABLE("avx2");
    return ltlm__has_avx2() ? &table : NULL;
}

#endif
