/* neon_cpu.c - what this CPU has beyond ARMv8.0. */
#define _DARWIN_C_SOURCE /* sysctlbyname */

#include "neon.h"

#ifdef LTLM_HAS_NEON

#if defined(__linux__)

#include <sys/auxv.h>

bool ltlm__has_dotprod(void)
{
    return getauxval(AT_HWCAP) & 1ul << 20; /* HWCAP_ASIMDDP */
}

bool ltlm__has_i8mm(void)
{
    return ltlm__has_dotprod() && getauxval(AT_HWCAP2) & 1ul << 13; /* HWCAP2_I8MM */
}

#elif defined(__APPLE__)

#include <sys/sysctl.h>

static bool has(const char *feature)
{
    int32_t value = 0;
    size_t size = sizeof value;
    return sysctlbyname(feature, &value, &size, NULL, 0) == 0 && value;
}

bool ltlm__has_dotprod(void)
{
    return has("hw.optional.arm.FEAT_DotProd");
}

bool ltlm__has_i8mm(void)
{
    return ltlm__has_dotprod() && has("hw.optional.arm.FEAT_I8MM");
}

#else

bool ltlm__has_dotprod(void)
{
    return false;
}

bool ltlm__has_i8mm(void)
{
    return false;
}

#endif

#endif
