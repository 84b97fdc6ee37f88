#include "fixture.h"

static ltlm_session *create(fixture *self)
{
    ltlm_session *session;
    ASSERT_INT(LTLM_OK, ltlm_session_create(self->engine, NULL, &session, &self->err));
    return session;
}

static void delete(fixture *self, ltlm_session *session)
{
    ASSERT_INT(LTLM_OK, ltlm_session_delete(session, &self->err));
}

static int32_t score(fixture *self, ltlm_session *session, float *total, float **scores, size_t *count)
{
    return ltlm_session_score(session, " there", total, scores, count, &self->err);
}

TEST(a_session_is_raw)
{
    fixture self;
    ltlm_session *session;
    open_engine(&self);
    ltlm_session_options options = {.sampler = {.set = true, .top_k = 3, .top_p = 1, .temperature = 1},
                                    .max_output_tokens = 6};
    ASSERT_INT(LTLM_OK, ltlm_session_create(self.engine, &options, &session, &self.err));
    ASSERT_IN("session_config_set_apply_prompt_template(0);", self.stub->log);
    ASSERT_IN("session_config_set_max_output_tokens(6);", self.stub->log);
    ASSERT_IN("sampler_params_set_top_k(3);", self.stub->log);
    ASSERT_INT(2, self.stub->live);
    delete(&self, session);
    self.stub->log[0] = '\0';
    delete(&self, create(&self)); /* also without any option */
    ASSERT_IN("session_config_set_apply_prompt_template(0);", self.stub->log);
    close_all(&self);
}

TEST(a_session_that_cannot_be_made_has_a_reason)
{
    fixture self;
    ltlm_session *session;
    open_engine(&self);
    let_fail(&self, "engine_create_session", 9, "FAILED_PRECONDITION: no");
    ASSERT_INT(LTLM_E_ENGINE, ltlm_session_create(self.engine, NULL, &session, &self.err));
    ASSERT(!session);
    ASSERT_STR("FAILED_PRECONDITION: no", self.err.reason);
    ltlm_session_options options = {.max_output_tokens = -1};
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_session_create(self.engine, &options, &session, &self.err));
    ASSERT_INT(1, self.stub->live);
    close_all(&self);
}

TEST(text_goes_in_and_comes_out)
{
    fixture self;
    ltlm_stream *stream;
    ltlm_error end;
    open_engine(&self);
    ltlm_session *session = create(&self);
    ASSERT_INT(LTLM_OK, ltlm_session_prefill(session, "Once", &self.err));
    ASSERT_IN("input(0,Once);", self.stub->log);
    ASSERT_INT(LTLM_OK, ltlm_session_decode(session, 0, &stream, &self.err));
    ASSERT_INT(3, take_all(stream, &end));
    ASSERT_INT(LTLM_OK, end.status);
    ltlm_stream_delete(stream);
    delete(&self, session);
    close_all(&self);
}

TEST(a_session_runs_one_turn_at_a_time)
{
    fixture self;
    ltlm_stream *stream, *second;
    float total, *scores;
    size_t count;
    open_engine(&self);
    ltlm_session *session = create(&self);
    ASSERT_INT(LTLM_OK, ltlm_session_decode(session, 0, &stream, &self.err));
    ASSERT_INT(LTLM_E_BUSY, ltlm_session_decode(session, 0, &second, &self.err));
    ASSERT(!second);
    ASSERT_INT(LTLM_E_BUSY, ltlm_session_prefill(session, "x", &self.err));
    ASSERT_INT(LTLM_E_BUSY, ltlm_session_checkpoint(session, "x", &self.err));
    ASSERT_INT(LTLM_E_BUSY, ltlm_session_rewind(session, "x", &self.err));
    ASSERT_INT(LTLM_E_BUSY, score(&self, session, &total, &scores, &count));
    ASSERT_INT(LTLM_E_BUSY, ltlm_session_delete(session, &self.err));
    ltlm_stream_delete(stream);
    delete(&self, session);
    close_all(&self);
}

