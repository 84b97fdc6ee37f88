/* generations.h - what the tests of generations and of the batcher share: a model of the fake executor. */
#ifndef GENERATIONS_H
#define GENERATIONS_H

#include <pthread.h>
#include <stdatomic.h>

#include "fake_executor.h"
#include "native/native.h"
#include "testing.h"

enum { PATIENCE_MS = 50000 };

static _Thread_local ltlm_error err;

/* A model; a limit of KV bytes, and most rows of a pass; 0: none, and the default. */
static inline ltlm_model *new_model(uint64_t limit, int32_t max_rows)
{
    ltlm_model *model;
    ltlm_model_options options = {.kernels = "portable", .cache_limit = limit, .max_rows = max_rows};
    fake_reset();
    ASSERT_INT(LTLM_OK, ltlm_model_create(NULL, fake_plan(), &options, &model, &err));
    return model;
}

static inline void delete_model(ltlm_model *model) { ASSERT_INT(LTLM_OK, ltlm_model_delete(model, &err)); }

static inline ltlm_sequence *new_sequence(ltlm_model *model)
{
    ltlm_sequence *sequence;
    ASSERT_INT(LTLM_OK, ltlm_sequence_create(model, &sequence, &err));
    return sequence;
}

static inline void delete_sequence(ltlm_sequence *sequence)
{
    ASSERT_INT(LTLM_OK, ltlm_sequence_delete(sequence, &err));
}

static inline ltlm_generation_options greedy(int32_t max_tokens)
{
    return (ltlm_generation_options){.max_tokens = max_tokens, .top_p = 1, .repetition_penalty = 1};
}

/* A prompt that looks random; prompts of one seed begin alike. */
typedef struct {
    int32_t tokens[FAKE_CONTEXT + 1];
    int32_t count;
} text;

static inline text prompt_of(uint32_t seed, int32_t count)
{
    text prompt = {.count = count};
    for (int32_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        prompt.tokens[i] = (int32_t)(seed >> 8) % FAKE_VOCABULARY;
    }
    return prompt;
}

static inline ltlm_generation *start_with(ltlm_sequence *sequence, const text *prompt,
                                          ltlm_generation_options options)
{
    ltlm_generation *generation;
    ASSERT_INT(LTLM_OK, ltlm_generation_start(sequence, prompt->tokens, (size_t)prompt->count, &options,
                                              &generation, &err));
    return generation;
}

static inline ltlm_generation *start(ltlm_sequence *sequence, const text *prompt, int32_t max_tokens)
{
    return start_with(sequence, prompt, greedy(max_tokens));
}

/* Takes until the end; what came is appended to `out`. */
static inline ltlm_progress finish(ltlm_generation *generation, text *out)
{
    ltlm_progress progress;
    do {
        ASSERT_INT(LTLM_OK, ltlm_generation_take(generation, 1, 0, PATIENCE_MS, &progress));
        ASSERT(!progress.needs_mask);
        for (size_t i = 0; i < progress.count; i++) {
            out->tokens[out->count++] = progress.tokens[i];
        }
    } while (progress.end == LTLM_RUNNING);
    return progress;
}

/* What a prompt followed by `count` greedy tokens is. */
static inline text continued(const text *prompt, int32_t count)
{
    text all = *prompt;
    for (int32_t i = 0; i < count; i++) {
        all.tokens[all.count] = fake_next(all.tokens, all.count);
        all.count++;
    }
    return all;
}

static inline void assert_same(const text *expected, const text *actual)
{
    ASSERT_INT(expected->count, actual->count);
    for (int32_t i = 0; i < expected->count; i++) {
        ASSERT_INT(expected->tokens[i], actual->tokens[i]);
    }
}

/* Runs a generation to its end, which is as expected, and checks its greedy tokens. */
static inline ltlm_progress run(ltlm_sequence *sequence, const text *prompt, int32_t max_tokens)
{
    text all = *prompt, expected = continued(prompt, max_tokens);
    ltlm_generation *generation = start(sequence, prompt, max_tokens);
    ltlm_progress progress = finish(generation, &all);
    ASSERT_INT(LTLM_END_LENGTH, progress.end);
    assert_same(&expected, &all);
    ltlm_generation_delete(generation);
    return progress;
}

/* Whether it is over soon: nobody has to take anything for that. */
static inline void wait_until_over(ltlm_generation *generation)
{
    ltlm_progress progress;
    do {
        ASSERT_INT(LTLM_OK, ltlm_generation_take(generation, 1, 0, PATIENCE_MS, &progress));
    } while (progress.end == LTLM_RUNNING);
    ASSERT(ltlm_generation_is_over(generation));
}

#endif /* GENERATIONS_H */
