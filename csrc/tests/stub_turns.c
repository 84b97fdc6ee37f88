/* stub_turns.c - the second half of the stub engine: conversations, sessions and their turns. */
#include "stub_shared.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct LiteRtLmStreamChunk {
    const char *text, *error;
    bool final;
};

const char *litert_lm_stream_chunk_get_text(const LiteRtLmStreamChunk *chunk) { return chunk->text; }
const char *litert_lm_stream_chunk_get_error(const LiteRtLmStreamChunk *chunk) { return chunk->error; }
bool litert_lm_stream_chunk_is_final(const LiteRtLmStreamChunk *chunk) { return chunk->final; }

struct LiteRtLmSession { turn turn; };

/* ---- a turn ---- */

static void deliver(turn *turn, const char *text, const char *error, bool final)
{
    /* On the heap, so that a callback which keeps the chunk or its text is found by ASan. */
    LiteRtLmStreamChunk *chunk = malloc(sizeof *chunk);
    char *copy = text ? strdup(text) : NULL;
    *chunk = (LiteRtLmStreamChunk){copy, error, final};
    turn->callback(turn->user, chunk);
    free(copy);
    free(chunk);
    stub_lock(&stub);
    stub.delivered++;
    stub_unlock(&stub);
}

/* With the mutex held. */
static bool is_cancelled(const turn *turn)
{
    return turn->cancelled && !stub.prefilling && !stub.ignores_cancel;
}

/* Waits where the script says so. True: go on, false: the turn has been cancelled. */
static bool pass(turn *turn, int position)
{
    stub_lock(&stub);
    while (position == stub.hold_before && !stub.released && !is_cancelled(turn)) {
        pthread_cond_wait(&stub.changed, &stub.mutex);
    }
    while (position == stub.chunks && stub.ends_on_cancel && !is_cancelled(turn)) {
        pthread_cond_wait(&stub.changed, &stub.mutex);
    }
    bool go_on = !is_cancelled(turn);
    stub_unlock(&stub);
    return go_on;
}

static void deliver_second_final(turn *turn)
{
    stub_lock(&stub);
    while (stub.hold_second_final && !stub.released) {
        pthread_cond_wait(&stub.changed, &stub.mutex);
    }
    stub_unlock(&stub);
    deliver(turn, NULL, *stub.second_final ? stub.second_final : NULL, true);
}

static void *run_turn(void *argument)
{
    turn *turn = argument;
    bool go_on = pass(turn, 0);
    for (int i = 0; go_on && i < stub.chunks; i++) {
        deliver(turn, stub.text, NULL, false);
        go_on = pass(turn, i + 1);
    }
    deliver(turn, NULL, go_on ? stub.final_error : turn->cancel_words, true);
    if (stub.text_after_final) {
        deliver(turn, stub.text, NULL, false);
    }
    if (stub.second_final) {
        deliver_second_final(turn);
    }
    return NULL;
}

static void join_turn(turn *turn)
{
    if (turn->running) {
        pthread_join(turn->thread, NULL);
        turn->running = false;
    }
}

static int start_turn(turn *turn, const char *name, LiteRtLmStreamCallback callback, void *user)
{
    join_turn(turn);
    if (called(name, "%s", "")) {
        return -1;
    }
    turn->callback = callback;
    turn->user = user;
    turn->cancelled = false;
    if (stub.calls_from_send) {
        run_turn(turn);
    } else if (stub.send_code == 0 || stub.refused_turn_runs) {
        turn->running = pthread_create(&turn->thread, NULL, run_turn, turn) == 0;
    }
    return stub.send_code;
}

static void cancel_turn(turn *turn)
{
    stub_lock(&stub);
    stub.cancels++;
    if (stub.cancels_lost > 0) {
        stub.cancels_lost--;
    } else {
        turn->cancelled = true;
    }
    stub_unlock(&stub);
}

/* ---- conversation ---- */

LiteRtLmConversation *litert_lm_conversation_create(LiteRtLmEngine *engine, LiteRtLmConversationConfig *config)
{
    (void)engine;
    (void)config;
    LiteRtLmConversation *conversation = object_create("conversation_create", sizeof *conversation);
    if (conversation) {
        conversation->turn.cancel_words = "CANCELLED: Task cancelled";
    }
    return conversation;
}

void litert_lm_conversation_delete(LiteRtLmConversation *conversation)
{
    join_turn(&conversation->turn);
    object_delete(conversation);
}

void litert_lm_conversation_cancel_process(LiteRtLmConversation *conversation) { cancel_turn(&conversation->turn); }

int litert_lm_conversation_get_token_count(LiteRtLmConversation *conversation)
{
    join_turn(&conversation->turn);
    return called("conversation_get_token_count", "%s", "") ? -1 : 42;
}

const char *litert_lm_conversation_render_message_to_string(LiteRtLmConversation *conversation, const char *json)
{
    static char lent[256]; /* as the engine's: overwritten by the next call */
    (void)conversation;
    snprintf(lent, sizeof lent, "<%s>", json);
    return called("conversation_render_message_to_string", "%s", "") ? NULL : lent;
}

const char *litert_lm_conversation_render_preface_to_string(LiteRtLmConversation *conversation)
{
    (void)conversation;
    return called("conversation_render_preface_to_string", "%s", "") ? NULL : "<preface>";
}

int litert_lm_conversation_send_message_stream(LiteRtLmConversation *conversation, const char *json,
                                               const char *extra_context_json,
                                               LiteRtLmConversationOptionalArgs *arguments,
                                               LiteRtLmStreamCallback callback, void *user)
{
    called("send", "%s,%s,%d", json, or_null(extra_context_json), arguments != NULL);
    return start_turn(&conversation->turn, "conversation_send_message_stream", callback, user);
}

