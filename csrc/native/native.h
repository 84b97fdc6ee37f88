/* native.h - the C interface of our own engine; conventions as in ltlm.h, but for rule 7: a pool and a model
 * have threads of their own, which end with them.
 *
 * A model runs its generations together: a thread of the model gathers the next rows of all of them (one each
 * of those that decode, and chunks of prompts, in turn), runs them in one pass over the weights, samples, and
 * goes on. Callers only put generations in and take tokens out; no call but those marked so waits for a
 * computation.
 */
#ifndef LTLM_NATIVE_H
#define LTLM_NATIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ltlm.h"
#include "plan.h"

/* cdef-begin: plain declarations only; build_ext.py feeds this region to cffi. */

/* ---- pool -------------------------------------------------------------------------------------- */

typedef struct ltlm_pool ltlm_pool;

/* `threads` in all, 1..64; the caller of a run is one of them. *out: caller frees with ltlm_pool_delete,
 * after the models that use it. Any thread. */
int32_t ltlm_pool_create(int32_t threads, ltlm_pool **out, ltlm_error *err);
void ltlm_pool_delete(ltlm_pool *pool);
void ltlm_pool_dispose(ltlm_pool **pool);
int32_t ltlm_pool_threads(const ltlm_pool *pool);

/* ---- model ------------------------------------------------------------------------------------- */

typedef struct ltlm_model ltlm_model;

typedef struct {
    int32_t fd;            /* the model file; borrowed for the call */
    uint64_t file_size;
    const char *kernels;   /* a table's name (kernels.h); NULL: the best for this CPU */
    bool copy_weights;     /* into huge pages, instead of reading the mapped file */
    bool wide_cache;       /* KV in float32 instead of float16 */
    uint64_t cache_limit;  /* bytes of KV for all sequences; 0: none */
    int32_t max_rows;      /* most rows of one pass, 2..65536; 0: the default, 512 */
} ltlm_model_options;

/* Checks the plan and loads. LTLM_E_UNSUPPORTED: this build or this CPU has no kernels of that name.
 * LTLM_E_INVALID_ARGUMENT: the plan cannot be run; LTLM_E_ENGINE: the file is damaged; the reason says where.
 * *out: caller frees with ltlm_model_delete. Any thread. */
int32_t ltlm_model_create(ltlm_pool *pool, const ltlm_plan *plan, const ltlm_model_options *options,
                          ltlm_model **out, ltlm_error *err);
/* LTLM_E_BUSY while sequences are alive. Any thread. */
int32_t ltlm_model_delete(ltlm_model *model, ltlm_error *err);
int32_t ltlm_model_dispose(ltlm_model **model, ltlm_error *err);

typedef struct {
    const char *kernels;          /* static */
    uint64_t weight_bytes;        /* held beside the mapped file */
    uint64_t cache_bytes;         /* KV pages in use */
    uint64_t cache_bytes_a_token;
} ltlm_model_facts;

/* Any thread. */
void ltlm_model_describe(ltlm_model *model, ltlm_model_facts *out);

/* ---- sequence ----------------------------------------------------------------------------------
 * Tokens and their KV. While a generation runs on it, every call here but _length and _saved_bytes is
 * LTLM_E_BUSY. */

typedef struct ltlm_sequence ltlm_sequence;

/* Empty. *out: caller frees with ltlm_sequence_delete. Any thread. */
int32_t ltlm_sequence_create(ltlm_model *model, ltlm_sequence **out, ltlm_error *err);
/* The same tokens; pages are shared. Owner thread. */
int32_t ltlm_sequence_fork(ltlm_sequence *sequence, ltlm_sequence **out, ltlm_error *err);
/* LTLM_E_BUSY while its generation exists. Any thread. */
int32_t ltlm_sequence_delete(ltlm_sequence *sequence, ltlm_error *err);
int32_t ltlm_sequence_dispose(ltlm_sequence **sequence, ltlm_error *err);
/* Tokens whose KV it holds. Any thread. */
int32_t ltlm_sequence_length(const ltlm_sequence *sequence);
/* Forgets the tokens from `length` on; more, if a sliding window needs what it has let go of. *kept: what
 * is left. Owner thread. */
