/* options.c - our option values, checked, to the engine's option objects. The engine copies every object into
 * the one it is attached to, so each is deleted as soon as it is attached. */
#include <float.h>
#include <stdlib.h>

#include "internal.h"

static bool is_within(float value, float low, float high) { return value >= low && value <= high; } /* not NaN */

static int32_t bad(ltlm_error *err, const char *what)
{
    return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "%s", what);
}

/* ---- session ----------------------------------------------------------------------------------- */

/* The engine finds these out only at the first send, after the prefill, and then the conversation is lost. */
static int32_t check_sampler(const ltlm_sampler *sampler, ltlm_error *err)
{
    if (!sampler->set) {
        return LTLM_OK;
    }
    if (sampler->top_k < 1) {
        return bad(err, "sampler.top_k must be 1 or more");
    }
    if (!is_within(sampler->top_p, 0, 1)) {
        return bad(err, "sampler.top_p must be 0..1");
    }
    if (!is_within(sampler->temperature, 0, FLT_MAX)) {
        return bad(err, "sampler.temperature must be 0 or more");
    }
    return LTLM_OK;
}

static bool attach_sampler(const ltlm__engine_api *api, const ltlm_sampler *sampler, LiteRtLmSessionConfig *config)
{
    if (!sampler->set) {
        return true;
    }
    LiteRtLmSamplerParams *params = api->sampler_params_create(LITERT_LM_SAMPLER_TOP_P);
    if (!params) {
        return false;
    }
    api->sampler_params_set_top_k(params, sampler->top_k);
    api->sampler_params_set_top_p(params, sampler->top_p);
    api->sampler_params_set_temperature(params, sampler->temperature);
    api->sampler_params_set_seed(params, sampler->seed);
    api->session_config_set_sampler_params(config, params);
    api->sampler_params_delete(params);
    return true;
}

int32_t ltlm__session_config(const ltlm__engine_api *api, const ltlm_sampler *sampler,
                             int32_t max_output_tokens, bool raw, LiteRtLmSessionConfig **out,
                             ltlm_error *err)
{
    *out = NULL;
    int32_t status = check_sampler(sampler, err);
    if (status != LTLM_OK) {
        return status;
    }
    if (max_output_tokens < 0) {
        return bad(err, "max_output_tokens must not be negative");
    }
    if (!sampler->set && max_output_tokens == 0 && !raw) {
        return LTLM_OK;
    }
    api->clear_last_error();
    LiteRtLmSessionConfig *config = api->session_config_create();
    if (!config || !attach_sampler(api, sampler, config)) {
        status = ltlm__engine_failed(api, err);
        api->session_config_delete(config);
        return status;
    }
    if (max_output_tokens > 0) {
        api->session_config_set_max_output_tokens(config, max_output_tokens);
    }
    if (raw) {
        api->session_config_set_apply_prompt_template(config, false);
    }
    *out = config;
    return LTLM_OK;
}

/* ---- thinking ---------------------------------------------------------------------------------- */

/* `effective` is -1, 0 (unknown) or 1. A budget alone would switch thinking on: the engine's object says on
 * unless told otherwise. */
static int32_t check_thinking(int32_t thinking, int32_t effective, int32_t budget, ltlm_error *err)
{
    if (thinking < -1 || thinking > 1) {
        return bad(err, "thinking must be -1, 0 or 1");
    }
    if (budget < 0) {
        return bad(err, "thinking_budget must not be negative");
    }
    if (budget > 0 && effective != 1) {
        return bad(err, "thinking_budget needs thinking to be on");
    }
    return LTLM_OK;
}

static LiteRtLmThinkingConfig *create_thinking(const ltlm__engine_api *api, bool on, int32_t budget)
{
    LiteRtLmThinkingConfig *config = api->thinking_config_create();
    if (config) {
        api->thinking_config_set_enable_thinking(config, on);
        api->thinking_config_set_thinking_token_budget(config, budget > 0 ? budget : -1); /* -1: no limit */
    }
    return config;
}

/* ---- conversation ------------------------------------------------------------------------------ */

static int32_t check_conversation(const ltlm_library *library, const ltlm_conversation_options *options,
                                  ltlm_error *err)
{
    int32_t status = check_thinking(options->thinking, options->thinking, options->thinking_budget, err);
    if (status == LTLM_OK && (options->thinking != 0 || options->keep_thinking)) {
        status = ltlm__require(library, LTLM_CAN_THINK, "switch thinking", err);
    }
    if (status == LTLM_OK && options->constrained) {
        status = ltlm__require(library, LTLM_CAN_CONSTRAIN, "constrain output", err);
    }
    return status;
}

