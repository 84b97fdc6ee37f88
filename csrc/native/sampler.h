/* sampler.h - from a row of logits to the next token. */
#ifndef LTLM_SAMPLER_H
#define LTLM_SAMPLER_H

#include "kernels.h"
#include "ltlm.h"
#include "native.h"

/* Buffers for a vocabulary; keeps nothing from one token to the next. One thread at a time. */
typedef struct ltlm__sampler ltlm__sampler;

/* *out: caller frees with ltlm__sampler_delete. */
int32_t ltlm__sampler_create(const ltlm_kernels *kernels, int32_t vocabulary, ltlm__sampler **out,
                             ltlm_error *err);
void ltlm__sampler_delete(ltlm__sampler *sampler);

/* Whether the options of sampling are in range; the reason names the range. Any thread. */
int32_t ltlm__sampler_check(const ltlm_generation_options *options, int32_t vocabulary, ltlm_error *err);

/* What a token is sampled from; everything is borrowed for the call. */
typedef struct {
    const ltlm_generation_options *options; /* checked */
    const float *logits;                    /* [vocabulary]; NaN is never chosen */
    const int32_t *tokens;                  /* prompt and reply so far: [count] */
    size_t count;
    size_t prompt;                          /* of these, the prompt */
    const uint32_t *mask;                   /* as in ltlm_generation_mask; NULL: all may come */
} ltlm__sample;

/* The next token. What the mask forbids never comes; should suppressed tokens and n-grams leave nothing, they
 * give way. */
int32_t ltlm__sampler_next(ltlm__sampler *sampler, const ltlm__sample *sample);

/* log(softmax(logits)[token]). */
float ltlm__sampler_log_probability(const ltlm__sampler *sampler, const float *logits, int32_t token);

/* The `count` likeliest tokens, likeliest first, the first of equals before the others, and their
 * log-probabilities; -1 and -INFINITY where there are no more. count: 1..LTLM_MOST_ALTERNATIVES. */
void ltlm__sampler_likeliest(ltlm__sampler *sampler, const float *logits, int32_t count, int32_t *tokens,
                             float *log_probabilities);

#endif /* LTLM_SAMPLER_H */
