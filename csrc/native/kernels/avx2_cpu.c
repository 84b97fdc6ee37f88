/* avx2_cpu.c - whether this CPU, and the system on it, can run the tables for 256-bit vectors. */
#include "avx2.h"

#ifdef LTLM_HAS_AVX2

#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif

typedef struct {
    uint32_t a, b, c, d;
} registers;

static registers cpuid(uint32_t leaf, uint32_t subleaf)
{
    registers r = {0};
#if defined(_MSC_VER)
    int v[4];
    __cpuidex(v, (int)leaf, (int)subleaf);
    r = (registers){(uint32_t)v[0], (uint32_t)v[1], (uint32_t)v[2], (uint32_t)v[3]};
#else
    __cpuid_count(leaf, subleaf, r.a, r.b, r.c, r.d);
#endif
    return r;
}

/* The system saves 256-bit registers. */
static bool saves_vectors(void)
{
#if defined(_MSC_VER)
    uint64_t enabled = _xgetbv(0);
#else
    uint32_t enabled, high;
    __asm__ volatile("xgetbv" : "=a"(enabled), "=d"(high) : "c"(0));
#endif
    return (enabled & 6) == 6;
}

bool ltlm__has_avx2(void)
{
    enum { FMA = 1u << 12, OSXSAVE = 1u << 27, F16C = 1u << 29, AVX2 = 1u << 5 };
    if (cpuid(0, 0).a < 7) {
        return false;
    }
    uint32_t wanted = FMA | OSXSAVE | F16C;
    return (cpuid(1, 0).c & wanted) == wanted && saves_vectors() && (cpuid(7, 0).b & AVX2);
}

bool ltlm__has_avxvnni(void)
{
    enum { AVX_VNNI = 1u << 4 };
    return ltlm__has_avx2() && cpuid(7, 0).a >= 1 && (cpuid(7, 1).a & AVX_VNNI);
}

#endif
