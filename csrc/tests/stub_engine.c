/* stub_engine.c - a shared library with the engine's functions, scripted by stub_engine.h. */
#include "stub_shared.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

stub_control stub = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
static _Thread_local int error_code;
static _Thread_local const char *error_message;

stub_control *stub_reset(void)
{
    static const stub_control fresh = {.chunks = 3, .text = "x", .hold_before = -1};
    size_t locks = offsetof(stub_control, chunks);
    pthread_mutex_lock(&stub.mutex);
    memcpy((char *)&stub + locks, (const char *)&fresh + locks, sizeof stub - locks);
    pthread_mutex_unlock(&stub.mutex);
    return &stub;
}

/* ---- for those who script it without this header, from another language ---- */

void stub_hold_prefill(void)
{
    stub_lock(&stub);
    stub.hold_before = 0;
    stub.prefilling = true;
    stub.released = false;
    stub_unlock(&stub);
}

void stub_end_prefill(void)
{
    stub_lock(&stub);
    stub.prefilling = false;
    stub.released = true;
    stub_unlock(&stub);
}

void stub_say(const char *text)
{
    stub_lock(&stub);
    stub.text = text;
    stub_unlock(&stub);
}

int stub_live(void)
{
    stub_lock(&stub);
    int live = stub.live;
    stub_unlock(&stub);
    return live;
}

