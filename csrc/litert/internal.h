/* internal.h - the handles of litert/ and what its files share. */
#ifndef LTLM_LITERT_INTERNAL_H
#define LTLM_LITERT_INTERNAL_H

#include "../platform.h"
#include "../status.h"
#include "../stream.h"
#include "engine_api.h"

struct ltlm_library {
    ltlm__engine_api api;  /* read-only */
    uint64_t capabilities; /* read-only */
    ltlm__atomic engines;  /* children alive */
};

struct ltlm_engine {
    ltlm_library *library; /* outlives the engine */
    LiteRtLmEngine *handle;
    ltlm__atomic children; /* conversations and sessions alive */
};

/* What a conversation and a session have in common: the place in which one turn at a time runs.
 *
 * A lane is claimed by the call or the stream that uses it. The claim also guards `husks`. */
typedef struct {
    const ltlm__engine_api *api;
    LiteRtLmConversation *conversation; /* this one or the next, not both */
    LiteRtLmSession *session;
    ltlm__atomic claimed;
    ltlm_stream *husks; /* of past turns; freed once the engine's object is gone and cannot call back */
} ltlm__lane;

struct ltlm_conversation {
    ltlm_engine *engine; /* outlives the conversation */
    ltlm__lane lane;
    bool constrained; /* else the engine would ignore a constraint without a word */
    int32_t thinking; /* as created: -1, 0, 1 */
};

struct ltlm_session {
    ltlm_engine *engine; /* outlives the session */
    ltlm__lane lane;
};

/* ---- loader.c ---- */

/* LTLM_E_UNSUPPORTED, naming `what`, unless the library has `capability`. Any thread. */
int32_t ltlm__require(const ltlm_library *library, uint64_t capability, const char *what, ltlm_error *err);

/* LTLM_E_ENGINE with the engine's latest error in this thread. Call it right after the call that failed, in
 * the same thread; before that call, api->clear_last_error(), as a success does not clear an old one. */
int32_t ltlm__engine_failed(const ltlm__engine_api *api, ltlm_error *err);

/* ---- turn.c ---- */

/* LTLM_E_BUSY, with nothing changed, when the lane is claimed. Owner thread. */
int32_t ltlm__lane_claim(ltlm__lane *lane, ltlm_error *err);
void ltlm__lane_release(ltlm__lane *lane);

/* A stream for a turn on a claimed lane, NULL when memory is out. Deleting or abandoning it releases the
 * lane. Owner thread. */
ltlm_stream *ltlm__lane_stream(ltlm__lane *lane, size_t capacity);

/* The outcome of a submit that returned `code`: hands the stream out, or takes it down again. Owner thread. */
int32_t ltlm__lane_submitted(ltlm__lane *lane, ltlm_stream *stream, int code, ltlm_stream **out,
                             ltlm_error *err);

/* The engine's callback; `stream` is an ltlm_stream. Engine thread: copies, pushes, signals, no more. */
void ltlm__on_chunk(void *stream, const LiteRtLmStreamChunk *chunk);

/* What a benchmark info says about its latest turn; deletes it. `info` NULL: the engine's failure. */
int32_t ltlm__read_turn_counts(const ltlm__engine_api *api, LiteRtLmBenchmarkInfo *info, ltlm_turn_counts *out,
                               ltlm_error *err);

/* ---- options.c: our option values to the engine's option objects. All any thread. ---- */

/* *out: caller frees with api->session_config_delete; NULL when nothing is set and `raw` is false. `raw`: the
 * prompt template is not applied to what is prefilled. */
int32_t ltlm__session_config(const ltlm__engine_api *api, const ltlm_sampler *sampler,
                             int32_t max_output_tokens, bool raw, LiteRtLmSessionConfig **out,
                             ltlm_error *err);

/* *out: caller frees with api->conversation_config_delete. */
int32_t ltlm__conversation_config(const ltlm_library *library, const ltlm_conversation_options *options,
                                  LiteRtLmConversationConfig **out, ltlm_error *err);

/* *out: caller frees with api->conversation_optional_args_delete; NULL when nothing is asked for. */
int32_t ltlm__turn_arguments(const ltlm_conversation *conversation, const ltlm_turn_options *options,
                             LiteRtLmConversationOptionalArgs **out, ltlm_error *err);

#endif /* LTLM_LITERT_INTERNAL_H */
