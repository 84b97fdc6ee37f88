/* conversation.c - a chat: its template, its KV cache, its turns. */
#include "../alloc.h"
#include "internal.h"

/* Wraps `handle` (taken: deleted when memory is out) and counts it as the engine's child. */
static int32_t wrap(ltlm_engine *engine, LiteRtLmConversation *handle, ltlm_conversation **out, ltlm_error *err)
{
    const ltlm__engine_api *api = &engine->library->api;
    if (!handle) {
        return ltlm__engine_failed(api, err);
    }
    ltlm_conversation *conversation = ltlm__calloc(1, sizeof *conversation);
    if (!conversation) {
        api->conversation_delete(handle);
        return ltlm__fail_no_memory(err);
    }
    conversation->engine = engine;
    conversation->lane.api = api;
    conversation->lane.conversation = handle;
    ltlm__atomic_add(&engine->children, 1);
    *out = conversation;
    return ltlm__succeed(err);
}

int32_t ltlm_conversation_create(ltlm_engine *engine, const ltlm_conversation_options *options,
                                 ltlm_conversation **out, ltlm_error *err)
{
    static const ltlm_conversation_options defaults = {0};
    const ltlm__engine_api *api = &engine->library->api;
    LiteRtLmConversationConfig *config;
    options = options ? options : &defaults;
    *out = NULL;
    int32_t status = ltlm__conversation_config(engine->library, options, &config, err);
    if (status != LTLM_OK) {
        return status;
    }
    api->clear_last_error();
    status = wrap(engine, api->conversation_create(engine->handle, config), out, err);
    api->conversation_config_delete(config);
    if (status == LTLM_OK) {
        (*out)->constrained = options->constrained;
        (*out)->thinking = options->thinking;
    }
    return status;
}

int32_t ltlm_conversation_clone(ltlm_conversation *conversation, ltlm_conversation **out, ltlm_error *err)
{
    ltlm__lane *lane = &conversation->lane;
    *out = NULL;
    int32_t status = ltlm__require(conversation->engine->library, LTLM_CAN_CLONE, "clone a conversation", err);
    status = status ? status : ltlm__lane_claim(lane, err);
    if (status != LTLM_OK) {
        return status;
    }
    lane->api->clear_last_error();
    status = wrap(conversation->engine, lane->api->conversation_clone(lane->conversation), out, err);
    if (status == LTLM_OK) {
        (*out)->constrained = conversation->constrained;
        (*out)->thinking = conversation->thinking;
    }
    ltlm__lane_release(lane);
    return status;
}

int32_t ltlm_conversation_delete(ltlm_conversation *conversation, ltlm_error *err)
{
    if (!conversation) {
        return ltlm__succeed(err);
    }
    int32_t status = ltlm__lane_claim(&conversation->lane, err); /* never released: it is going */
    if (status != LTLM_OK) {
        return status;
    }
    conversation->lane.api->conversation_delete(conversation->lane.conversation);
    ltlm__stream_free_husks(conversation->lane.husks); /* after: until then the engine may call back */
    ltlm__atomic_add(&conversation->engine->children, -1);
    ltlm__free(conversation);
    return ltlm__succeed(err);
}

int32_t ltlm_conversation_dispose(ltlm_conversation **conversation, ltlm_error *err)
{
    const int32_t status = ltlm_conversation_delete(*conversation, err);
    if (status == LTLM_OK) {
        *conversation = NULL;
    }
    return status;
}

int32_t ltlm_conversation_token_count(ltlm_conversation *conversation, int32_t *out, ltlm_error *err)
{
    const ltlm__engine_api *api = conversation->lane.api;
    *out = 0;
    api->clear_last_error();
    int count = api->conversation_get_token_count(conversation->lane.conversation);
    if (count < 0) {
        return ltlm__engine_failed(api, err);
    }
    *out = count;
    return ltlm__succeed(err);
}

/* Copies `lent`, which the engine's next call on the conversation would overwrite; NULL: the engine's failure. */
static int32_t copy_lent(const ltlm__engine_api *api, const char *lent, char **out, ltlm_error *err)
{
    if (!lent) {
        return ltlm__engine_failed(api, err);
    }
    *out = ltlm__strdup(lent);
    return *out ? ltlm__succeed(err) : ltlm__fail_no_memory(err);
}

int32_t ltlm_conversation_render(ltlm_conversation *conversation, const char *message_json, char **out,
                                 ltlm_error *err)
{
    const ltlm__engine_api *api = conversation->lane.api;
    *out = NULL;
    if (!message_json) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "message_json is NULL");
    }
    api->clear_last_error();
    return copy_lent(api,
                     api->conversation_render_message_to_string(conversation->lane.conversation, message_json),
                     out, err);
}

int32_t ltlm_conversation_render_preface(ltlm_conversation *conversation, char **out, ltlm_error *err)
{
    const ltlm__engine_api *api = conversation->lane.api;
    *out = NULL;
    api->clear_last_error();
    return copy_lent(api, api->conversation_render_preface_to_string(conversation->lane.conversation), out, err);
}

int32_t ltlm_conversation_turn_counts(ltlm_conversation *conversation, ltlm_turn_counts *out,
                                      ltlm_error *err)
{
    const ltlm__engine_api *api = conversation->lane.api;
    *out = (ltlm_turn_counts){0};
    int32_t status =
        ltlm__require(conversation->engine->library, LTLM_CAN_BENCHMARK, "count tokens and time", err);
    if (status != LTLM_OK) {
        return status;
    }
    api->clear_last_error();
    return ltlm__read_turn_counts(api, api->conversation_get_benchmark_info(conversation->lane.conversation), out,
                                  err);
}

/* On a claimed lane, which the stream releases; on failure without a stream the caller does. */
static int32_t submit(ltlm_conversation *conversation, const char *message_json, const char *extra_context_json,
                      LiteRtLmConversationOptionalArgs *arguments, size_t stream_capacity, ltlm_stream **out,
                      ltlm_error *err)
{
    ltlm__lane *lane = &conversation->lane;
    ltlm_stream *stream = ltlm__lane_stream(lane, stream_capacity);
    if (!stream) {
        ltlm__lane_release(lane);
        return ltlm__fail_no_memory(err);
    }
    lane->api->clear_last_error();
    int code = lane->api->conversation_send_message_stream(lane->conversation, message_json, extra_context_json,
                                                           arguments, ltlm__on_chunk, stream);
    return ltlm__lane_submitted(lane, stream, code, out, err);
}

int32_t ltlm_conversation_send(ltlm_conversation *conversation, const char *message_json,
                               const char *extra_context_json, const ltlm_turn_options *options,
                               size_t stream_capacity, ltlm_stream **out, ltlm_error *err)
{
    LiteRtLmConversationOptionalArgs *arguments;
    *out = NULL;
    if (!message_json) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "message_json is NULL");
    }
    int32_t status = ltlm__lane_claim(&conversation->lane, err);
    if (status != LTLM_OK) {
        return status;
    }
    status = ltlm__turn_arguments(conversation, options, &arguments, err);
    if (status != LTLM_OK) {
        ltlm__lane_release(&conversation->lane);
        return status;
    }
    status = submit(conversation, message_json, extra_context_json, arguments, stream_capacity, out, err);
    conversation->lane.api->conversation_optional_args_delete(arguments);
    return status;
}