TEST(a_cancelled_decode_ends_as_cancelled)
{
    fixture self;
    ltlm_stream *stream;
    ltlm_error end;
    open_engine(&self);
    ltlm_session *session = create(&self);
    self.stub->ends_on_cancel = true;
    ASSERT_INT(LTLM_OK, ltlm_session_decode(session, 0, &stream, &self.err));
    ltlm_stream_cancel(stream);
    take_all(stream, &end);
    ASSERT_INT(LTLM_E_CANCELLED, end.status);
    ASSERT_STR("CANCELLED.", end.reason);
    ltlm_stream_delete(stream);
    delete(&self, session);
    close_all(&self);
}

TEST(session_calls_report_the_engines_reason)
{
    fixture self;
    ltlm_stream *stream;
    ltlm_turn_counts counts;
    open_engine(&self);
    ltlm_session *session = create(&self);
    let_fail(&self, "input_data_create", 8, "a");
    ASSERT_INT(LTLM_E_ENGINE, ltlm_session_prefill(session, "x", &self.err));
    ASSERT_STR("a", self.err.reason);
    let_fail(&self, "session_run_prefill", 3, "b");
    ASSERT_INT(LTLM_E_ENGINE, ltlm_session_prefill(session, "x", &self.err));
    ASSERT_STR("b", self.err.reason);
    let_fail(&self, "session_run_decode_async", 13, "c");
    ASSERT_INT(LTLM_E_ENGINE, ltlm_session_decode(session, 0, &stream, &self.err));
    ASSERT_STR("c", self.err.reason);
    ASSERT(!stream);
    let_fail(&self, "session_save_checkpoint", 13, "d");
    ASSERT_INT(LTLM_E_ENGINE, ltlm_session_checkpoint(session, "x", &self.err));
    ASSERT_STR("d", self.err.reason);
    let_fail(&self, "session_rewind_to_checkpoint", 5, "e");
    ASSERT_INT(LTLM_E_ENGINE, ltlm_session_rewind(session, "x", &self.err));
    ASSERT_STR("e", self.err.reason);
    let_fail(&self, "session_get_benchmark_info", 13, "f");
    ASSERT_INT(LTLM_E_ENGINE, ltlm_session_turn_counts(session, &counts, &self.err));
    ASSERT_STR("f", self.err.reason);
    delete(&self, session);
    close_all(&self);
}

TEST(missing_text_is_refused)
{
    fixture self;
    float total, *scores;
    size_t count;
    open_engine(&self);
    ltlm_session *session = create(&self);
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_session_prefill(session, NULL, &self.err));
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_session_checkpoint(session, NULL, &self.err));
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_session_rewind(session, NULL, &self.err));
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT,
               ltlm_session_score(session, NULL, &total, &scores, &count, &self.err));
    ASSERT_INT(LTLM_OK, ltlm_session_prefill(session, "still free", &self.err));
    delete(&self, session);
    close_all(&self);
}

TEST(checkpoints_carry_their_label)
{
    fixture self;
    open_engine(&self);
    ltlm_session *session = create(&self);
    ASSERT_INT(LTLM_OK, ltlm_session_checkpoint(session, "start", &self.err));
    ASSERT_INT(LTLM_OK, ltlm_session_rewind(session, "start", &self.err));
    ASSERT_IN("session_save_checkpoint(start);session_rewind_to_checkpoint(start);", self.stub->log);
    delete(&self, session);
    close_all(&self);
}

TEST(a_score_leaves_the_state_as_it_was)
{
    fixture self;
    float total, *scores;
    size_t count;
    open_engine(&self);
    ltlm_session *session = create(&self);
    self.stub->token_scores = 4;
    self.stub->log[0] = '\0';
    ASSERT_INT(LTLM_OK, score(&self, session, &total, &scores, &count));
    ASSERT(total == -2.0f);
    ASSERT_INT(4, count);
    ASSERT(scores[3] == -0.5f);
    ltlm_scores_free(scores);
    char *saved = strstr(self.stub->log, "session_save_checkpoint(");
    char *scored = strstr(self.stub->log, "score( there,1,1);");
    char *rewound = strstr(self.stub->log, "session_rewind_to_checkpoint(");
    ASSERT(saved && scored && rewound && saved < scored && scored < rewound);
    self.stub->token_scores = 0;
    ASSERT_INT(LTLM_OK, score(&self, session, &total, &scores, &count));
    ASSERT(!scores && count == 0);
    delete(&self, session);
    close_all(&self);
}