/* ---- session ---- */

struct LiteRtLmInputData { int unused; };

LiteRtLmInputData *litert_lm_input_data_create(int type, const void *data, size_t size)
{
    called("input", "%d,%.*s", type, (int)size, (const char *)data);
    return object_create("input_data_create", sizeof(LiteRtLmInputData));
}

void litert_lm_input_data_delete(LiteRtLmInputData *input) { object_delete(input); }

LiteRtLmSession *litert_lm_engine_create_session(LiteRtLmEngine *engine, LiteRtLmSessionConfig *config)
{
    (void)engine;
    (void)config;
    LiteRtLmSession *session = object_create("engine_create_session", sizeof *session);
    if (session) {
        session->turn.cancel_words = "CANCELLED.";
    }
    return session;
}

void litert_lm_session_delete(LiteRtLmSession *session)
{
    join_turn(&session->turn);
    object_delete(session);
}

void litert_lm_session_cancel_process(LiteRtLmSession *session) { cancel_turn(&session->turn); }

int litert_lm_session_run_prefill(LiteRtLmSession *session, LiteRtLmInputData **inputs, size_t count)
{
    (void)session;
    (void)inputs;
    stub_lock(&stub);
    while (stub.hold_before == 0 && stub.prefilling && !stub.released) {
        pthread_cond_wait(&stub.changed, &stub.mutex);
    }
    stub_unlock(&stub);
    return called("session_run_prefill", "%d", (int)count) ? -1 : 0;
}

int litert_lm_session_run_decode_async(LiteRtLmSession *session, LiteRtLmStreamCallback callback, void *user)
{
    return start_turn(&session->turn, "session_run_decode_async", callback, user);
}

int litert_lm_session_rewind_to_checkpoint(LiteRtLmSession *session, const char *label)
{
    (void)session;
    return called("session_rewind_to_checkpoint", "%s", label) ? -1 : 0;
}

/* ---- responses and benchmark ---- */

struct LiteRtLmResponses { float scores[64]; };
struct LiteRtLmBenchmarkInfo { int prefills, decodes; };

LiteRtLmResponses *litert_lm_session_run_text_scoring(LiteRtLmSession *session, const char **targets, size_t count,
                                                      bool store_token_lengths)
{
    (void)session;
    called("score", "%s,%d,%d", targets[0], (int)count, store_token_lengths);
    LiteRtLmResponses *responses = object_create("session_run_text_scoring", sizeof *responses);
    for (int i = 0; responses && i < stub.token_scores; i++) {
        responses->scores[i] = -0.5f;
    }
    return responses;
}

void litert_lm_responses_delete(LiteRtLmResponses *responses) { object_delete(responses); }

int litert_lm_responses_get_num_candidates(LiteRtLmResponses *responses)
{
    (void)responses;
    return called("responses_get_num_candidates", "%s", "") ? 0 : 1;
}

bool litert_lm_responses_has_score_at(LiteRtLmResponses *responses, int index) { return responses && index == 0; }

float litert_lm_responses_get_score_at(LiteRtLmResponses *responses, int index)
{
    (void)index;
    return responses->scores[0] * (float)stub.token_scores;
}

bool litert_lm_responses_has_token_scores_at(LiteRtLmResponses *responses, int index)
{
    return responses && index == 0 && stub.token_scores > 0;
}

int litert_lm_responses_get_num_token_scores_at(LiteRtLmResponses *responses, int index)
{
    (void)responses;
    return index == 0 ? stub.token_scores : 0;
}

const float *litert_lm_responses_get_token_scores_at(LiteRtLmResponses *responses, int index)
{
    return index == 0 ? responses->scores : NULL;
}

static LiteRtLmBenchmarkInfo *benchmark_info(const char *name)
{
    LiteRtLmBenchmarkInfo *info = object_create(name, sizeof *info);
    if (info) {
        *info = (LiteRtLmBenchmarkInfo){stub.prefill_turns, stub.decode_turns};
    }
    return info;
}

LiteRtLmBenchmarkInfo *litert_lm_conversation_get_benchmark_info(LiteRtLmConversation *conversation)
{
    (void)conversation;
    return benchmark_info("conversation_get_benchmark_info");
}

LiteRtLmBenchmarkInfo *litert_lm_session_get_benchmark_info(LiteRtLmSession *session)
{
    (void)session;
    return benchmark_info("session_get_benchmark_info");
}

void litert_lm_benchmark_info_delete(LiteRtLmBenchmarkInfo *info) { object_delete(info); }
int litert_lm_benchmark_info_get_num_prefill_turns(LiteRtLmBenchmarkInfo *info) { return info->prefills; }
int litert_lm_benchmark_info_get_num_decode_turns(LiteRtLmBenchmarkInfo *info) { return info->decodes; }

/* An index outside the list is the caller's mistake: the real engine reads past its end. */
static int at(int index, int count, int base)
{
    if (index < 0 || index >= count) {
        abort();
    }
    return base + index;
}

int litert_lm_benchmark_info_get_prefill_token_count_at(LiteRtLmBenchmarkInfo *info, int index)
{
    return at(index, info->prefills, 10);
}

int litert_lm_benchmark_info_get_decode_token_count_at(LiteRtLmBenchmarkInfo *info, int index)
{
    return at(index, info->decodes, 20);
}

double litert_lm_benchmark_info_get_prefill_tokens_per_sec_at(LiteRtLmBenchmarkInfo *info, int index)
{
    return at(index, info->prefills, 100);
}

double litert_lm_benchmark_info_get_decode_tokens_per_sec_at(LiteRtLmBenchmarkInfo *info, int index)
{
    return at(index, info->decodes, 200);
}
