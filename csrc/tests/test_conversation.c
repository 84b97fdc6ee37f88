#include "fixture.h"

static ltlm_conversation *create(fixture *self)
{
    ltlm_conversation *conversation;
    ASSERT_INT(LTLM_OK, ltlm_conversation_create(self->engine, NULL, &conversation, &self->err));
    return conversation;
}

static void delete(fixture *self, ltlm_conversation *conversation)
{
    ASSERT_INT(LTLM_OK, ltlm_conversation_delete(conversation, &self->err));
}

static ltlm_stream *send(fixture *self, ltlm_conversation *conversation)
{
    ltlm_stream *stream;
    ASSERT_INT(LTLM_OK, ltlm_conversation_send(conversation, USER_MESSAGE, NULL, NULL, 0, &stream, &self->err));
    return stream;
}

static int32_t try_send(fixture *self, ltlm_conversation *conversation)
{
    ltlm_stream *stream = (ltlm_stream *)&self;
    int32_t status =
        ltlm_conversation_send(conversation, USER_MESSAGE, NULL, NULL, 0, &stream, &self->err);
    ASSERT(!stream);
    return status;
}

/* ---- turns ---- */

TEST(a_turn_delivers_text_and_an_end)
{
    fixture self;
    ltlm_error end;
    open_engine(&self);
    ltlm_conversation *conversation = create(&self);
    for (int i = 0; i < 3; i++) {
        ltlm_stream *stream = send(&self, conversation);
        ASSERT_INT(3, take_all(stream, &end));
        ASSERT_INT(LTLM_OK, end.status);
        ASSERT(ltlm_stream_is_over(stream));
        ltlm_stream_delete(stream);
    }
    ASSERT_INT(0, self.stub->cancels);
    delete(&self, conversation);
    close_all(&self);
}

TEST(a_turn_passes_its_arguments_on)
{
    fixture self;
    ltlm_stream *stream;
    open_engine(&self);
    ltlm_conversation *conversation = create(&self);
    ASSERT_INT(LTLM_OK, ltlm_conversation_send(conversation, "[1]", "{\"a\":1}", NULL, 0, &stream, NULL));
    ltlm_stream_delete(stream);
    ASSERT_IN("send([1],{\"a\":1},0);", self.stub->log);
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT,
               ltlm_conversation_send(conversation, NULL, NULL, NULL, 0, &stream, &self.err));
    ASSERT(!stream);
    delete(&self, conversation);
    close_all(&self);
}

TEST(one_turn_at_a_time)
{
    fixture self;
    ltlm_conversation *clone;
    ltlm_error end;
    open_engine(&self);
    ltlm_conversation *conversation = create(&self);
    ltlm_stream *stream = send(&self, conversation);
    take_all(stream, &end);
    /* Also after its end: the stream is a child as long as it is there. */
    ASSERT_INT(LTLM_E_BUSY, try_send(&self, conversation));
    ASSERT_INT(LTLM_E_BUSY, ltlm_conversation_clone(conversation, &clone, &self.err));
    ASSERT(!clone);
    ASSERT_INT(LTLM_E_BUSY, ltlm_conversation_delete(conversation, &self.err));
    ltlm_stream_delete(stream);
    ASSERT_INT(LTLM_OK, ltlm_conversation_clone(conversation, &clone, &self.err));
    delete(&self, clone);
    delete(&self, conversation);
    close_all(&self);
}

TEST(a_failed_turn_ends_with_the_engines_reason)
{
    fixture self;
    ltlm_error end;
    open_engine(&self);
    ltlm_conversation *conversation = create(&self);
    self.stub->final_error = "INVALID_ARGUMENT: Input token ids are too long.";
    ltlm_stream *stream = send(&self, conversation);
    take_all(stream, &end);
    ASSERT_INT(LTLM_E_ENGINE, end.status);
    ASSERT_INT(3, end.engine_code);
    ASSERT_STR("INVALID_ARGUMENT: Input token ids are too long.", end.reason);
    ltlm_stream_delete(stream);
    delete(&self, conversation);
    close_all(&self);
}

TEST(a_refused_send_leaves_no_stream)
{
    fixture self;
    open_engine(&self);
    ltlm_conversation *conversation = create(&self);
    let_fail(&self, "conversation_send_message_stream", 3, "Failed to parse message JSON.");
    ASSERT_INT(LTLM_E_ENGINE, try_send(&self, conversation));
    ASSERT_INT(3, self.err.engine_code);
    ASSERT_STR("Failed to parse message JSON.", self.err.reason);
    self.stub->fail = NULL;
    self.stub->send_code = 13; /* and no words at all: the return value is the code */
    ASSERT_INT(LTLM_E_ENGINE, try_send(&self, conversation));
    ASSERT_INT(13, self.err.engine_code);
    ASSERT_STR("", self.err.reason);
    self.stub->send_code = 0;
    ltlm_stream_delete(send(&self, conversation)); /* the conversation is free again */
    delete(&self, conversation);
    close_all(&self);
}

