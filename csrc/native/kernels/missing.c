/* missing.c - tables that are not written yet. To be deleted with the first merge that brings them. */
#include "../kernels.h"

#if defined(__x86_64__) || defined(_M_X64)
const ltlm_kernels *ltlm_kernels_avx2(void)
{
    return NULL;
}

const ltlm_kernels *ltlm_kernels_avxvnni(void)
{
    return NULL;
}
#endif

#if defined(__aarch64__) || defined(_M_ARM64)
const ltlm_kernels *ltlm_kernels_neon(void)
{
    return NULL;
}

const ltlm_kernels *ltlm_kernels_neon_i8mm(void)
{
    return NULL;
}
#endif
