/* avx512.c - the tables for 512-bit vectors. */
#include "avx512_panels.h"

#ifdef LTLM_HAS_AVX512

#include <stdbool.h>

#if defined(_MSC_VER)
#include <intrin.h>
#endif

/* Whether this CPU has what LTLM_AVX512 names, and the system saves its registers. */
static bool can_run(bool bf16)
{
#if defined(_MSC_VER)
    int level[4], seventh[4], more[4];
    __cpuidex(level, 1, 0);
    __cpuidex(seventh, 7, 0);
    __cpuidex(more, 7, 1);
    bool saves = (level[2] >> 27 & 1) && (_xgetbv(0) & 0xe6) == 0xe6;
    unsigned wanted = 1u << 5 | 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;          /* AVX2, F, DQ, BW, VL */
    bool has = ((unsigned)seventh[1] & wanted) == wanted && (seventh[2] >> 11 & 1); /* VNNI */
    return saves && has && (level[2] >> 12 & level[2] >> 29 & 1) && (!bf16 || (more[0] >> 5 & 1));
#else
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni") && (!bf16 || __builtin_cpu_supports("avx512bf16"));
#endif
}

static size_t multiply_scratch(int32_t format, int32_t columns)
{
    switch (format) {
    case LTLM_FLOAT32: return ltlm__avx512_float_scratch(columns);
    case LTLM_INT4_BLOCK: return ltlm__avx512_block_scratch(columns);
    default: return ltlm__avx512_integer_scratch(format, columns);
    }
}

static void multiply(const ltlm_weights *w, const ltlm_activations *a, int32_t from, int32_t to,
                     const float *bias, float *out, size_t stride, void *scratch)
{
    if (w->float_activations || w->format == LTLM_FLOAT32) {
        ltlm__avx512_float_multiply(w, a, from, to, bias, out, stride, scratch);
    } else if (w->format == LTLM_INT4_BLOCK) {
        ltlm__avx512_block_multiply(w, a, from, to, bias, out, stride, scratch);
    } else {
        ltlm__avx512_integer_multiply(w, a, from, to, bias, out, stride, scratch);
    }
}

#define TABLE(table_name, table_attend)                                                                      \
    {                                                                                                        \
        .name = table_name, .row_step = LTLM_PANEL, .activation_bytes = ltlm__avx512_activation_bytes,       \
        .prepare = ltlm__avx512_prepare, .multiply_scratch = multiply_scratch, .multiply = multiply,         \
        .sum_weights = ltlm__avx512_sum_weights, .embed = ltlm__avx512_embed,                                \
        .store_key = ltlm__avx512_store_key, .store_value = ltlm__avx512_store_value,                        \
        .attend_scratch = ltlm__avx512_attend_scratch, .attend = table_attend,                               \
        .rms_norm = ltlm__avx512_rms_norm, .rope = ltlm__avx512_rope, .gate = ltlm__avx512_gate,             \
        .unary = ltlm__avx512_unary, .add = ltlm__avx512_add, .mul = ltlm__avx512_mul,                       \
        .softmax = ltlm__avx512_softmax, .argmax = ltlm__avx512_argmax,                                      \
        .log_sum_exp = ltlm__avx512_log_sum_exp,                                                             \
    }

const ltlm_kernels *ltlm_kernels_avx512(void)
{
    static const ltlm_kernels table = TABLE("avx512", ltlm__avx512_attend);
    return can_run(false) ? &table : NULL;
}

const ltlm_kernels *ltlm_kernels_avx512_bf16(void)
{
    static const ltlm_kernels table = TABLE("avx512-bf16", ltlm__avx512_bf16_attend);
    return can_run(true) ? &table : NULL;
}

#endif
