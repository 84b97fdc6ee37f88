/* ltlm.h - the C interface that litertlm's Python door is built on.
 *
 * Conventions, stated once and meant everywhere below:
 *
 *  1. Names are ltlm_<noun>_<verb>. Handles are opaque and typed. Every _create/_open/_clone has one
 *     _delete/_close; deleting NULL does nothing.
 *  2. Functions that can fail return LTLM_OK or a negative ltlm_status and, when `err` is not NULL,
 *     describe the failure in it. `err` is always overwritten, on success too. Outputs come last and are
 *     set to NULL or 0 on failure.
 *     A _dispose takes the handle's variable: it deletes what is in it and sets it to NULL in one call, so that a
 *     caller who may be interrupted between any two calls never deletes twice and never loses a handle. NULL in
 *     it does nothing; on LTLM_E_BUSY it stays.
 *  3. Ownership has four words. "caller frees with X": the result is the caller's. "borrowed until Y": do
 *     not free, do not use after Y. "copied": the argument may be freed as soon as the call returns.
 *     "taken": the callee frees it, on failure as well.
 *  4. A parent outlives its children (library > engine > conversation/session > stream). Deleting a parent
 *     that has children is LTLM_E_BUSY and changes nothing.
 *  5. Threads have three words. "any thread": may be called at any time from any thread. "owner thread":
 *     one thread at a time per handle, which may change between calls. "engine thread": called by the
 *     engine; C only, never re-enters the engine, never blocks except on a full stream.
 *     A call marked "waits for the engine" does not return while a generation runs on the same engine.
 *  6. Text is UTF-8 without NUL bytes; the caller has checked it (invalid UTF-8 aborts the engine's
 *     tokenizer). JSON arguments are complete documents nested less than 1,000 deep.
 *  7. No global mutable state; no thread is created here; nothing is printed.
 */
#ifndef LTLM_H
#define LTLM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* cdef-begin: plain declarations only; build_ext.py feeds this region to cffi. */

/* ---- status ------------------------------------------------------------------------------------ */

typedef enum {
    LTLM_OK = 0,
    LTLM_E_NO_MEMORY = -1,         /* an allocation failed; nothing changed */
    LTLM_E_INVALID_ARGUMENT = -2,  /* the caller broke this interface's rules */
    LTLM_E_LIBRARY_NOT_FOUND = -3, /* the engine library could not be loaded */
    LTLM_E_LIBRARY_MISMATCH = -4,  /* it was loaded, but is not a version that fits */
    LTLM_E_UNSUPPORTED = -5,       /* the loaded library lacks an optional function */
    LTLM_E_ENGINE = -6,            /* the engine refused or failed; see engine_code and reason */
    LTLM_E_CANCELLED = -7,         /* the turn was cancelled */
    LTLM_E_TIMED_OUT = -8,         /* the deadline passed; the operation goes on */
    LTLM_E_BUSY = -9,              /* a child is alive, or a turn is running */
    LTLM_E_ENDED = -10             /* the stream has already delivered its terminal item */
} ltlm_status;

/* Why a call failed. A plain value that the caller owns; filled in the thread that failed. */
typedef struct {
    int32_t status;      /* an ltlm_status */
    int32_t engine_code; /* the engine's own (absl) code, 0 when the engine was not involved */
    char reason[2048];   /* NUL-terminated; the engine's words, not always valid UTF-8; "" on success */
} ltlm_error;

/* The constant's name without its prefix, "NO_MEMORY"; "UNKNOWN" for other values. Static. Any thread. */
const char *ltlm_status_name(int32_t status);

/* ---- library ----------------------------------------------------------------------------------- */

typedef struct ltlm_library ltlm_library;

/* What a loaded library offers beyond the functions that every build must have. */
typedef enum {
    LTLM_CAN_CLONE = 1,          /* ltlm_conversation_clone */
    LTLM_CAN_CHECKPOINT = 2,     /* ltlm_session_checkpoint, _rewind */
    LTLM_CAN_SCORE = 4,          /* ltlm_session_score */
    LTLM_CAN_BENCHMARK = 8,      /* ltlm_conversation_turn_counts, ltlm_session_turn_counts */
    LTLM_CAN_OPEN_FD = 16,       /* ltlm_engine_options.fd */
    LTLM_CAN_VISUAL_BUDGET = 32, /* ltlm_turn_options.visual_token_budget */
    LTLM_CAN_CONSTRAIN = 64,     /* ltlm_turn_options.constraint_type */
    LTLM_CAN_PENALIZE = 128,     /* penalties, no-repeat n-gram, suppressed tokens */
    LTLM_CAN_THINK = 256         /* thinking switches */
} ltlm_capability;