/* ---- an engine that misbehaves ---- */

TEST(a_dead_conversation_calls_back_from_inside_send)
{
    fixture self;
    ltlm_error end;
    open_engine(&self);
    ltlm_conversation *conversation = create(&self);
    self.stub->calls_from_send = true;
    self.stub->chunks = 0;
    self.stub->final_error = "CANCELLED: Task cancelled";
    ltlm_stream *stream = send(&self, conversation);
    ASSERT(ltlm_stream_is_over(stream));
    ASSERT_INT(0, take_all(stream, &end));
    ASSERT_INT(LTLM_E_ENGINE, end.status); /* nobody asked for it */
    ASSERT_INT(1, end.engine_code);
    ltlm_stream_delete(stream);
    delete(&self, conversation);
    close_all(&self);
}

TEST(a_refused_send_that_called_back_delivers_nothing)
{
    fixture self;
    open_engine(&self);
    ltlm_conversation *conversation = create(&self);
    self.stub->calls_from_send = true;
    self.stub->send_code = 13;
    ASSERT_INT(LTLM_E_ENGINE, try_send(&self, conversation));
    delete(&self, conversation);
    close_all(&self);
}

TEST(a_refused_send_that_calls_back_late_harms_nobody)
{
    fixture self;
    open_engine(&self);
    ltlm_conversation *conversation = create(&self);
    self.stub->send_code = 13;
    self.stub->refused_turn_runs = true;
    self.stub->hold_before = 0;
    ASSERT_INT(LTLM_E_ENGINE, try_send(&self, conversation));
    STUB_SET(self.stub, released, true);
    STUB_AWAIT(self.stub, delivered, 4); /* three chunks and a final, into the husk */
    delete(&self, conversation);
    close_all(&self);
}

TEST(a_second_final_finds_a_husk)
{
    fixture self;
    ltlm_error end;
    open_engine(&self);
    ltlm_conversation *conversation = create(&self);
    self.stub->text_after_final = true;
    self.stub->second_final = "INTERNAL: second";
    self.stub->hold_second_final = true;
    ltlm_stream *stream = send(&self, conversation);
    ASSERT_INT(3, take_all(stream, &end));
    ASSERT_INT(LTLM_OK, end.status);
    ltlm_stream_delete(stream);
    STUB_SET(self.stub, released, true); /* only now, with the stream deleted */
    STUB_AWAIT(self.stub, delivered, 6);
    delete(&self, conversation);
    close_all(&self);
}

TEST(the_first_final_counts)
{
    fixture self;
    ltlm_error end;
    open_engine(&self);
    ltlm_conversation *conversation = create(&self);
    self.stub->final_error = "\xFF\xFE";
    self.stub->second_final = "";
    ltlm_stream *stream = send(&self, conversation);
    STUB_AWAIT(self.stub, delivered, 5);
    ASSERT_INT(3, take_all(stream, &end));
    ASSERT_INT(LTLM_E_ENGINE, end.status);
    ASSERT_INT(2, end.engine_code);
    ASSERT_STR("\xFF\xFE", end.reason);
    ltlm_stream_delete(stream);
    delete(&self, conversation);
    close_all(&self);
}

TEST(huge_chunks_pass)
{
    fixture self;
    ltlm_batch batch;
    ltlm_stream *stream;
    size_t bytes = 0;
    char *text = malloc(1 << 20);
    memset(text, 'z', 1 << 20);
    text[(1 << 20) - 1] = '\0';
    open_engine(&self);
    ltlm_conversation *conversation = create(&self);
    self.stub->chunks = 20;
    self.stub->text = text;
    ASSERT_INT(LTLM_OK, ltlm_conversation_send(conversation, USER_MESSAGE, NULL, NULL, 100, &stream, &self.err));
    do {
        ASSERT_INT(LTLM_OK, ltlm_stream_take(stream, 5, 1000, -1, &batch));
        bytes += batch.size;
    } while (!batch.ended);
    ASSERT_INT(20 << 20, bytes);
    ltlm_stream_delete(stream);
    delete(&self, conversation);
    close_all(&self);
    free(text);
}