TEST(a_failed_score_rewinds_too)
{
    static const char *const failing[] = {"session_save_checkpoint", "session_run_text_scoring",
                                          "session_rewind_to_checkpoint"};
    fixture self;
    float total, *scores;
    size_t count;
    open_engine(&self);
    ltlm_session *session = create(&self);
    self.stub->token_scores = 2;
    for (int i = 0; i < 3; i++) {
        let_fail(&self, failing[i], 13, failing[i]);
        self.stub->log[0] = '\0';
        ASSERT_INT(LTLM_E_ENGINE, score(&self, session, &total, &scores, &count));
        ASSERT_STR(failing[i], self.err.reason);
        ASSERT(!scores && count == 0 && total == 0);
        ASSERT_INT(i > 0, strstr(self.stub->log, "session_rewind_to_checkpoint(") != NULL);
    }
    let_fail(&self, "responses_get_num_candidates", 0, NULL);
    ASSERT_INT(LTLM_E_ENGINE, score(&self, session, &total, &scores, &count));
    ASSERT_IN("no score", self.err.reason);
    delete(&self, session);
    close_all(&self);
}

TEST(a_library_without_checkpoints_says_so)
{
    fixture self;
    float total, *scores;
    size_t count;
    open_engine_of(&self, "libstub-no-checkpoint.so");
    ltlm_session *session = create(&self);
    ASSERT_INT(LTLM_E_UNSUPPORTED, ltlm_session_checkpoint(session, "x", &self.err));
    ASSERT_INT(LTLM_E_UNSUPPORTED, ltlm_session_rewind(session, "x", &self.err));
    ASSERT_INT(LTLM_E_UNSUPPORTED, score(&self, session, &total, &scores, &count));
    delete(&self, session);
    close_all(&self);
}

TEST(a_session_counts_its_turns)
{
    fixture self;
    ltlm_turn_counts counts;
    open_engine(&self);
    ltlm_session *session = create(&self);
    self.stub->prefill_turns = self.stub->decode_turns = 2;
    ASSERT_INT(LTLM_OK, ltlm_session_turn_counts(session, &counts, &self.err));
    ASSERT_INT(2, counts.prefills);
    ASSERT_INT(10 + 11, counts.prefill_tokens);
    ASSERT_INT(20 + 21, counts.decode_tokens);
    delete(&self, session);
    close_all(&self);
}

TEST(disposing_of_a_session_empties_the_variable)
{
    fixture self;
    open_engine(&self);
    ltlm_session *session = create(&self);
    ASSERT_INT(LTLM_OK, ltlm_session_dispose(&session, &self.err));
    ASSERT(!session);
    ASSERT_INT(LTLM_OK, ltlm_session_dispose(&session, &self.err));
    close_all(&self);
}

TEST(deleting_no_session_is_fine)
{
    ltlm_error err = {.status = 1};
    ASSERT_INT(LTLM_OK, ltlm_session_delete(NULL, &err));
    ASSERT_INT(LTLM_OK, err.status);
    ltlm_scores_free(NULL);
}

TESTS(RUN(a_session_is_raw)                              //
      RUN(a_session_that_cannot_be_made_has_a_reason)    //
      RUN(text_goes_in_and_comes_out)                    //
      RUN(a_session_runs_one_turn_at_a_time)             //
      RUN(a_cancelled_decode_ends_as_cancelled)          //
      RUN(session_calls_report_the_engines_reason)       //
      RUN(missing_text_is_refused)                       //
      RUN(checkpoints_carry_their_label)                 //
      RUN(a_score_leaves_the_state_as_it_was)            //
      RUN(a_failed_score_rewinds_too)                    //
      RUN(a_library_without_checkpoints_says_so)         //
      RUN(a_session_counts_its_turns)                    //
      RUN(disposing_of_a_session_empties_the_variable) //
      RUN(deleting_no_session_is_fine))
