/* choose.c - which table this CPU runs. */
#include <string.h>

#include "../kernels.h"

/* Tables of other processors. */
#if !defined(_M_X64) && !(defined(__x86_64__) && defined(__GNUC__))
const ltlm_kernels *ltlm_kernels_avx2(void)
{
    return NULL;
}

const ltlm_kernels *ltlm_kernels_avxvnni(void)
{
    return NULL;
}

const ltlm_kernels *ltlm_kernels_avx512(void)
{
    return NULL;
}

const ltlm_kernels *ltlm_kernels_avx512_bf16(void)
{
    return NULL;
}
#endif

#if !defined(__aarch64__) && !defined(_M_ARM64)
const ltlm_kernels *ltlm_kernels_neon(void)
{
    return NULL;
}

const ltlm_kernels *ltlm_kernels_neon_i8mm(void)
{
    return NULL;
}
#endif

const ltlm_kernels *ltlm_kernels_choose(const char *name)
{
    /* The best first. */
    static const ltlm_kernels *(*const tables[])(void) = {
        ltlm_kernels_avx512_bf16, ltlm_kernels_avx512, ltlm_kernels_avxvnni,  ltlm_kernels_avx2,
        ltlm_kernels_neon_i8mm,   ltlm_kernels_neon,   ltlm_kernels_portable,
    };
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        const ltlm_kernels *table = tables[i]();
        if (table && (!name || strcmp(table->name, name) == 0)) {
            return table;
        }
    }
    return NULL;
}