/* Loads the engine library at `path` (copied) with local symbols and resolves every function used.
 * LTLM_E_LIBRARY_NOT_FOUND carries the system loader's words; LTLM_E_LIBRARY_MISMATCH names the first
 * missing function and the file. *out: caller frees with ltlm_library_close. Any thread. */
int32_t ltlm_library_open(const char *path, ltlm_library **out, ltlm_error *err);

/* LTLM_E_BUSY while engines are alive. The shared object itself stays mapped until the process exits:
 * it owns threads that cannot be unloaded safely. Any thread. */
int32_t ltlm_library_close(ltlm_library *library, ltlm_error *err);

/* A set of ltlm_capability bits. Any thread. */
uint64_t ltlm_library_capabilities(const ltlm_library *library);

/* The least severe level the engine prints to stderr: 0 verbose ... 4 errors; 1000 silent. It is one value
 * for the whole process. At 5 and above the engine also leaves out the reasons of failed loads. Any thread. */
void ltlm_library_set_log_level(const ltlm_library *library, int32_t level);

/* ---- engine ------------------------------------------------------------------------------------ */

typedef struct ltlm_engine ltlm_engine;

/* All strings are copied. NULL and 0 mean "not set" unless said otherwise. */
typedef struct {
    const char *path;           /* model file ending in ".litertlm"; NULL when fd is used */
    int32_t fd;                 /* open descriptor of a model file, taken; not looked at when path is given */
    const char *backend;        /* "cpu" or "gpu"; required */
    const char *vision_backend; /* NULL: do not load the vision encoder */
    const char *audio_backend;  /* NULL: do not load the audio encoder */
    const char *cache_dir;      /* folder for weight caches; ":nocache"; NULL: beside the model. The engine
                                   keeps no cache for a model that is opened by fd */
    int32_t threads;            /* > 0 */
    int32_t max_tokens;         /* context length wanted; 0: the model's */
    bool benchmark;             /* count tokens and time per turn */
} ltlm_engine_options;

/* Loads a model; takes seconds for a large one. *out: caller frees with ltlm_engine_delete. Any thread. */
int32_t ltlm_engine_create(ltlm_library *library, const ltlm_engine_options *options, ltlm_engine **out,
                           ltlm_error *err);

/* LTLM_E_BUSY while conversations or sessions are alive. Waits for the engine. Any thread. */
int32_t ltlm_engine_delete(ltlm_engine *engine, ltlm_error *err);
int32_t ltlm_engine_dispose(ltlm_engine **engine, ltlm_error *err);

/* A list of token ids. Caller frees with ltlm_tokens_clear. */
typedef struct {
    int32_t *ids; /* shape: [count]; NULL when count is 0 */
    size_t count;
} ltlm_tokens;

void ltlm_tokens_clear(ltlm_tokens *tokens);

/* Text to ids; no start token is added. Any thread, also while the engine generates. */
int32_t ltlm_engine_tokenize(ltlm_engine *engine, const char *text, ltlm_tokens *out, ltlm_error *err);

/* Ids to text. *out: caller frees with ltlm_string_free. Any thread, also while the engine generates. */
int32_t ltlm_engine_detokenize(ltlm_engine *engine, const int32_t *ids, size_t count, char **out,
                               ltlm_error *err);

void ltlm_string_free(char *text);

/* ---- turn options ------------------------------------------------------------------------------ */

typedef struct {
    bool set;          /* false: the model's own sampler; the rest is ignored */
    int32_t top_k;     /* >= 1; 1 is greedy */
    float top_p;       /* 0..1 */
    float temperature; /* >= 0 */
    int32_t seed;
} ltlm_sampler;

/* Options of one turn. A zeroed value asks for nothing. */
typedef struct {
    int32_t max_output_tokens;   /* 0: until the model stops or the context is full */
    int32_t visual_token_budget; /* per image; 0: the model's */
    int32_t constraint_type;     /* 0 none, 1 regular expression, 2 JSON schema */
    const char *constraint;      /* copied; required unless constraint_type is 0 */
    float repetition_penalty;    /* 0: none */
    float presence_penalty;
    float frequency_penalty;
    int32_t no_repeat_ngram;     /* 0: none */
    const int32_t *suppressed;   /* token ids, copied; shape: [suppressed_count] */
    size_t suppressed_count;
    int32_t thinking;            /* -1 off, 0 as the conversation, 1 on */
    int32_t thinking_budget;     /* tokens; 0: no limit */
} ltlm_turn_options;