/* ---- cancel ---- */

TEST(a_cancelled_turn_ends_as_cancelled)
{
    fixture self;
    ltlm_error end;
    open_engine(&self);
    ltlm_conversation *conversation = create(&self);
    self.stub->hold_before = 2;
    ltlm_stream *stream = send(&self, conversation);
    STUB_AWAIT(self.stub, delivered, 2);
    ltlm_stream_cancel(stream);
    ASSERT_INT(2, take_all(stream, &end));
    ASSERT_INT(LTLM_E_CANCELLED, end.status);
    ASSERT_INT(1, end.engine_code);
    ltlm_stream_delete(stream);
    delete(&self, conversation);
    close_all(&self);
}

TEST(a_turn_that_ends_only_when_cancelled_can_be_left)
{
    fixture self;
    open_engine(&self);
    ltlm_conversation *conversation = create(&self);
    self.stub->ends_on_cancel = true;
    ltlm_stream_delete(send(&self, conversation));
    delete(&self, conversation);
    close_all(&self);
}

TEST(cancels_that_are_lost_are_repeated)
{
    fixture self;
    ltlm_error end;
    open_engine(&self);
    ltlm_conversation *conversation = create(&self);
    self.stub->ends_on_cancel = true;
    self.stub->cancels_lost = 3;
    ltlm_stream_delete(send(&self, conversation)); /* by delete */
    ASSERT(self.stub->cancels >= 4);
    STUB_SET(self.stub, cancels_lost, 3);
    ltlm_stream *stream = send(&self, conversation);
    ltlm_stream_cancel(stream);
    take_all(stream, &end); /* by take */
    ASSERT_INT(LTLM_E_CANCELLED, end.status);
    ltlm_stream_delete(stream);
    delete(&self, conversation);
    close_all(&self);
}

static void *end_the_prefill(void *argument)
{
    stub_control *stub = argument;
    STUB_AWAIT(stub, cancels, 3);
    STUB_SET(stub, prefilling, false);
    return NULL;
}

TEST(a_prefill_that_ignores_the_cancel_is_waited_for)
{
    fixture self;
    pthread_t prefill;
    open_engine(&self);
    ltlm_conversation *conversation = create(&self);
    self.stub->prefilling = true;
    self.stub->hold_before = 0;
    ltlm_stream *stream = send(&self, conversation);
    pthread_create(&prefill, NULL, end_the_prefill, self.stub);
    ltlm_stream_delete(stream);
    pthread_join(prefill, NULL);
    delete(&self, conversation);
    close_all(&self);
}

TEST(a_natural_end_wins_over_a_cancel)
{
    fixture self;
    ltlm_error end;
    open_engine(&self);
    ltlm_conversation *conversation = create(&self);
    self.stub->ignores_cancel = true;
    self.stub->hold_before = 3;
    ltlm_stream *stream = send(&self, conversation);
    ltlm_stream_cancel(stream);
    STUB_SET(self.stub, released, true);
    ASSERT_INT(3, take_all(stream, &end));
    ASSERT_INT(LTLM_OK, end.status);
    ltlm_stream_delete(stream);
    delete(&self, conversation);
    close_all(&self);
}

static void *cancel_often(void *argument)
{
    for (int i = 0; i < 20; i++) {
        ltlm_stream_cancel(argument);
    }
    return NULL;
}

TEST(a_cancel_may_come_from_any_thread)
{
    fixture self;
    ltlm_error end;
    pthread_t threads[3];
    open_engine(&self);
    ltlm_conversation *conversation = create(&self);
    self.stub->ends_on_cancel = true;
    ltlm_stream *stream = send(&self, conversation);
    for (int i = 0; i < 3; i++) {
        pthread_create(&threads[i], NULL, cancel_often, stream);
    }
    take_all(stream, &end);
    ASSERT_INT(LTLM_E_CANCELLED, end.status);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    ltlm_stream_delete(stream);
    delete(&self, conversation);
    close_all(&self);
}

TEST(turns_may_be_left_at_any_moment)
{
    fixture self;
    ltlm_batch batch;
    ltlm_stream *stream;
    open_engine(&self);
    ltlm_conversation *conversation = create(&self);
    self.stub->chunks = 40;
    for (int i = 0; i < 100; i++) {
        ASSERT_INT(LTLM_OK, ltlm_conversation_send(conversation, USER_MESSAGE, NULL, NULL, (size_t)i % 5 + 1,
                                                   &stream, &self.err));
        for (int k = 0; k < i % 6; k++) {
            ltlm_stream_take(stream, 1, 0, 5, &batch);
        }
        ltlm_stream_delete(stream);
    }
    delete(&self, conversation);
    close_all(&self);
}

