/* session.c - raw text in, raw text out, with checkpoints. */
#include "../alloc.h"
#include "internal.h"

int32_t ltlm_session_create(ltlm_engine *engine, const ltlm_session_options *options, ltlm_session **out,
                            ltlm_error *err)
{
    static const ltlm_session_options defaults = {0};
    const ltlm__engine_api *api = &engine->library->api;
    LiteRtLmSessionConfig *config;
    options = options ? options : &defaults;
    *out = NULL;
    int32_t status = ltlm__session_config(api, &options->sampler, options->max_output_tokens, true, &config, err);
    if (status != LTLM_OK) {
        return status;
    }
    ltlm_session *session = ltlm__calloc(1, sizeof *session);
    if (!session) {
        api->session_config_delete(config);
        return ltlm__fail_no_memory(err);
    }
    api->clear_last_error();
    session->lane.session = api->engine_create_session(engine->handle, config);
    status = session->lane.session ? ltlm__succeed(err) : ltlm__engine_failed(api, err);
    api->session_config_delete(config);
    if (status != LTLM_OK) {
        ltlm__free(session);
        return status;
    }
    session->engine = engine;
    session->lane.api = api;
    ltlm__atomic_add(&engine->children, 1);
    *out = session;
    return status;
}

int32_t ltlm_session_delete(ltlm_session *session, ltlm_error *err)
{
    if (!session) {
        return ltlm__succeed(err);
    }
    int32_t status = ltlm__lane_claim(&session->lane, err); /* never released: it is going */
    if (status != LTLM_OK) {
        return status;
    }
    session->lane.api->session_delete(session->lane.session);
    ltlm__stream_free_husks(session->lane.husks); /* after: until then the engine may call back */
    ltlm__atomic_add(&session->engine->children, -1);
    ltlm__free(session);
    return ltlm__succeed(err);
}

int32_t ltlm_session_dispose(ltlm_session **session, ltlm_error *err)
{
    const int32_t status = ltlm_session_delete(*session, err);
    if (status == LTLM_OK) {
        *session = NULL;
    }
    return status;
}

static int32_t prefill(const ltlm__lane *lane, const char *text, ltlm_error *err)
{
    const ltlm__engine_api *api = lane->api;
    api->clear_last_error();
    LiteRtLmInputData *input = api->input_data_create(LITERT_LM_INPUT_TEXT, text, strlen(text));
    if (!input) {
        return ltlm__engine_failed(api, err);
    }
    int code = api->session_run_prefill(lane->session, &input, 1);
    int32_t status = code == 0 ? ltlm__succeed(err) : ltlm__engine_failed(api, err);
    api->input_data_delete(input);
    return status;
}

int32_t ltlm_session_prefill(ltlm_session *session, const char *text, ltlm_error *err)
{
    if (!text) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "text is NULL");
    }
    int32_t status = ltlm__lane_claim(&session->lane, err);
    if (status == LTLM_OK) {
        status = prefill(&session->lane, text, err);
        ltlm__lane_release(&session->lane);
    }
    return status;
}

int32_t ltlm_session_decode(ltlm_session *session, size_t stream_capacity, ltlm_stream **out,
                            ltlm_error *err)
{
    ltlm__lane *lane = &session->lane;
    *out = NULL;
    int32_t status = ltlm__lane_claim(lane, err);
    if (status != LTLM_OK) {
        return status;
    }
    ltlm_stream *stream = ltlm__lane_stream(lane, stream_capacity);
    if (!stream) {
        ltlm__lane_release(lane);
        return ltlm__fail_no_memory(err);
    }
    lane->api->clear_last_error();
    int code = lane->api->session_run_decode_async(lane->session, ltlm__on_chunk, stream);
    return ltlm__lane_submitted(lane, stream, code, out, err);
}

/* ---- checkpoints ------------------------------------------------------------------------------- */

static int32_t save_checkpoint(const ltlm__lane *lane, const char *label, ltlm_error *err)
{
    lane->api->clear_last_error();
    int code = lane->api->session_save_checkpoint(lane->session, label);
    return code == 0 ? ltlm__succeed(err) : ltlm__engine_failed(lane->api, err);
}

static int32_t rewind_to(const ltlm__lane *lane, const char *label, ltlm_error *err)
{
    lane->api->clear_last_error();
    int code = lane->api->session_rewind_to_checkpoint(lane->session, label);
    return code == 0 ? ltlm__succeed(err) : ltlm__engine_failed(lane->api, err);
}

typedef int32_t (*checkpoint_action)(const ltlm__lane *lane, const char *label, ltlm_error *err);