/* ---- conversation ------------------------------------------------------------------------------ */

typedef struct ltlm_conversation ltlm_conversation;
typedef struct ltlm_stream ltlm_stream;

/* All strings are copied; NULL means "not set". */
typedef struct {
    const char *system_json;        /* the system message's content as JSON, never bare text */
    const char *messages_json;      /* JSON array of earlier messages */
    const char *tools_json;         /* JSON array of tool declarations */
    const char *extra_context_json; /* JSON object for the chat template */
    const char *chat_template;      /* replaces the model's */
    ltlm_sampler sampler;
    int32_t max_output_tokens;      /* default of every turn; 0: none */
    bool constrained;               /* allow ltlm_turn_options.constraint_type */
    int32_t thinking;               /* -1 off, 0 the model's default, 1 on */
    int32_t thinking_budget;        /* tokens; 0: no limit */
    bool keep_thinking;             /* keep thinking in the KV cache after its turn */
} ltlm_conversation_options;

/* *out: caller frees with ltlm_conversation_delete. Waits for the engine. Any thread. */
int32_t ltlm_conversation_create(ltlm_engine *engine, const ltlm_conversation_options *options,
                                 ltlm_conversation **out, ltlm_error *err);

/* A copy-on-write copy, free until the two diverge. LTLM_E_BUSY during a turn. *out: caller frees with
 * ltlm_conversation_delete, before or after the original. Waits for the engine. Owner thread. */
int32_t ltlm_conversation_clone(ltlm_conversation *conversation, ltlm_conversation **out, ltlm_error *err);

/* LTLM_E_BUSY while its stream is alive. Waits for the engine. Owner thread. */
int32_t ltlm_conversation_delete(ltlm_conversation *conversation, ltlm_error *err);
int32_t ltlm_conversation_dispose(ltlm_conversation **conversation, ltlm_error *err);

/* Tokens in the KV cache. Waits for the engine. Owner thread. */
int32_t ltlm_conversation_token_count(ltlm_conversation *conversation, int32_t *out, ltlm_error *err);

/* The text that sending `message_json` (copied) would prefill. *out: caller frees with ltlm_string_free.
 * Owner thread; does not wait for the engine. */
int32_t ltlm_conversation_render(ltlm_conversation *conversation, const char *message_json, char **out,
                                 ltlm_error *err);

/* The text of system message, tools and earlier messages. As ltlm_conversation_render. */
int32_t ltlm_conversation_render_preface(ltlm_conversation *conversation, char **out, ltlm_error *err);

/* What the engine has counted and timed so far; zeros before the first turn. A turn may take several prefills:
 * when the template renders an earlier reply otherwise than it was generated, that is prefilled again first. And
 * it may take no decode, when it ends before its first token. So the tokens of one turn are the difference of
 * two such counts. Needs ltlm_engine_options.benchmark. */
typedef struct {
    int32_t prefills; /* finished ones */
    int32_t decodes;
    int32_t prefill_tokens; /* of all prefills */
    int32_t decode_tokens;
    int32_t latest_prefill_tokens;
    double prefill_tokens_per_second; /* of the latest */
    double decode_tokens_per_second;
} ltlm_turn_counts;

/* Waits for the engine. Owner thread. */
int32_t ltlm_conversation_turn_counts(ltlm_conversation *conversation, ltlm_turn_counts *out,
                                      ltlm_error *err);

/* Starts a turn: one message (or a JSON array of them) in, a stream out. All arguments are copied; options
 * may be NULL. One turn per conversation at a time, else LTLM_E_BUSY. On failure no stream exists and
 * nothing is ever delivered. *out: caller frees with ltlm_stream_delete. May wait for the engine. Owner
 * thread. */
int32_t ltlm_conversation_send(ltlm_conversation *conversation, const char *message_json,
                               const char *extra_context_json, const ltlm_turn_options *options,
                               size_t stream_capacity, ltlm_stream **out, ltlm_error *err);