/* ---- the rest ---- */

TEST(a_clone_is_a_conversation_of_its_own)
{
    fixture self;
    ltlm_conversation *clone;
    ltlm_error end;
    open_engine(&self);
    ltlm_conversation *conversation = create(&self);
    ASSERT_INT(LTLM_OK, ltlm_conversation_clone(conversation, &clone, &self.err));
    delete(&self, conversation); /* in either order */
    ltlm_stream *stream = send(&self, clone);
    ASSERT_INT(3, take_all(stream, &end));
    ltlm_stream_delete(stream);
    let_fail(&self, "conversation_clone", 9, "FAILED_PRECONDITION: no");
    ASSERT_INT(LTLM_E_ENGINE, ltlm_conversation_clone(clone, &conversation, &self.err));
    ASSERT_INT(9, self.err.engine_code);
    ASSERT(!conversation);
    delete(&self, clone);
    close_all(&self);
}

TEST(a_library_without_clones_says_so)
{
    fixture self;
    ltlm_conversation *clone;
    open_engine_of(&self, "libstub-no-clone.so");
    ltlm_conversation *conversation = create(&self);
    ASSERT_INT(LTLM_E_UNSUPPORTED, ltlm_conversation_clone(conversation, &clone, &self.err));
    ASSERT_IN("clone", self.err.reason);
    ASSERT(!clone);
    delete(&self, conversation);
    close_all(&self);
}

TEST(lent_strings_are_copied)
{
    fixture self;
    char *first, *second, *preface;
    open_engine(&self);
    ltlm_conversation *conversation = create(&self);
    ASSERT_INT(LTLM_OK, ltlm_conversation_render(conversation, "{1}", &first, &self.err));
    ASSERT_INT(LTLM_OK, ltlm_conversation_render(conversation, "{2}", &second, &self.err));
    ASSERT_INT(LTLM_OK, ltlm_conversation_render_preface(conversation, &preface, &self.err));
    ASSERT_STR("<{1}>", first);
    ASSERT_STR("<{2}>", second);
    ASSERT_STR("<preface>", preface);
    ltlm_string_free(first);
    ltlm_string_free(second);
    ltlm_string_free(preface);
    ltlm_string_free(NULL);
    delete(&self, conversation);
    close_all(&self);
}

TEST(queries_report_the_engines_reason)
{
    fixture self;
    char *text;
    int32_t count;
    ltlm_turn_counts counts;
    open_engine(&self);
    ltlm_conversation *conversation = create(&self);
    ASSERT_INT(LTLM_OK, ltlm_conversation_token_count(conversation, &count, &self.err));
    ASSERT_INT(42, count);
    let_fail(&self, "conversation_get_token_count", 9, "FAILED_PRECONDITION: a");
    ASSERT_INT(LTLM_E_ENGINE, ltlm_conversation_token_count(conversation, &count, &self.err));
    ASSERT_INT(0, count);
    ASSERT_STR("FAILED_PRECONDITION: a", self.err.reason);
    let_fail(&self, "conversation_render_message_to_string", 13, "INTERNAL: b");
    ASSERT_INT(LTLM_E_ENGINE, ltlm_conversation_render(conversation, "{}", &text, &self.err));
    ASSERT_STR("INTERNAL: b", self.err.reason);
    ASSERT(!text);
    let_fail(&self, "conversation_render_preface_to_string", 13, "INTERNAL: c");
    ASSERT_INT(LTLM_E_ENGINE, ltlm_conversation_render_preface(conversation, &text, &self.err));
    ASSERT_STR("INTERNAL: c", self.err.reason);
    let_fail(&self, "conversation_get_benchmark_info", 13, "Benchmark is not enabled");
    ASSERT_INT(LTLM_E_ENGINE, ltlm_conversation_turn_counts(conversation, &counts, &self.err));
    ASSERT_STR("Benchmark is not enabled", self.err.reason);
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_conversation_render(conversation, NULL, &text, &self.err));
    delete(&self, conversation);
    close_all(&self);
}

static ltlm_turn_counts counts_of(fixture *self, ltlm_conversation *conversation, int prefills, int decodes)
{
    ltlm_turn_counts counts;
    self->stub->prefill_turns = prefills;
    self->stub->decode_turns = decodes;
    ASSERT_INT(LTLM_OK, ltlm_conversation_turn_counts(conversation, &counts, &self->err));
    return counts;
}