static void set_texts(const ltlm__engine_api *api, const ltlm_conversation_options *options,
                      LiteRtLmConversationConfig *config)
{
    if (options->system_json) {
        api->conversation_config_set_system_message(config, options->system_json);
    }
    if (options->messages_json) {
        api->conversation_config_set_messages(config, options->messages_json);
    }
    if (options->tools_json) {
        api->conversation_config_set_tools(config, options->tools_json);
    }
    if (options->extra_context_json) {
        api->conversation_config_set_extra_context(config, options->extra_context_json);
    }
    if (options->chat_template) {
        api->conversation_config_set_prompt_template(config, options->chat_template);
    }
}

static bool set_thinking(const ltlm__engine_api *api, const ltlm_conversation_options *options,
                         LiteRtLmConversationConfig *config)
{
    if (options->keep_thinking) {
        api->conversation_config_set_filter_channel_content_from_kv_cache(config, false);
    }
    if (options->thinking == 0) {
        return true;
    }
    LiteRtLmThinkingConfig *thinking = create_thinking(api, options->thinking > 0, options->thinking_budget);
    if (thinking) {
        api->conversation_config_set_thinking_config(config, thinking);
        api->thinking_config_delete(thinking);
    }
    return thinking;
}

int32_t ltlm__conversation_config(const ltlm_library *library, const ltlm_conversation_options *options,
                                  LiteRtLmConversationConfig **out, ltlm_error *err)
{
    const ltlm__engine_api *api = &library->api;
    LiteRtLmSessionConfig *session = NULL;
    *out = NULL;
    int32_t status = check_conversation(library, options, err);
    if (status == LTLM_OK) {
        status = ltlm__session_config(api, &options->sampler, options->max_output_tokens, false, &session, err);
    }
    if (status != LTLM_OK) {
        return status;
    }
    api->clear_last_error();
    LiteRtLmConversationConfig *config = api->conversation_config_create();
    if (!config || !set_thinking(api, options, config)) {
        status = ltlm__engine_failed(api, err);
        api->session_config_delete(session);
        api->conversation_config_delete(config);
        return status;
    }
    if (session) {
        api->conversation_config_set_session_config(config, session);
        api->session_config_delete(session);
    }
    set_texts(api, options, config);
    if (options->constrained) {
        const int provider = LITERT_LM_CONSTRAINT_PROVIDER_LL_GUIDANCE;
        api->conversation_config_set_enable_constrained_decoding(config, true);
        api->conversation_config_set_constraint_provider(config, &provider); /* by address; copied */
    }
    *out = config;
    return LTLM_OK;
}

/* ---- turn -------------------------------------------------------------------------------------- */

static bool penalizes(const ltlm_turn_options *options)
{
    return options->repetition_penalty != 0 || options->presence_penalty != 0 || options->frequency_penalty != 0;
}

static int32_t check_penalties(const ltlm_turn_options *options, ltlm_error *err)
{
    if (options->repetition_penalty != 0 && !is_within(options->repetition_penalty, FLT_MIN, FLT_MAX)) {
        return bad(err, "repetition_penalty must be positive, or 0 for none");
    }
    if (!is_within(options->presence_penalty, -FLT_MAX, FLT_MAX) ||
        !is_within(options->frequency_penalty, -FLT_MAX, FLT_MAX)) {
        return bad(err, "presence_penalty and frequency_penalty must be finite");
    }
    if (options->no_repeat_ngram < 0) {
        return bad(err, "no_repeat_ngram must not be negative");
    }
    if (options->suppressed_count > 0 && !options->suppressed) {
        return bad(err, "suppressed is NULL");
    }
    return LTLM_OK;
}

static int32_t check_constraint(const ltlm_conversation *conversation, const ltlm_turn_options *options,
                                ltlm_error *err)
{
    if (options->constraint_type < 0 || options->constraint_type > 2) {
        return bad(err, "constraint_type must be 0, 1 or 2"); /* others crash the engine */
    }
    if (options->constraint_type != 0 && !options->constraint) {
        return bad(err, "constraint is NULL");
    }
    if (options->constraint_type != 0 && !conversation->constrained) {
        return bad(err, "the conversation was created without `constrained`"); /* the engine would ignore it */
    }
    return LTLM_OK;
}

static int32_t check_turn(const ltlm_conversation *conversation, const ltlm_turn_options *options,
                          ltlm_error *err)
{
    if (options->max_output_tokens < 0 || options->visual_token_budget < 0) {
        return bad(err, "max_output_tokens and visual_token_budget must not be negative");
    }
    int32_t thinking = options->thinking ? options->thinking : conversation->thinking;
    int32_t status = check_thinking(options->thinking, thinking, options->thinking_budget, err);
    status = status ? status : check_constraint(conversation, options, err);
    return status ? status : check_penalties(options, err);
}

