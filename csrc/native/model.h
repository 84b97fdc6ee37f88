/* model.h - what a model, its sequences and its generations are made of; for the files that implement
 * native.h.
 *
 * One mutex, the model's, guards everything below that is not marked otherwise. The batcher's thread gives it
 * up only while it computes: what a pass works on is marked `in_pass`, and meanwhile nobody else changes or
 * frees it.
 */
#ifndef LTLM_MODEL_H
#define LTLM_MODEL_H

#include <stdatomic.h>

#include "executor.h"
#include "kv.h"
#include "native.h"
#include "platform.h"
#include "prefixes.h"
#include "sampler.h"

/* A part of a pass: the next rows of one generation. */
typedef struct {
    ltlm_generation *generation;
    int32_t row, rows;       /* the first, and how many */
    int32_t wanted, wanteds; /* likewise of those whose logits are wanted */
    int32_t token;           /* sampled; -1: none */
} ltlm__part;

/* What the batcher's thread is doing; the arrays are its own. */
typedef struct {
    ltlm__part *parts;  /* [max_rows] */
    int32_t part_count;
    int32_t *tokens;    /* [max_rows], as in ltlm_rows, as the three below */
    int32_t *positions;
    ltlm_kv **sequences;
    bool *wanted;
    int32_t row_count, wanted_count;
    bool decodes;       /* some of its rows are a generation's only next one */
    bool prefills;      /* some are not */
    bool is_short;      /* a cancel waits for its end */
    atomic_bool abort;  /* any thread */
} ltlm__pass;

struct ltlm_model {
    /* read-only */
    ltlm_program *program;
    ltlm_kv_store *store;
    const ltlm_kernels *kernels;
    int32_t vocabulary, max_context;
    int32_t max_rows;

    /* the batcher's thread alone */
    ltlm_executor *executor;
    ltlm__sampler *sampler;
    int64_t decode_ns; /* what the latest pass without prefill took; 0: unknown */
    ltlm__thread thread;

    ltlm__mutex mutex; /* guards all below, and what is in sequences and generations */
    ltlm__cond work;   /* the batcher's thread waits for it */
    ltlm__pass pass;
    ltlm_sequence *sequences;             /* all */
    int32_t leaving;                      /* that are being deleted, and in no list any more */
    ltlm_generation *first, *last;        /* those that run: who was served last is last */
    ltlm__prefixes prefixes;
    bool stops;
};

struct ltlm_sequence {
    ltlm_model *model; /* read-only */
    ltlm_kv *kv;       /* while a generation runs, the batcher's thread changes it, with the mutex held */
    ltlm_generation *running;
    int32_t generations; /* that exist */
    ltlm_sequence *previous, *next;
};

struct ltlm_generation {
    /* read-only */
    ltlm_sequence *sequence;
    ltlm_generation_options options; /* its lists are copies */
    int32_t prompt;                  /* tokens of it */
    int32_t first_visible;           /* what is delivered begins at this token */

    /* Room for all that can come, so that nothing moves: what was delivered stays where it is. */
    int32_t *tokens;          /* prompt and reply; the batcher's thread appends */
    float *log_probabilities; /* of the tokens from first_visible on; NULL: not wanted */
    int32_t *alternatives;    /* likewise, options.alternatives of them for each token */
    float *alternative_log_probabilities;
    float *logits;            /* that the latest token was chosen from; NULL: not kept */
    int32_t reused;           /* tokens of the prompt that were found in KV */
    int32_t prefilled;        /* and that were run */
    int32_t count;            /* tokens */
    int32_t visible;          /* tokens that may be delivered */
    int32_t delivered;        /* tokens that were */
    uint32_t *mask;           /* NULL: not masked; the consumer writes it while has_mask is false */
    bool has_mask;
    bool cancelled;
    bool in_pass;
    int32_t end;              /* an ltlm_end */
    ltlm_error error;
    int64_t started_ns, running_ns, first_token_ns, ended_ns;
    ltlm__cond changed; /* a consumer in take, or a thread in delete, waits for it */
    int32_t awaited;    /* tokens that the waiting consumer wants; 0: nobody waits */
    ltlm_generation *previous, *next; /* in the model's list of running ones */
};

static inline bool ltlm__needs_mask(const ltlm_generation *generation)
{
    return generation->mask && !generation->has_mask && generation->end == LTLM_RUNNING;
}

/* Whether a consumer that wants so many tokens need not wait any longer. */
static inline bool ltlm__has_news(const ltlm_generation *generation, int32_t want)
{
    return generation->visible - generation->delivered >= want || generation->end != LTLM_RUNNING ||
           ltlm__needs_mask(generation);
}

static inline int32_t ltlm__lesser(int32_t a, int32_t b) { return a < b ? a : b; }

/* Makes a sequence hold the longest beginning of `tokens`, of at most `most`, that it or any other sequence
 * of its model holds; *reused: how long it is. On failure it is as before. The mutex is held. */
int32_t ltlm__sequence_share(ltlm_sequence *sequence, const int32_t *tokens, int32_t most, int32_t *reused,
                             ltlm_error *err);

#endif /* LTLM_MODEL_H */