bool called(const char *name, const char *format, ...)
{
    char values[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(values, sizeof values, format, arguments);
    va_end(arguments);
    stub_lock(&stub);
    size_t used = strlen(stub.log);
    snprintf(stub.log + used, sizeof stub.log - used, "%s(%s);", name, values);
    bool fails = stub.fail && strcmp(stub.fail, name) == 0;
    if (fails && (stub.fail_code != 0 || stub.fail_message)) {
        error_code = stub.fail_code;
        error_message = stub.fail_message;
    }
    stub_unlock(&stub);
    return fails;
}

const char *or_null(const char *text) { return text ? text : "NULL"; }

void *object_create(const char *name, size_t size)
{
    if (called(name, "%s", "")) {
        return NULL;
    }
    stub_lock(&stub);
    stub.live++;
    stub_unlock(&stub);
    return calloc(1, size);
}

void object_delete(void *object)
{
    if (object) {
        stub_lock(&stub);
        stub.live--;
        stub_unlock(&stub);
        free(object);
    }
}

/* ---- errors ---- */

int litert_lm_get_last_error_code(void) { return error_code; }
const char *litert_lm_get_last_error_message(void) { return error_message; }
void litert_lm_set_min_log_level(int level) { called("set_min_log_level", "%d", level); }

void litert_lm_clear_last_error(void)
{
    error_code = 0;
    error_message = NULL;
}

/* ---- option objects ---- */

#define OBJECT(type, name)                                                                                 \
    struct type { int unused; };                                                                           \
    type *litert_lm_##name##_create(void) { return object_create(#name "_create", sizeof(struct type)); }  \
    void litert_lm_##name##_delete(type *object) { object_delete(object); }

#define SETTER(type, name, parameter, format, value)           \
    void litert_lm_##name(type *object, parameter)             \
    {                                                          \
        (void)object;                                          \
        called(#name, format, value);                          \
    }

OBJECT(LiteRtLmSessionConfig, session_config)
OBJECT(LiteRtLmConversationConfig, conversation_config)
OBJECT(LiteRtLmConversationOptionalArgs, conversation_optional_args)
OBJECT(LiteRtLmRepetitionPenaltyConfig, repetition_penalty_config)
OBJECT(LiteRtLmNoRepeatNgramConfig, no_repeat_ngram_config)
OBJECT(LiteRtLmSuppressTokensConfig, suppress_tokens_config)
OBJECT(LiteRtLmThinkingConfig, thinking_config)

struct LiteRtLmSamplerParams { int unused; };

LiteRtLmSamplerParams *litert_lm_sampler_params_create(int type)
{
    called("sampler_type", "%d", type);
    return object_create("sampler_params_create", sizeof(LiteRtLmSamplerParams));
}

void litert_lm_sampler_params_delete(LiteRtLmSamplerParams *sampler) { object_delete(sampler); }

SETTER(LiteRtLmSamplerParams, sampler_params_set_top_k, int32_t value, "%d", value)
SETTER(LiteRtLmSamplerParams, sampler_params_set_top_p, float value, "%g", (double)value)
SETTER(LiteRtLmSamplerParams, sampler_params_set_temperature, float value, "%g", (double)value)
SETTER(LiteRtLmSamplerParams, sampler_params_set_seed, int32_t value, "%d", value)
SETTER(LiteRtLmSessionConfig, session_config_set_apply_prompt_template, bool on, "%d", on)
SETTER(LiteRtLmSessionConfig, session_config_set_max_output_tokens, int n, "%d", n)
SETTER(LiteRtLmSessionConfig, session_config_set_sampler_params, LiteRtLmSamplerParams *s, "%d", s != NULL)
SETTER(LiteRtLmConversationConfig, conversation_config_set_session_config, LiteRtLmSessionConfig *s, "%d", s != NULL)
SETTER(LiteRtLmConversationConfig, conversation_config_set_system_message, const char *json, "%s", json)
SETTER(LiteRtLmConversationConfig, conversation_config_set_messages, const char *json, "%s", json)
SETTER(LiteRtLmConversationConfig, conversation_config_set_tools, const char *json, "%s", json)
SETTER(LiteRtLmConversationConfig, conversation_config_set_extra_context, const char *json, "%s", json)
SETTER(LiteRtLmConversationConfig, conversation_config_set_prompt_template, const char *text, "%s", text)
SETTER(LiteRtLmConversationConfig, conversation_config_set_enable_constrained_decoding, bool on, "%d", on)
SETTER(LiteRtLmConversationConfig, conversation_config_set_constraint_provider, const int *p, "%d", *p)
SETTER(LiteRtLmConversationConfig, conversation_config_set_thinking_config, LiteRtLmThinkingConfig *t, "%d", t != NULL)
SETTER(LiteRtLmConversationConfig, conversation_config_set_filter_channel_content_from_kv_cache, bool on, "%d", on)
SETTER(LiteRtLmThinkingConfig, thinking_config_set_enable_thinking, bool on, "%d", on)
SETTER(LiteRtLmThinkingConfig, thinking_config_set_thinking_token_budget, int n, "%d", n)
SETTER(LiteRtLmConversationOptionalArgs, conversation_optional_args_set_max_output_tokens, int n, "%d", n)
SETTER(LiteRtLmConversationOptionalArgs, conversation_optional_args_set_visual_token_budget, int n, "%d", n)
SETTER(LiteRtLmConversationOptionalArgs, conversation_optional_args_set_repetition_penalty_config,
       LiteRtLmRepetitionPenaltyConfig *c, "%d", c != NULL)
SETTER(LiteRtLmConversationOptionalArgs, conversation_optional_args_set_no_repeat_ngram_config,
       LiteRtLmNoRepeatNgramConfig *c, "%d", c != NULL)
SETTER(LiteRtLmConversationOptionalArgs, conversation_optional_args_set_suppress_tokens_config,
       LiteRtLmSuppressTokensConfig *c, "%d", c != NULL)
SETTER(LiteRtLmConversationOptionalArgs, conversation_optional_args_set_thinking_config, LiteRtLmThinkingConfig *c,
       "%d", c != NULL)
SETTER(LiteRtLmRepetitionPenaltyConfig, repetition_penalty_config_set_repetition_penalty, float v, "%g", (double)v)
SETTER(LiteRtLmRepetitionPenaltyConfig, repetition_penalty_config_set_presence_penalty, float v, "%g", (double)v)
SETTER(LiteRtLmRepetitionPenaltyConfig, repetition_penalty_config_set_frequency_penalty, float v, "%g", (double)v)
SETTER(LiteRtLmNoRepeatNgramConfig, no_repeat_ngram_config_set_no_repeat_ngram_size, int n, "%d", n)

void litert_lm_suppress_tokens_config_set_suppress_tokens(LiteRtLmSuppressTokensConfig *config, const int *ids,
                                                          size_t count)
{
    (void)config;
    called("suppress_tokens_config_set_suppress_tokens", "%d..%d", ids[0], ids[count - 1]);
}

void litert_lm_conversation_optional_args_set_constraint(LiteRtLmConversationOptionalArgs *arguments, int type,
                                                         const char *text)
{
    (void)arguments;
    called("conversation_optional_args_set_constraint", "%d,%s", type, text);
}

/* ---- engine ---- */

struct LiteRtLmEngineSettings { int fd; };
struct LiteRtLmEngine { int fd; };

static void close_fd(int fd)
{
    if (fd >= 0) {
        close(fd);
        if (stub.reuse_closed_fd) {
            dup2(STDERR_FILENO, fd); /* as another thread of the process might */
        }
    }
}

LiteRtLmEngineSettings *litert_lm_engine_settings_create(const char *path, const char *backend, const char *vision,
                                                         const char *audio)
{
    called("settings", "%s,%s,%s,%s", path, backend, or_null(vision), or_null(audio));
    LiteRtLmEngineSettings *settings = object_create("engine_settings_create", sizeof *settings);
    if (settings) {
        settings->fd = -1;
    }
    return settings;
}

LiteRtLmEngineSettings *litert_lm_engine_settings_create_from_raw_file_descriptor(int fd, const char *backend,
                                                                                  const char *vision,
                                                                                  const char *audio)
{
    called("settings", "fd,%s,%s,%s", backend, or_null(vision), or_null(audio));
    LiteRtLmEngineSettings *settings =
        object_create("engine_settings_create_from_raw_file_descriptor", sizeof *settings);
    if (settings) {
        settings->fd = fd;
    } else {
        close_fd(fd);
    }
    return settings;
}

void litert_lm_engine_settings_delete(LiteRtLmEngineSettings *settings)
{
    close_fd(settings->fd);
    object_delete(settings);
}

SETTER(LiteRtLmEngineSettings, engine_settings_set_cache_dir, const char *dir, "%s", dir)
SETTER(LiteRtLmEngineSettings, engine_settings_set_max_num_tokens, int n, "%d", n)
SETTER(LiteRtLmEngineSettings, engine_settings_set_num_threads, int n, "%d", n)
SETTER(LiteRtLmEngineSettings, engine_settings_set_audio_num_threads, int n, "%d", n)

void litert_lm_engine_settings_enable_benchmark(LiteRtLmEngineSettings *settings)
{
    (void)settings;
    called("engine_settings_enable_benchmark", "%s", "");
}

LiteRtLmEngine *litert_lm_engine_create(LiteRtLmEngineSettings *settings)
{
    LiteRtLmEngine *engine = object_create("engine_create", sizeof *engine);
    if (engine) {
        engine->fd = settings->fd;
        settings->fd = -1;
    }
    return engine;
}

void litert_lm_engine_delete(LiteRtLmEngine *engine)
{
    close_fd(engine->fd);
    object_delete(engine);
}

/* ---- tokenizer: a token per byte ---- */

struct LiteRtLmDetokenizeResult { char text[256]; };

const int *litert_lm_tokenize_result_get_tokens(LiteRtLmTokenizeResult *result) { return result->ids; }
size_t litert_lm_tokenize_result_get_num_tokens(LiteRtLmTokenizeResult *result) { return result->count; }
void litert_lm_tokenize_result_delete(LiteRtLmTokenizeResult *result) { object_delete(result); }

LiteRtLmDetokenizeResult *litert_lm_engine_detokenize(LiteRtLmEngine *engine, const int *ids, size_t count)
{
    (void)engine;
    LiteRtLmDetokenizeResult *result = ids ? object_create("engine_detokenize", sizeof *result) : NULL;
    for (size_t i = 0; result && i < count; i++) {
        result->text[i] = (char)ids[i];
    }
    return result;
}

const char *litert_lm_detokenize_result_get_string(LiteRtLmDetokenizeResult *result) { return result->text; }
void litert_lm_detokenize_result_delete(LiteRtLmDetokenizeResult *result) { object_delete(result); }
