/* What reaches the engine of a conversation's and a turn's options, and what is refused before. */
#include <math.h>

#include "fixture.h"

static ltlm_conversation *create(fixture *self, const ltlm_conversation_options *options)
{
    ltlm_conversation *conversation;
    ASSERT_INT(LTLM_OK, ltlm_conversation_create(self->engine, options, &conversation, &self->err));
    return conversation;
}

static void delete(fixture *self, ltlm_conversation *conversation)
{
    ASSERT_INT(LTLM_OK, ltlm_conversation_delete(conversation, &self->err));
}

static void refused(fixture *self, const ltlm_conversation_options *options, const char *reason)
{
    ltlm_conversation *conversation;
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_conversation_create(self->engine, options, &conversation, &self->err));
    ASSERT(!conversation);
    ASSERT_IN(reason, self->err.reason);
}

static void turn(fixture *self, ltlm_conversation *conversation, const ltlm_turn_options *options)
{
    ltlm_stream *stream;
    ltlm_error end;
    ASSERT_INT(LTLM_OK,
               ltlm_conversation_send(conversation, USER_MESSAGE, NULL, options, 0, &stream, &self->err));
    ASSERT_INT(3, take_all(stream, &end));
    ltlm_stream_delete(stream);
}

static void turn_refused(fixture *self, ltlm_conversation *conversation, const ltlm_turn_options *options,
                         const char *reason)
{
    ltlm_stream *stream;
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT,
               ltlm_conversation_send(conversation, USER_MESSAGE, NULL, options, 0, &stream, &self->err));
    ASSERT(!stream);
    ASSERT_IN(reason, self->err.reason);
}

TEST(every_conversation_option_reaches_the_engine)
{
    fixture self;
    open_engine(&self);
    ltlm_conversation_options options = {
        .system_json = "\"S\"",
        .messages_json = "[]",
        .tools_json = "[1]",
        .extra_context_json = "{}",
        .chat_template = "T",
        .sampler = {.set = true, .top_k = 1, .top_p = 0.5f, .temperature = 0, .seed = 7},
        .max_output_tokens = 9,
        .constrained = true,
        .thinking = 1,
        .thinking_budget = 100,
        .keep_thinking = true,
    };
    ltlm_conversation *conversation = create(&self, &options);
    static const char *const wanted[] = {
        "conversation_config_set_system_message(\"S\");",
        "conversation_config_set_messages([]);",
        "conversation_config_set_tools([1]);",
        "conversation_config_set_extra_context({});",
        "conversation_config_set_prompt_template(T);",
        "sampler_type(2);",
        "sampler_params_set_top_k(1);",
        "sampler_params_set_top_p(0.5);",
        "sampler_params_set_temperature(0);",
        "sampler_params_set_seed(7);",
        "session_config_set_sampler_params(1);",
        "session_config_set_max_output_tokens(9);",
        "conversation_config_set_session_config(1);",
        "conversation_config_set_enable_constrained_decoding(1);",
        "conversation_config_set_constraint_provider(1);",
        "thinking_config_set_enable_thinking(1);",
        "thinking_config_set_thinking_token_budget(100);",
        "conversation_config_set_thinking_config(1);",
        "conversation_config_set_filter_channel_content_from_kv_cache(0);",
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        ASSERT_IN(wanted[i], self.stub->log);
    }
    ASSERT(!strstr(self.stub->log, "apply_prompt_template"));
    ASSERT_INT(2, self.stub->live); /* engine and conversation; every option object is gone */
    delete(&self, conversation);
    close_all(&self);
}

TEST(no_conversation_option_sets_nothing)
{
    fixture self;
    open_engine(&self);
    self.stub->log[0] = '\0';
    delete(&self, create(&self, NULL));
    delete(&self, create(&self, &(ltlm_conversation_options){.thinking = 0}));
    ASSERT_STR("conversation_config_create();conversation_create();conversation_config_create();"
               "conversation_create();",
               self.stub->log);
    close_all(&self);
}

TEST(thinking_can_be_off)
{
    fixture self;
    open_engine(&self);
    delete(&self, create(&self, &(ltlm_conversation_options){.thinking = -1}));
    ASSERT_IN("thinking_config_set_enable_thinking(0);", self.stub->log);
    ASSERT_IN("thinking_config_set_thinking_token_budget(-1);", self.stub->log);
    close_all(&self);
}