static int32_t check_turn_support(const ltlm_library *library, const ltlm_turn_options *options, ltlm_error *err)
{
    int32_t status = LTLM_OK;
    if (options->visual_token_budget > 0) {
        status = ltlm__require(library, LTLM_CAN_VISUAL_BUDGET, "limit the tokens of an image", err);
    }
    if (status == LTLM_OK && options->constraint_type != 0) {
        status = ltlm__require(library, LTLM_CAN_CONSTRAIN, "constrain output", err);
    }
    if (status == LTLM_OK && (penalizes(options) || options->no_repeat_ngram || options->suppressed_count)) {
        status = ltlm__require(library, LTLM_CAN_PENALIZE, "penalise or suppress tokens", err);
    }
    if (status == LTLM_OK && (options->thinking != 0 || options->thinking_budget != 0)) {
        status = ltlm__require(library, LTLM_CAN_THINK, "switch thinking", err);
    }
    return status;
}

static bool attach_penalties(const ltlm__engine_api *api, const ltlm_turn_options *options,
                             LiteRtLmConversationOptionalArgs *arguments)
{
    if (!penalizes(options)) {
        return true;
    }
    LiteRtLmRepetitionPenaltyConfig *config = api->repetition_penalty_config_create();
    if (!config) {
        return false;
    }
    if (options->repetition_penalty != 0) {
        api->repetition_penalty_config_set_repetition_penalty(config, options->repetition_penalty);
    }
    api->repetition_penalty_config_set_presence_penalty(config, options->presence_penalty);
    api->repetition_penalty_config_set_frequency_penalty(config, options->frequency_penalty);
    api->conversation_optional_args_set_repetition_penalty_config(arguments, config);
    api->repetition_penalty_config_delete(config);
    return true;
}

static bool attach_bans(const ltlm__engine_api *api, const ltlm_turn_options *options,
                        LiteRtLmConversationOptionalArgs *arguments)
{
    if (options->no_repeat_ngram > 0) {
        LiteRtLmNoRepeatNgramConfig *config = api->no_repeat_ngram_config_create();
        if (!config) {
            return false;
        }
        api->no_repeat_ngram_config_set_no_repeat_ngram_size(config, options->no_repeat_ngram);
        api->conversation_optional_args_set_no_repeat_ngram_config(arguments, config);
        api->no_repeat_ngram_config_delete(config);
    }
    if (options->suppressed_count > 0) {
        LiteRtLmSuppressTokensConfig *config = api->suppress_tokens_config_create();
        if (!config) {
            return false;
        }
        api->suppress_tokens_config_set_suppress_tokens(config, options->suppressed, options->suppressed_count);
        api->conversation_optional_args_set_suppress_tokens_config(arguments, config);
        api->suppress_tokens_config_delete(config);
    }
    return true;
}

static bool attach_thinking(const ltlm_conversation *conversation, const ltlm_turn_options *options,
                            LiteRtLmConversationOptionalArgs *arguments)
{
    const ltlm__engine_api *api = conversation->lane.api;
    if (options->thinking == 0 && options->thinking_budget == 0) {
        return true;
    }
    int32_t thinking = options->thinking ? options->thinking : conversation->thinking;
    LiteRtLmThinkingConfig *config = create_thinking(api, thinking > 0, options->thinking_budget);
    if (config) {
        api->conversation_optional_args_set_thinking_config(arguments, config);
        api->thinking_config_delete(config);
    }
    return config;
}

static void set_turn_values(const ltlm__engine_api *api, const ltlm_turn_options *options,
                            LiteRtLmConversationOptionalArgs *arguments)
{
    if (options->max_output_tokens > 0) { /* the engine would take 0 for 1 */
        api->conversation_optional_args_set_max_output_tokens(arguments, options->max_output_tokens);
    }
    if (options->visual_token_budget > 0) {
        api->conversation_optional_args_set_visual_token_budget(arguments, options->visual_token_budget);
    }
    if (options->constraint_type != 0) {
        api->conversation_optional_args_set_constraint(arguments, options->constraint_type, options->constraint);
    }
}

int32_t ltlm__turn_arguments(const ltlm_conversation *conversation, const ltlm_turn_options *options,
                             LiteRtLmConversationOptionalArgs **out, ltlm_error *err)
{
    const ltlm__engine_api *api = conversation->lane.api;
    *out = NULL;
    if (!options) {
        return LTLM_OK;
    }
    int32_t status = check_turn(conversation, options, err);
    status = status ? status : check_turn_support(conversation->engine->library, options, err);
    if (status != LTLM_OK) {
        return status;
    }
    api->clear_last_error();
    LiteRtLmConversationOptionalArgs *arguments = api->conversation_optional_args_create();
    if (!arguments || !attach_penalties(api, options, arguments) || !attach_bans(api, options, arguments) ||
        !attach_thinking(conversation, options, arguments)) {
        status = ltlm__engine_failed(api, err);
        api->conversation_optional_args_delete(arguments);
        return status;
    }
    set_turn_values(api, options, arguments);
    *out = arguments;
    return LTLM_OK;
}
