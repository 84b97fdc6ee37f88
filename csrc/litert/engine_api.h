/* engine_api.h - the functions of the LiteRT-LM C library (0.18) that are used, and the table they are
 * resolved into.
 *
 * One list per purpose, each row X(result, name, (parameters)) with the name less its prefix "litert_lm_".
 * The prototypes are facts about that library's binary interface: changing one here corrupts memory there.
 * In 0.18 creators return NULL and other calls a code other than 0 when they fail; setters return nothing.
 */
#ifndef LTLM_LITERT_ENGINE_API_H
#define LTLM_LITERT_ENGINE_API_H

#include "../ltlm.h"

typedef struct LiteRtLmBenchmarkInfo LiteRtLmBenchmarkInfo;
typedef struct LiteRtLmConversation LiteRtLmConversation;
typedef struct LiteRtLmConversationConfig LiteRtLmConversationConfig;
typedef struct LiteRtLmConversationOptionalArgs LiteRtLmConversationOptionalArgs;
typedef struct LiteRtLmDetokenizeResult LiteRtLmDetokenizeResult;
typedef struct LiteRtLmEngine LiteRtLmEngine;
typedef struct LiteRtLmEngineSettings LiteRtLmEngineSettings;
typedef struct LiteRtLmInputData LiteRtLmInputData;
typedef struct LiteRtLmNoRepeatNgramConfig LiteRtLmNoRepeatNgramConfig;
typedef struct LiteRtLmRepetitionPenaltyConfig LiteRtLmRepetitionPenaltyConfig;
typedef struct LiteRtLmResponses LiteRtLmResponses;
typedef struct LiteRtLmSamplerParams LiteRtLmSamplerParams;
typedef struct LiteRtLmSession LiteRtLmSession;
typedef struct LiteRtLmSessionConfig LiteRtLmSessionConfig;
typedef struct LiteRtLmStreamChunk LiteRtLmStreamChunk;
typedef struct LiteRtLmSuppressTokensConfig LiteRtLmSuppressTokensConfig;
typedef struct LiteRtLmThinkingConfig LiteRtLmThinkingConfig;
typedef struct LiteRtLmTokenizeResult LiteRtLmTokenizeResult;

/* Engine thread, except that a conversation which has failed before calls from inside send_message_stream. */
typedef void (*LiteRtLmStreamCallback)(void *user, const LiteRtLmStreamChunk *chunk);

/* The sampler type that the engine implements on every backend; greedy is top_k 1. */
#define LITERT_LM_SAMPLER_TOP_P 2
#define LITERT_LM_INPUT_TEXT 0
#define LITERT_LM_CONSTRAINT_PROVIDER_LL_GUIDANCE 1