int32_t ltlm_sequence_rewind(ltlm_sequence *sequence, int32_t length, int32_t *kept, ltlm_error *err);
/* The state as bytes for ltlm_sequence_load on a model of the same file and options. `out` has room for
 * ltlm_sequence_saved_bytes. Owner thread. */
size_t ltlm_sequence_saved_bytes(ltlm_sequence *sequence);
int32_t ltlm_sequence_save(ltlm_sequence *sequence, uint8_t *out, size_t size, ltlm_error *err);
/* Replaces what it holds; on failure it is as before. Owner thread. */
int32_t ltlm_sequence_load(ltlm_sequence *sequence, const uint8_t *bytes, size_t size, ltlm_error *err);

/* ---- generation -------------------------------------------------------------------------------- */

typedef struct ltlm_generation ltlm_generation;

enum { LTLM_MOST_ALTERNATIVES = 20 };

/* Sampling goes: penalties, biases, suppressed tokens and mask; then greedy if temperature is 0 or top_k
 * is 1; else temperature, top_k, top_p, min_p, and one draw from a generator that depends on the seed and
 * the position alone, so that what else runs changes nothing. Penalties look at the prompt and the reply
 * (repetition), or the reply alone (presence, frequency). */
typedef struct {
    int32_t max_tokens;          /* 0: prefill only, ends with LTLM_END_LENGTH; negative: until a stop token
                                    or the end of the context */
    const int32_t *stop_tokens;  /* end the generation, and are delivered as its last */
    size_t stop_count;
    float temperature;           /* >= 0 */
    int32_t top_k;               /* 0: all */
    float top_p;                 /* 0 < top_p <= 1 */
    float min_p;                 /* 0..1 */
    uint64_t seed;
    float repetition_penalty;    /* > 0; 1: none */
    float presence_penalty;      /* 0: none */
    float frequency_penalty;
    int32_t no_repeat_ngram;     /* 0: none */
    const int32_t *suppressed;   /* never sampled; shape: [suppressed_count] */
    size_t suppressed_count;
    const int32_t *bias_tokens;  /* shape: [bias_count] */
    const float *biases;         /* added to their logits */
    size_t bias_count;
    bool log_probabilities;      /* log_softmax of the model's logits, before all of the above */
    int32_t alternatives;        /* so many of the likeliest tokens at each place, with theirs:
                                    0..LTLM_MOST_ALTERNATIVES; not looked at unless tokens are sampled */
    bool keep_logits;            /* for ltlm_generation_logits */
    bool masked;                 /* waits for ltlm_generation_mask before each token */
    int32_t shared;              /* so many tokens of the prompt's beginning are of use to other sequences,
                                    and are kept for them when they are computed; 0: none */
    int32_t score_from;          /* >= 1: deliver the prompt's own tokens from this index on, with their
                                    log-probabilities, and nothing else (max_tokens and masked are not looked
                                    at), then end with LTLM_END_LENGTH; 0: do not */
} ltlm_generation_options;

/* Begins to generate after `tokens` (copied; all of them, from the conversation's beginning). What the
 * sequence already holds of them is kept, what it holds beyond is forgotten, and a longer beginning that
 * any other sequence of the model holds is shared, unless a sliding window of theirs has let go of what going
 * back to the sequence's own beginning needs. At least one token is run again. Sliding windows let go of what
 * the tokens after the sequence's own beginning do not look at. *out: caller frees
 * with ltlm_generation_delete. LTLM_E_INVALID_ARGUMENT: no token, too many for the context, one out of
 * range, options out of range. Owner thread of the sequence. */
int32_t ltlm_generation_start(ltlm_sequence *sequence, const int32_t *tokens, size_t count,
                              const ltlm_generation_options *options, ltlm_generation **out, ltlm_error *err);