TEST(bad_conversation_options_are_refused)
{
    fixture self;
    open_engine(&self);
    ltlm_conversation_options options = {.sampler = {.set = true, .top_k = 0}};
    refused(&self, &options, "top_k");
    options.sampler = (ltlm_sampler){.set = true, .top_k = 1, .top_p = 1.5f};
    refused(&self, &options, "top_p");
    options.sampler.top_p = NAN;
    refused(&self, &options, "top_p");
    options.sampler = (ltlm_sampler){.set = true, .top_k = 1, .temperature = -1};
    refused(&self, &options, "temperature");
    options.sampler.temperature = INFINITY;
    refused(&self, &options, "temperature");
    options = (ltlm_conversation_options){.max_output_tokens = -1};
    refused(&self, &options, "max_output_tokens");
    options = (ltlm_conversation_options){.thinking = 2};
    refused(&self, &options, "thinking");
    options = (ltlm_conversation_options){.thinking = 1, .thinking_budget = -1};
    refused(&self, &options, "thinking_budget");
    options = (ltlm_conversation_options){.thinking_budget = 5};
    refused(&self, &options, "thinking_budget");
    ASSERT_INT(1, self.stub->live);
    close_all(&self);
}

TEST(a_sampler_that_is_not_set_is_not_looked_at)
{
    fixture self;
    open_engine(&self);
    delete(&self, create(&self, &(ltlm_conversation_options){.sampler = {.top_k = -3}}));
    close_all(&self);
}

TEST(every_turn_option_reaches_the_engine)
{
    fixture self;
    open_engine(&self);
    const int32_t suppressed[3] = {4, 5, 6};
    ltlm_turn_options options = {
        .max_output_tokens = 5,
        .visual_token_budget = 70,
        .constraint_type = 2,
        .constraint = "{}",
        .repetition_penalty = 1.5f,
        .presence_penalty = -0.5f,
        .frequency_penalty = 0.25f,
        .no_repeat_ngram = 3,
        .suppressed = suppressed,
        .suppressed_count = 3,
        .thinking = 1,
        .thinking_budget = 8,
    };
    ltlm_conversation *conversation = create(&self, &(ltlm_conversation_options){.constrained = true});
    turn(&self, conversation, &options);
    static const char *const wanted[] = {
        "conversation_optional_args_set_max_output_tokens(5);",
        "conversation_optional_args_set_visual_token_budget(70);",
        "conversation_optional_args_set_constraint(2,{});",
        "repetition_penalty_config_set_repetition_penalty(1.5);",
        "repetition_penalty_config_set_presence_penalty(-0.5);",
        "repetition_penalty_config_set_frequency_penalty(0.25);",
        "conversation_optional_args_set_repetition_penalty_config(1);",
        "no_repeat_ngram_config_set_no_repeat_ngram_size(3);",
        "conversation_optional_args_set_no_repeat_ngram_config(1);",
        "suppress_tokens_config_set_suppress_tokens(4..6);",
        "conversation_optional_args_set_suppress_tokens_config(1);",
        "thinking_config_set_enable_thinking(1);",
        "thinking_config_set_thinking_token_budget(8);",
        "conversation_optional_args_set_thinking_config(1);",
        "send(" USER_MESSAGE ",NULL,1);",
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        ASSERT_IN(wanted[i], self.stub->log);
    }
    ASSERT_INT(2, self.stub->live);
    delete(&self, conversation);
    close_all(&self);
}

TEST(no_turn_option_sets_nothing)
{
    fixture self;
    open_engine(&self);
    ltlm_conversation *conversation = create(&self, NULL);
    turn(&self, conversation, NULL);
    ASSERT_IN("send(" USER_MESSAGE ",NULL,0);", self.stub->log);
    turn(&self, conversation, &(ltlm_turn_options){.max_output_tokens = 0});
    ASSERT(!strstr(self.stub->log, "_set_")
           || !strstr(strstr(self.stub->log, "conversation_config_create"), "_set_"));
    delete(&self, conversation);
    close_all(&self);
}