/* Without these a library does not fit. */
#define LTLM__REQUIRED_FUNCTIONS(X)                                                                             \
    X(int, get_last_error_code, (void)) /* thread-local; a success does not clear it */                         \
    X(const char *, get_last_error_message, (void)) /* NULL when clear */                                       \
    X(void, clear_last_error, (void))                                                                           \
    X(void, set_min_log_level, (int level))                                                                     \
    X(LiteRtLmEngineSettings *, engine_settings_create,                                                         \
      (const char *path, const char *backend, const char *vision_backend, const char *audio_backend))           \
    X(void, engine_settings_delete, (LiteRtLmEngineSettings * settings))                                        \
    X(void, engine_settings_set_cache_dir, (LiteRtLmEngineSettings * settings, const char *dir)) /* not NULL */ \
    X(void, engine_settings_set_max_num_tokens, (LiteRtLmEngineSettings * settings, int count))                 \
    X(void, engine_settings_set_num_threads, (LiteRtLmEngineSettings * settings, int count))                    \
    X(void, engine_settings_set_audio_num_threads, (LiteRtLmEngineSettings * settings, int count))              \
    X(LiteRtLmEngine *, engine_create, (LiteRtLmEngineSettings * settings))                                     \
    X(void, engine_delete, (LiteRtLmEngine * engine))                                                           \
    X(LiteRtLmTokenizeResult *, engine_tokenize, (LiteRtLmEngine * engine, const char *text))                   \
    X(const int *, tokenize_result_get_tokens, (LiteRtLmTokenizeResult * result))                               \
    X(size_t, tokenize_result_get_num_tokens, (LiteRtLmTokenizeResult * result))                                \
    X(void, tokenize_result_delete, (LiteRtLmTokenizeResult * result))                                          \
    X(LiteRtLmDetokenizeResult *, engine_detokenize, (LiteRtLmEngine * engine, const int *ids, size_t count))   \
    X(const char *, detokenize_result_get_string, (LiteRtLmDetokenizeResult * result))                          \
    X(void, detokenize_result_delete, (LiteRtLmDetokenizeResult * result))                                      \
    X(LiteRtLmSamplerParams *, sampler_params_create, (int type))                                               \
    X(void, sampler_params_delete, (LiteRtLmSamplerParams * sampler))                                           \
    X(void, sampler_params_set_top_k, (LiteRtLmSamplerParams * sampler, int32_t top_k))                         \
    X(void, sampler_params_set_top_p, (LiteRtLmSamplerParams * sampler, float top_p))                           \
    X(void, sampler_params_set_temperature, (LiteRtLmSamplerParams * sampler, float temperature))               \
    X(void, sampler_params_set_seed, (LiteRtLmSamplerParams * sampler, int32_t seed))                           \
    X(LiteRtLmSessionConfig *, session_config_create, (void))                                                   \
    X(void, session_config_delete, (LiteRtLmSessionConfig * config))                                            \
    X(void, session_config_set_apply_prompt_template, (LiteRtLmSessionConfig * config, bool on))                \
    X(void, session_config_set_max_output_tokens, (LiteRtLmSessionConfig * config, int count))                  \
    X(void, session_config_set_sampler_params,                                                                  \
      (LiteRtLmSessionConfig * config, LiteRtLmSamplerParams * sampler))                                        \
    X(LiteRtLmConversationConfig *, conversation_config_create, (void))                                         \
    X(void, conversation_config_delete, (LiteRtLmConversationConfig * config))                                  \
    X(void, conversation_config_set_session_config,                                                             \
      (LiteRtLmConversationConfig * config, LiteRtLmSessionConfig * session_config))                            \
    X(void, conversation_config_set_system_message, (LiteRtLmConversationConfig * config, const char *json))    \
    X(void, conversation_config_set_messages, (LiteRtLmConversationConfig * config, const char *json))          \
    X(void, conversation_config_set_tools, (LiteRtLmConversationConfig * config, const char *json))             \
    X(void, conversation_config_set_extra_context, (LiteRtLmConversationConfig * config, const char *json))     \
    X(void, conversation_config_set_prompt_template, (LiteRtLmConversationConfig * config, const char *jinja))  \
    X(LiteRtLmConversation *, conversation_create,                                                              \
      (LiteRtLmEngine * engine, LiteRtLmConversationConfig * config))                                           \
    X(void, conversation_delete, (LiteRtLmConversation * conversation))                                         \
    X(void, conversation_cancel_process, (LiteRtLmConversation * conversation))                                 \
    X(int, conversation_get_token_count, (LiteRtLmConversation * conversation)) /* -1 on failure */             \
    X(const char *, conversation_render_message_to_string,                                                      \
      (LiteRtLmConversation * conversation, const char *json)) /* lent until the next call */                   \
    X(const char *, conversation_render_preface_to_string, (LiteRtLmConversation * conversation))               \
    X(int, conversation_send_message_stream,                                                                    \
      (LiteRtLmConversation * conversation, const char *json, const char *extra_context_json,                   \
       LiteRtLmConversationOptionalArgs *arguments, LiteRtLmStreamCallback callback, void *user))               \
    X(LiteRtLmConversationOptionalArgs *, conversation_optional_args_create, (void))                            \
    X(void, conversation_optional_args_delete, (LiteRtLmConversationOptionalArgs * arguments))                  \
    X(void, conversation_optional_args_set_max_output_tokens,                                                   \
      (LiteRtLmConversationOptionalArgs * arguments, int count))                                                \
    X(const char *, stream_chunk_get_text, (const LiteRtLmStreamChunk *chunk)) /* NULL in a final one */        \
    X(bool, stream_chunk_is_final, (const LiteRtLmStreamChunk *chunk))                                          \
    X(const char *, stream_chunk_get_error, (const LiteRtLmStreamChunk *chunk)) /* NULL: none */                \
    X(LiteRtLmSession *, engine_create_session, (LiteRtLmEngine * engine, LiteRtLmSessionConfig * config))      \
    X(void, session_delete, (LiteRtLmSession * session))                                                        \
    X(void, session_cancel_process, (LiteRtLmSession * session))                                                \
    X(int, session_run_prefill, (LiteRtLmSession * session, LiteRtLmInputData **inputs, size_t count))         \
    X(int, session_run_decode_async, (LiteRtLmSession * session, LiteRtLmStreamCallback callback, void *user))  \
    X(LiteRtLmInputData *, input_data_create, (int type, const void *data, size_t size))                        \
    X(void, input_data_delete, (LiteRtLmInputData * input))