TEST(turn_counts_add_up)
{
    fixture self;
    open_engine(&self);
    ltlm_conversation *conversation = create(&self);
    ltlm_turn_counts counts = counts_of(&self, conversation, 0, 0);
    ASSERT_INT(0, counts.prefills + counts.decodes + counts.prefill_tokens + counts.decode_tokens);
    ASSERT_INT(0, counts.latest_prefill_tokens);
    counts = counts_of(&self, conversation, 3, 3);
    ASSERT_INT(3, counts.prefills);
    ASSERT_INT(3, counts.decodes);
    ASSERT_INT(10 + 11 + 12, counts.prefill_tokens);
    ASSERT_INT(12, counts.latest_prefill_tokens);
    ASSERT_INT(20 + 21 + 22, counts.decode_tokens);
    ASSERT(counts.prefill_tokens_per_second == 102 && counts.decode_tokens_per_second == 202);
    counts = counts_of(&self, conversation, 4, 3); /* the next turn did not come to decode */
    ASSERT_INT(10 + 11 + 12 + 13, counts.prefill_tokens);
    ASSERT_INT(20 + 21 + 22, counts.decode_tokens);
    delete(&self, conversation);
    close_all(&self);
}

TEST(deleting_no_conversation_is_fine)
{
    ltlm_error err = {.status = 1};
    ASSERT_INT(LTLM_OK, ltlm_conversation_delete(NULL, &err));
    ASSERT_INT(LTLM_OK, err.status);
}

TEST(disposing_empties_the_variable)
{
    fixture self;
    open_engine(&self);
    ltlm_conversation *conversation = create(&self);
    ltlm_stream *stream = send(&self, conversation);
    ASSERT_INT(LTLM_E_BUSY, ltlm_conversation_dispose(&conversation, &self.err));
    ASSERT(conversation);
    ASSERT_INT(LTLM_OK, ltlm_stream_dispose(&stream, &self.err));
    ASSERT(!stream);
    ASSERT_INT(LTLM_E_BUSY, ltlm_engine_dispose(&self.engine, &self.err));
    ASSERT_INT(LTLM_OK, ltlm_conversation_dispose(&conversation, &self.err));
    ASSERT(!conversation);
    ASSERT_INT(LTLM_OK, ltlm_engine_dispose(&self.engine, &self.err));
    ASSERT(!self.engine);
    close_all(&self);
}

TEST(disposing_nothing_is_fine)
{
    ltlm_engine *engine = NULL;
    ltlm_conversation *conversation = NULL;
    ltlm_stream *stream = NULL;
    ltlm_error err = {.status = 1};
    ASSERT_INT(LTLM_OK, ltlm_engine_dispose(&engine, &err));
    ASSERT_INT(LTLM_OK, ltlm_conversation_dispose(&conversation, &err));
    ASSERT_INT(LTLM_OK, ltlm_stream_dispose(&stream, &err));
    ASSERT_INT(LTLM_OK, err.status);
}

TESTS(RUN(a_turn_delivers_text_and_an_end)                        //
      RUN(a_turn_passes_its_arguments_on)                         //
      RUN(one_turn_at_a_time)                                     //
      RUN(a_failed_turn_ends_with_the_engines_reason)             //
      RUN(a_refused_send_leaves_no_stream)                        //
      RUN(a_dead_conversation_calls_back_from_inside_send)        //
      RUN(a_refused_send_that_called_back_delivers_nothing)       //
      RUN(a_refused_send_that_calls_back_late_harms_nobody)       //
      RUN(a_second_final_finds_a_husk)                            //
      RUN(the_first_final_counts)                                 //
      RUN(huge_chunks_pass)                                       //
      RUN(a_cancelled_turn_ends_as_cancelled)                     //
      RUN(a_turn_that_ends_only_when_cancelled_can_be_left)       //
      RUN(cancels_that_are_lost_are_repeated)                     //
      RUN(a_prefill_that_ignores_the_cancel_is_waited_for)        //
      RUN(a_natural_end_wins_over_a_cancel)                       //
      RUN(a_cancel_may_come_from_any_thread)                      //
      RUN(turns_may_be_left_at_any_moment)                        //
      RUN(a_clone_is_a_conversation_of_its_own)                   //
      RUN(a_library_without_clones_says_so)                       //
      RUN(lent_strings_are_copied)                                //
      RUN(queries_report_the_engines_reason)                      //
      RUN(turn_counts_add_up)                                     //
      RUN(deleting_no_conversation_is_fine)                       //
      RUN(disposing_empties_the_variable)                         //
      RUN(disposing_nothing_is_fine))