static int32_t at_checkpoint(ltlm_session *session, const char *label, checkpoint_action action, ltlm_error *err)
{
    int32_t status = ltlm__require(session->engine->library, LTLM_CAN_CHECKPOINT, "keep checkpoints", err);
    if (status == LTLM_OK && !label) {
        status = ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "label is NULL");
    }
    status = status ? status : ltlm__lane_claim(&session->lane, err);
    if (status == LTLM_OK) {
        status = action(&session->lane, label, err);
        ltlm__lane_release(&session->lane);
    }
    return status;
}

int32_t ltlm_session_checkpoint(ltlm_session *session, const char *label, ltlm_error *err)
{
    return at_checkpoint(session, label, save_checkpoint, err);
}

int32_t ltlm_session_rewind(ltlm_session *session, const char *label, ltlm_error *err)
{
    return at_checkpoint(session, label, rewind_to, err);
}

/* ---- scores ------------------------------------------------------------------------------------ */

typedef struct {
    float total;
    float *token_scores; /* caller frees with ltlm_scores_free */
    size_t count;
} score;

static int32_t read_score(const ltlm__engine_api *api, LiteRtLmResponses *responses, score *out, ltlm_error *err)
{
    if (api->responses_get_num_candidates(responses) < 1 || !api->responses_has_score_at(responses, 0)) {
        return ltlm__fail(err, LTLM_E_ENGINE, "the engine returned no score");
    }
    bool per_token = api->responses_has_token_scores_at(responses, 0);
    int count = per_token ? api->responses_get_num_token_scores_at(responses, 0) : 0;
    const float *token_scores = per_token ? api->responses_get_token_scores_at(responses, 0) : NULL;
    if (count > 0 && token_scores) {
        out->token_scores = ltlm__calloc((size_t)count, sizeof *out->token_scores);
        if (!out->token_scores) {
            return ltlm__fail_no_memory(err);
        }
        memcpy(out->token_scores, token_scores, (size_t)count * sizeof *token_scores);
        out->count = (size_t)count;
    }
    out->total = api->responses_get_score_at(responses, 0);
    return ltlm__succeed(err);
}

static int32_t score_text(const ltlm__lane *lane, const char *target, score *out, ltlm_error *err)
{
    const ltlm__engine_api *api = lane->api;
    api->clear_last_error();
    LiteRtLmResponses *responses = api->session_run_text_scoring(lane->session, &target, 1, true);
    if (!responses) {
        return ltlm__engine_failed(api, err);
    }
    int32_t status = read_score(api, responses, out, err);
    api->responses_delete(responses);
    return status;
}

/* Scoring leaves the session unable to decode, so it runs between a checkpoint and a rewind. */
static int32_t score_and_return(const ltlm__lane *lane, const char *target, score *out, ltlm_error *err)
{
    static const char label[] = "ltlm: before scoring";
    int32_t status = save_checkpoint(lane, label, err);
    if (status != LTLM_OK) {
        return status;
    }
    status = score_text(lane, target, out, err);
    ltlm_error rewind_err;
    int32_t rewound = rewind_to(lane, label, &rewind_err);
    if (status == LTLM_OK && rewound != LTLM_OK) {
        status = ltlm__fail_engine(err, rewound, rewind_err.engine_code, rewind_err.reason);
    }
    return status;
}

int32_t ltlm_session_score(ltlm_session *session, const char *target, float *total, float **token_scores,
                           size_t *count, ltlm_error *err)
{
    score result = {0};
    *total = 0;
    *token_scores = NULL;
    *count = 0;
    int32_t status = ltlm__require(session->engine->library, LTLM_CAN_SCORE, "score text", err);
    if (status == LTLM_OK && !target) {
        status = ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "target is NULL");
    }
    status = status ? status : ltlm__lane_claim(&session->lane, err);
    if (status != LTLM_OK) {
        return status;
    }
    status = score_and_return(&session->lane, target, &result, err);
    ltlm__lane_release(&session->lane);
    if (status != LTLM_OK) {
        ltlm__free(result.token_scores);
        return status;
    }
    *total = result.total;
    *token_scores = result.token_scores;
    *count = result.count;
    return status;
}

void ltlm_scores_free(float *scores) { ltlm__free(scores); }

int32_t ltlm_session_turn_counts(ltlm_session *session, ltlm_turn_counts *out, ltlm_error *err)
{
    const ltlm__engine_api *api = session->lane.api;
    *out = (ltlm_turn_counts){0};
    int32_t status = ltlm__require(session->engine->library, LTLM_CAN_BENCHMARK, "count tokens and time", err);
    if (status != LTLM_OK) {
        return status;
    }
    api->clear_last_error();
    return ltlm__read_turn_counts(api, api->session_get_benchmark_info(session->lane.session), out, err);
}