typedef enum {
    LTLM_RUNNING = 0,
    LTLM_END_STOP = 1,      /* a stop token */
    LTLM_END_LENGTH = 2,    /* max_tokens */
    LTLM_END_CONTEXT = 3,   /* the context is full */
    LTLM_END_CANCELLED = 4,
    LTLM_END_FAILED = 5     /* see error: no memory for KV; the sequence holds what was computed before */
} ltlm_end;

typedef struct {
    const int32_t *tokens;          /* new ones; shape: [count]; borrowed until the next take or delete */
    const float *log_probabilities; /* shape: [count]; NULL unless asked for */
    const int32_t *alternatives;    /* likeliest first, whether chosen or not; -1: there are no more;
                                       shape: [count, alternatives asked for]; NULL unless asked for */
    const float *alternative_log_probabilities; /* the same shape */
    size_t count;
    bool needs_mask;    /* it waits for ltlm_generation_mask */
    int32_t end;        /* an ltlm_end; not LTLM_RUNNING once the last tokens are delivered */
    ltlm_error error;   /* valid when end is LTLM_END_FAILED */
    int32_t prompt_tokens;    /* run for the prompt */
    int32_t reused_tokens;    /* of the prompt, found in KV */
    int32_t generated_tokens; /* so far, the stop token included */
    int32_t prefilled_tokens; /* of prompt_tokens, so far: the progress of a long prefill */
    int64_t started_ns;       /* monotonic clock: start was called; 0: not yet, likewise below */
    int64_t running_ns;       /* its first row was run */
    int64_t first_token_ns;   /* the first token was sampled, or the prefill ended */
    int64_t ended_ns;
} ltlm_progress;

/* Waits until there is something new: a token, the need of a mask, the end, or LTLM_E_TIMED_OUT after
 * `timeout_ms` (negative: no limit). Once there is a token it lingers up to `linger_ms` more for `want`
 * tokens; the need of a mask and the end are not waited beyond. What is news stays so until it is dealt with:
 * the need of a mask until there is one, the end for ever. When it times out all but the tokens is filled in
 * nevertheless. Consumer thread; call it with the interpreter lock released. */
int32_t ltlm_generation_take(ltlm_generation *generation, int32_t want, int32_t linger_ms, int32_t timeout_ms,
                             ltlm_progress *out);

/* Which tokens may come next: bit t % 32 of bits[t / 32], (vocabulary + 31) / 32 words (copied).
 * LTLM_E_INVALID_ARGUMENT: it was not waiting for one, or nothing is allowed. LTLM_E_ENDED: it is over,
 * perhaps cancelled meanwhile. The first may be given while the prompt is still being run. What it forbids
 * never comes, even when everything that it allows is suppressed. Consumer thread. */
int32_t ltlm_generation_mask(ltlm_generation *generation, const uint32_t *bits, size_t words,
                             ltlm_error *err);

/* The model's logits, [vocabulary], that its latest token was chosen from. LTLM_E_INVALID_ARGUMENT: it is not over,
 * has no token, did not keep them, or `count` is not the vocabulary. Consumer thread. */
int32_t ltlm_generation_logits(ltlm_generation *generation, float *out, size_t count, ltlm_error *err);

/* Asks it to stop: nothing of it is computed any more within 20 ms. Any thread, any time before delete. */
void ltlm_generation_cancel(ltlm_generation *generation);

/* True once nothing of it is computed any more. Any thread. */
bool ltlm_generation_is_over(ltlm_generation *generation);

/* Cancels, waits until nothing is computed any more, frees. The sequence holds the tokens that were
 * computed. Any thread, but no other call may be in progress on it. */
void ltlm_generation_delete(ltlm_generation *generation);
int32_t ltlm_generation_dispose(ltlm_generation **generation, ltlm_error *err);

/* cdef-end */

#endif /* LTLM_NATIVE_H */
