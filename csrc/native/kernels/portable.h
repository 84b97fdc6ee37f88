/* portable.h - the functions of the portable table, for tables that borrow some of them. Contracts:
 * kernels.h. */
#ifndef LTLM_KERNELS_PORTABLE_H
#define LTLM_KERNELS_PORTABLE_H

#include "../kernels.h"

bool ltlm__portable_sum_weights(const ltlm_weights *w, int32_t from, int32_t to, int32_t *sums);
void ltlm__portable_embed(const ltlm_weights *table, int32_t row, float factor, float *out);

void ltlm__portable_store_key(const float *key, int32_t head_dim, bool wide, uint8_t *page, int32_t slot);
void ltlm__portable_store_value(const float *value, int32_t head_dim, bool wide, uint8_t *page, int32_t slot);
size_t ltlm__portable_attend_scratch(int32_t positions, int32_t head_dim);
void ltlm__portable_attend(const ltlm_attention *job);

void ltlm__portable_rms_norm(const float *x, const float *weight, int32_t n, float epsilon, float *out);
void ltlm__portable_rope(const float *x, const float *cosine, const float *sine, int32_t head_dim,
                         float *out);
void ltlm__portable_gate(int32_t activation, const float *x, const float *y, int32_t n, float *out);
void ltlm__portable_unary(int32_t function, const float *x, int32_t n, float *out);
void ltlm__portable_add(const float *x, const float *y, int32_t n, float *out);
void ltlm__portable_mul(const float *x, const float *y, int32_t n, float *out);
void ltlm__portable_softmax(const float *x, int32_t n, float *out);
int32_t ltlm__portable_argmax(const float *x, int32_t n);
float ltlm__portable_log_sum_exp(const float *x, int32_t n);

#endif /* LTLM_KERNELS_PORTABLE_H */
