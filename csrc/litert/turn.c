/* turn.c - the lane that a conversation or session runs its turns in, and the engine's callback. */
#include "internal.h"

int32_t ltlm__lane_claim(ltlm__lane *lane, ltlm_error *err)
{
    if (ltlm__atomic_claim(&lane->claimed)) {
        return LTLM_OK;
    }
    return ltlm__fail(err, LTLM_E_BUSY, "a turn is running, or its stream has not been deleted yet");
}

void ltlm__lane_release(ltlm__lane *lane) { ltlm__atomic_release(&lane->claimed); }

static void cancel(void *producer)
{
    ltlm__lane *lane = producer;
    if (lane->conversation) {
        lane->api->conversation_cancel_process(lane->conversation);
    } else {
        lane->api->session_cancel_process(lane->session);
    }
}

static void retire(void *producer, ltlm_stream *husk)
{
    ltlm__lane *lane = producer;
    ltlm__stream_link(husk, &lane->husks);
    ltlm__lane_release(lane); /* last: the list is guarded by the claim */
}

ltlm_stream *ltlm__lane_stream(ltlm__lane *lane, size_t capacity)
{
    ltlm__stream_source source = {.producer = lane, .cancel = cancel, .retire = retire};
    return ltlm__stream_create(capacity, &source);
}

int32_t ltlm__lane_submitted(ltlm__lane *lane, ltlm_stream *stream, int code, ltlm_stream **out,
                             ltlm_error *err)
{
    if (code == 0) {
        ltlm__stream_submitted(stream);
        *out = stream;
        return ltlm__succeed(err);
    }
    int32_t status = ltlm__engine_failed(lane->api, err);
    if (err && err->engine_code == 0 && code > 0) {
        err->engine_code = code; /* the return value is a code too, when it is not -1 */
    }
    ltlm__stream_abandon(stream);
    return status;
}

void ltlm__on_chunk(void *stream, const LiteRtLmStreamChunk *chunk)
{
    const ltlm__lane *lane = ltlm__stream_producer(stream);
    const char *error = lane->api->stream_chunk_get_error(chunk);
    if (!error) {
        ltlm__stream_push(stream, lane->api->stream_chunk_get_text(chunk));
    }
    if (error || lane->api->stream_chunk_is_final(chunk)) {
        ltlm__stream_finish(stream, error);
    }
}

int32_t ltlm__read_turn_counts(const ltlm__engine_api *api, LiteRtLmBenchmarkInfo *info, ltlm_turn_counts *out,
                               ltlm_error *err)
{
    if (!info) {
        return ltlm__engine_failed(api, err);
    }
    int prefills = api->benchmark_info_get_num_prefill_turns(info);
    int decodes = api->benchmark_info_get_num_decode_turns(info);
    out->prefills = prefills;
    out->decodes = decodes;
    for (int i = 0; i < prefills; i++) {
        out->latest_prefill_tokens = api->benchmark_info_get_prefill_token_count_at(info, i);
        out->prefill_tokens += out->latest_prefill_tokens;
    }
    for (int i = 0; i < decodes; i++) {
        out->decode_tokens += api->benchmark_info_get_decode_token_count_at(info, i);
    }
    if (prefills > 0) {
        out->prefill_tokens_per_second = api->benchmark_info_get_prefill_tokens_per_sec_at(info, prefills - 1);
    }
    if (decodes > 0) {
        out->decode_tokens_per_second = api->benchmark_info_get_decode_tokens_per_sec_at(info, decodes - 1);
    }
    api->benchmark_info_delete(info);
    return ltlm__succeed(err);
}