/* Each group below is one ltlm_capability: present as a whole or switched off. */

#define LTLM__CLONE_FUNCTIONS(X) \
    X(LiteRtLmConversation *, conversation_clone, (LiteRtLmConversation * conversation))

#define LTLM__CHECKPOINT_FUNCTIONS(X)                                                     \
    X(int, session_save_checkpoint, (LiteRtLmSession * session, const char *label))       \
    X(int, session_rewind_to_checkpoint, (LiteRtLmSession * session, const char *label))

#define LTLM__SCORE_FUNCTIONS(X)                                                                             \
    X(LiteRtLmResponses *, session_run_text_scoring,                                                         \
      (LiteRtLmSession * session, const char **targets, size_t count, bool store_token_lengths)) /* one! */  \
    X(void, responses_delete, (LiteRtLmResponses * responses))                                               \
    X(int, responses_get_num_candidates, (LiteRtLmResponses * responses))                                    \
    X(bool, responses_has_score_at, (LiteRtLmResponses * responses, int index))                              \
    X(float, responses_get_score_at, (LiteRtLmResponses * responses, int index))                             \
    X(bool, responses_has_token_scores_at, (LiteRtLmResponses * responses, int index))                       \
    X(int, responses_get_num_token_scores_at, (LiteRtLmResponses * responses, int index))                    \
    X(const float *, responses_get_token_scores_at, (LiteRtLmResponses * responses, int index))

#define LTLM__BENCHMARK_FUNCTIONS(X)                                                                    \
    X(void, engine_settings_enable_benchmark, (LiteRtLmEngineSettings * settings))                      \
    X(LiteRtLmBenchmarkInfo *, conversation_get_benchmark_info, (LiteRtLmConversation * conversation))  \
    X(LiteRtLmBenchmarkInfo *, session_get_benchmark_info, (LiteRtLmSession * session))                 \
    X(void, benchmark_info_delete, (LiteRtLmBenchmarkInfo * info))                                      \
    X(int, benchmark_info_get_num_prefill_turns, (LiteRtLmBenchmarkInfo * info))                        \
    X(int, benchmark_info_get_num_decode_turns, (LiteRtLmBenchmarkInfo * info))                         \
    X(int, benchmark_info_get_prefill_token_count_at, (LiteRtLmBenchmarkInfo * info, int index))        \
    X(int, benchmark_info_get_decode_token_count_at, (LiteRtLmBenchmarkInfo * info, int index))         \
    X(double, benchmark_info_get_prefill_tokens_per_sec_at, (LiteRtLmBenchmarkInfo * info, int index))  \
    X(double, benchmark_info_get_decode_tokens_per_sec_at, (LiteRtLmBenchmarkInfo * info, int index))

#define LTLM__OPEN_FD_FUNCTIONS(X)                                                            \
    X(LiteRtLmEngineSettings *, engine_settings_create_from_raw_file_descriptor,              \
      (int fd, const char *backend, const char *vision_backend, const char *audio_backend))

#define LTLM__VISUAL_BUDGET_FUNCTIONS(X)                       \
    X(void, conversation_optional_args_set_visual_token_budget, \
      (LiteRtLmConversationOptionalArgs * arguments, int count))

#define LTLM__CONSTRAIN_FUNCTIONS(X)                                                                             \
    X(void, conversation_config_set_enable_constrained_decoding, (LiteRtLmConversationConfig * config, bool on)) \
    X(void, conversation_config_set_constraint_provider,                                                         \
      (LiteRtLmConversationConfig * config, const int *provider))                                                \
    X(void, conversation_optional_args_set_constraint,                                                           \
      (LiteRtLmConversationOptionalArgs * arguments, int type, const char *text)) /* type 0..2, else it crashes */