TEST(bad_turn_options_are_refused)
{
    fixture self;
    open_engine(&self);
    ltlm_conversation *plain = create(&self, NULL);
    ltlm_conversation *constrained = create(&self, &(ltlm_conversation_options){.constrained = true});
    turn_refused(&self, plain, &(ltlm_turn_options){.max_output_tokens = -1}, "max_output_tokens");
    turn_refused(&self, plain, &(ltlm_turn_options){.visual_token_budget = -1}, "visual_token_budget");
    turn_refused(&self, constrained, &(ltlm_turn_options){.constraint_type = 3, .constraint = "x"}, "0, 1 or 2");
    turn_refused(&self, constrained, &(ltlm_turn_options){.constraint_type = -1, .constraint = "x"}, "0, 1 or 2");
    turn_refused(&self, constrained, &(ltlm_turn_options){.constraint_type = 1}, "constraint is NULL");
    turn_refused(&self, plain, &(ltlm_turn_options){.constraint_type = 1, .constraint = "x"}, "without");
    turn_refused(&self, plain, &(ltlm_turn_options){.repetition_penalty = -1}, "repetition_penalty");
    turn_refused(&self, plain, &(ltlm_turn_options){.presence_penalty = NAN}, "presence_penalty");
    turn_refused(&self, plain, &(ltlm_turn_options){.no_repeat_ngram = -1}, "no_repeat_ngram");
    turn_refused(&self, plain, &(ltlm_turn_options){.suppressed_count = 2}, "suppressed");
    turn_refused(&self, plain, &(ltlm_turn_options){.thinking = -2}, "thinking");
    turn_refused(&self, plain, &(ltlm_turn_options){.thinking_budget = 5}, "thinking_budget");
    turn_refused(&self, plain, &(ltlm_turn_options){.thinking = -1, .thinking_budget = 5}, "thinking_budget");
    ASSERT(!strstr(self.stub->log, "send("));
    turn(&self, plain, NULL); /* a refusal leaves the conversation free */
    delete(&self, plain);
    delete(&self, constrained);
    close_all(&self);
}

TEST(a_turn_inherits_thinking_and_constraints)
{
    fixture self;
    ltlm_conversation *clone;
    open_engine(&self);
    ltlm_conversation *conversation =
        create(&self, &(ltlm_conversation_options){.thinking = 1, .constrained = true});
    ASSERT_INT(LTLM_OK, ltlm_conversation_clone(conversation, &clone, &self.err));
    self.stub->log[0] = '\0';
    turn(&self, clone, &(ltlm_turn_options){.thinking_budget = 6, .constraint_type = 1, .constraint = "a+"});
    ASSERT_IN("thinking_config_set_enable_thinking(1);", self.stub->log);
    ASSERT_IN("thinking_config_set_thinking_token_budget(6);", self.stub->log);
    ASSERT_IN("conversation_optional_args_set_constraint(1,a+);", self.stub->log);
    delete(&self, clone);
    delete(&self, conversation);
    close_all(&self);
}

TEST(an_option_object_that_cannot_be_made_fails_the_call)
{
    static const char *const of_create[] = {"session_config_create", "sampler_params_create",
                                            "conversation_config_create", "thinking_config_create",
                                            "conversation_create"};
    static const char *const of_send[] = {"conversation_optional_args_create", "repetition_penalty_config_create",
                                          "no_repeat_ngram_config_create", "suppress_tokens_config_create",
                                          "thinking_config_create"};
    fixture self;
    ltlm_conversation *conversation;
    ltlm_stream *stream;
    const int32_t suppressed[1] = {1};
    open_engine(&self);
    ltlm_conversation_options options = {.sampler = {.set = true, .top_k = 1}, .thinking = 1};
    ltlm_turn_options turn_options = {.presence_penalty = 1, .no_repeat_ngram = 2, .suppressed = suppressed,
                                      .suppressed_count = 1, .thinking = 1};
    for (size_t i = 0; i < sizeof of_create / sizeof *of_create; i++) {
        let_fail(&self, of_create[i], 8, of_create[i]);
        ASSERT_INT(LTLM_E_ENGINE, ltlm_conversation_create(self.engine, &options, &conversation, &self.err));
        ASSERT_STR(of_create[i], self.err.reason);
        ASSERT_INT(1, self.stub->live);
    }
    self.stub->fail = NULL;
    conversation = create(&self, &options);
    for (size_t i = 0; i < sizeof of_send / sizeof *of_send; i++) {
        let_fail(&self, of_send[i], 8, of_send[i]);
        ASSERT_INT(LTLM_E_ENGINE, ltlm_conversation_send(conversation, USER_MESSAGE, NULL, &turn_options, 0,
                                                         &stream, &self.err));
        ASSERT_STR(of_send[i], self.err.reason);
        ASSERT_INT(2, self.stub->live);
    }
    delete(&self, conversation);
    close_all(&self);
}

TESTS(RUN(every_conversation_option_reaches_the_engine)      //
      RUN(no_conversation_option_sets_nothing)               //
      RUN(thinking_can_be_off)                               //
      RUN(bad_conversation_options_are_refused)              //
      RUN(a_sampler_that_is_not_set_is_not_looked_at)        //
      RUN(every_turn_option_reaches_the_engine)              //
      RUN(no_turn_option_sets_nothing)                       //
      RUN(bad_turn_options_are_refused)                      //
      RUN(a_turn_inherits_thinking_and_constraints)          //
      RUN(an_option_object_that_cannot_be_made_fails_the_call))