/* ---- stream ------------------------------------------------------------------------------------
 * The engine's thread fills it, one consumer thread at a time drains it. It holds at most `capacity` bytes
 * of undelivered text (0: 4 MiB; one larger chunk is admitted alone); when it is full the engine's thread
 * waits, until the consumer takes or cancels. Whatever happens, exactly one batch has `ended` set, and it
 * is the last. */

/* What one take delivers. `data` holds `count` chunks, each followed by a NUL byte, `size` bytes in all. */
typedef struct {
    const char *data; /* borrowed until the next take or delete on this stream */
    size_t size;
    int32_t count;
    bool ended;       /* the terminal item: how the turn ended is in `end` */
    ltlm_error end;   /* LTLM_OK, LTLM_E_CANCELLED, LTLM_E_ENGINE or LTLM_E_NO_MEMORY; valid when ended */
    int64_t started_ns;     /* monotonic clock: when the turn was submitted */
    int64_t first_chunk_ns; /* when its first text arrived, 0 before */
    int64_t ended_ns;       /* when it ended, 0 before */
} ltlm_batch;

/* Waits until there is something to deliver: at least one chunk, the end, or LTLM_E_TIMED_OUT after
 * `timeout_ms` (negative: no limit). Once there is a chunk it lingers up to `linger_ms` more for `want`
 * chunks, so that a fast engine is not woken up for every token. LTLM_E_ENDED after the terminal batch.
 * Consumer thread; call it with the interpreter lock released. */
int32_t ltlm_stream_take(ltlm_stream *stream, int32_t want, int32_t linger_ms, int32_t timeout_ms,
                         ltlm_batch *out);

/* Asks the engine to stop and lets it run free of a full stream. The end still has to be taken. Harmless
 * after the end. Any thread. */
void ltlm_stream_cancel(ltlm_stream *stream);

/* True once the engine has delivered its last callback. Any thread. */
bool ltlm_stream_is_over(ltlm_stream *stream);

/* Cancels until the engine has delivered its last callback (asking again every few milliseconds, as one
 * request can be lost), waits for that, and frees the stream. Any thread, but no other call may be in
 * progress on this stream. */
void ltlm_stream_delete(ltlm_stream *stream);
int32_t ltlm_stream_dispose(ltlm_stream **stream, ltlm_error *err);

/* ---- session -----------------------------------------------------------------------------------
 * Raw text without a chat template, with checkpoints. Used for completion and scoring. */

typedef struct ltlm_session ltlm_session;

typedef struct {
    ltlm_sampler sampler;
    int32_t max_output_tokens; /* 0: none */
} ltlm_session_options;

/* *out: caller frees with ltlm_session_delete. Waits for the engine. Any thread. */
int32_t ltlm_session_create(ltlm_engine *engine, const ltlm_session_options *options, ltlm_session **out,
                            ltlm_error *err);

/* LTLM_E_BUSY while its stream is alive. Waits for the engine. Owner thread. */
int32_t ltlm_session_delete(ltlm_session *session, ltlm_error *err);
int32_t ltlm_session_dispose(ltlm_session **session, ltlm_error *err);

/* Adds `text` (copied) to the KV cache. Waits for the engine. Owner thread. */
int32_t ltlm_session_prefill(ltlm_session *session, const char *text, ltlm_error *err);

/* Decodes from the current state; chunks are plain text here, not JSON. As ltlm_conversation_send. */
int32_t ltlm_session_decode(ltlm_session *session, size_t stream_capacity, ltlm_stream **out,
                            ltlm_error *err);

/* Names the current state (label copied), and goes back to it. Waits for the engine. Owner thread. */
int32_t ltlm_session_checkpoint(ltlm_session *session, const char *label, ltlm_error *err);
int32_t ltlm_session_rewind(ltlm_session *session, const char *label, ltlm_error *err);

/* Natural-log probability of `target` (copied) after the current state, in all and per token. The state is
 * unchanged: a checkpoint is taken before and rewound to after. *token_scores: shape [*count], caller frees
 * with ltlm_scores_free. Waits for the engine. Owner thread. */
int32_t ltlm_session_score(ltlm_session *session, const char *target, float *total, float **token_scores,
                           size_t *count, ltlm_error *err);

void ltlm_scores_free(float *scores);

/* As ltlm_conversation_turn_counts. */
int32_t ltlm_session_turn_counts(ltlm_session *session, ltlm_turn_counts *out, ltlm_error *err);

/* cdef-end */

#endif /* LTLM_H */