#define LTLM__PENALIZE_FUNCTIONS(X)                                                                         \
    X(LiteRtLmRepetitionPenaltyConfig *, repetition_penalty_config_create, (void))                          \
    X(void, repetition_penalty_config_delete, (LiteRtLmRepetitionPenaltyConfig * config))                   \
    X(void, repetition_penalty_config_set_repetition_penalty,                                               \
      (LiteRtLmRepetitionPenaltyConfig * config, float value))                                              \
    X(void, repetition_penalty_config_set_presence_penalty,                                                 \
      (LiteRtLmRepetitionPenaltyConfig * config, float value))                                              \
    X(void, repetition_penalty_config_set_frequency_penalty,                                                \
      (LiteRtLmRepetitionPenaltyConfig * config, float value))                                              \
    X(LiteRtLmNoRepeatNgramConfig *, no_repeat_ngram_config_create, (void))                                 \
    X(void, no_repeat_ngram_config_delete, (LiteRtLmNoRepeatNgramConfig * config))                          \
    X(void, no_repeat_ngram_config_set_no_repeat_ngram_size, (LiteRtLmNoRepeatNgramConfig * config, int n)) \
    X(LiteRtLmSuppressTokensConfig *, suppress_tokens_config_create, (void))                                \
    X(void, suppress_tokens_config_delete, (LiteRtLmSuppressTokensConfig * config))                         \
    X(void, suppress_tokens_config_set_suppress_tokens,                                                     \
      (LiteRtLmSuppressTokensConfig * config, const int *ids, size_t count))                                \
    X(void, conversation_optional_args_set_repetition_penalty_config,                                       \
      (LiteRtLmConversationOptionalArgs * arguments, LiteRtLmRepetitionPenaltyConfig * config))             \
    X(void, conversation_optional_args_set_no_repeat_ngram_config,                                          \
      (LiteRtLmConversationOptionalArgs * arguments, LiteRtLmNoRepeatNgramConfig * config))                 \
    X(void, conversation_optional_args_set_suppress_tokens_config,                                          \
      (LiteRtLmConversationOptionalArgs * arguments, LiteRtLmSuppressTokensConfig * config))

#define LTLM__THINK_FUNCTIONS(X)                                                                \
    X(LiteRtLmThinkingConfig *, thinking_config_create, (void)) /* on, without a limit */       \
    X(void, thinking_config_delete, (LiteRtLmThinkingConfig * config))                          \
    X(void, thinking_config_set_enable_thinking, (LiteRtLmThinkingConfig * config, bool on))    \
    X(void, thinking_config_set_thinking_token_budget, (LiteRtLmThinkingConfig * config, int n)) \
    X(void, conversation_config_set_thinking_config,                                            \
      (LiteRtLmConversationConfig * config, LiteRtLmThinkingConfig * thinking))                 \
    X(void, conversation_optional_args_set_thinking_config,                                     \
      (LiteRtLmConversationOptionalArgs * arguments, LiteRtLmThinkingConfig * thinking))        \
    X(void, conversation_config_set_filter_channel_content_from_kv_cache,                       \
      (LiteRtLmConversationConfig * config, bool on))

#define LTLM__OPTIONAL_FUNCTIONS(X)  \
    LTLM__CLONE_FUNCTIONS(X)         \
    LTLM__CHECKPOINT_FUNCTIONS(X)    \
    LTLM__SCORE_FUNCTIONS(X)         \
    LTLM__BENCHMARK_FUNCTIONS(X)     \
    LTLM__OPEN_FD_FUNCTIONS(X)       \
    LTLM__VISUAL_BUDGET_FUNCTIONS(X) \
    LTLM__CONSTRAIN_FUNCTIONS(X)     \
    LTLM__PENALIZE_FUNCTIONS(X)      \
    LTLM__THINK_FUNCTIONS(X)

/* The resolved functions. Those of a capability that is off may be NULL. Read-only once loaded. */
typedef struct {
#define X(result, name, parameters) result(*name) parameters;
    LTLM__REQUIRED_FUNCTIONS(X)
    LTLM__OPTIONAL_FUNCTIONS(X)
#undef X
} ltlm__engine_api;

#endif /* LTLM_LITERT_ENGINE_API_H */
