/* Every call is tried with its first, second, ... allocation failing, until it succeeds: it must report
 * LTLM_E_NO_MEMORY, leak nothing here or in the engine, and leave its handle usable. */
#include "fixture.h"

/* One attempt: LTLM_OK, in which case it has also cleaned up, or the failure. */
typedef int32_t (*attempt)(fixture *self, void *handle);

/* How many allocations were needed. */
static int fail_each_allocation(fixture *self, void *handle, attempt attempt)
{
    int blocks = test_alloc_live(), objects = self->stub->live;
    for (int successes = 0; successes < 100; successes++) {
        test_alloc_fail_after(successes);
        int32_t status = attempt(self, handle);
        bool failed = test_alloc_has_failed();
        test_alloc_fail_after(-1);
        ASSERT_INT(objects, self->stub->live);
        if (status == LTLM_OK && !failed) {
            return successes;
        }
        ASSERT_INT(LTLM_E_NO_MEMORY, status);
        ASSERT_INT(LTLM_E_NO_MEMORY, self->err.status);
        ASSERT_INT(0, self->err.engine_code);
        ASSERT_INT(blocks, test_alloc_live());
    }
    test_failed(__FILE__, __LINE__, "it never succeeds");
}

static int32_t open_attempt(fixture *self, void *unused)
{
    (void)unused;
    ltlm_library *library;
    int32_t status = ltlm_library_open(test_library("libstub-engine.so"), &library, &self->err);
    ASSERT((status == LTLM_OK) == (library != NULL));
    ltlm_library_close(library, NULL);
    return status;
}

static int32_t engine_attempt(fixture *self, void *unused)
{
    (void)unused;
    ltlm_engine *engine;
    ltlm_engine_options options = engine_options();
    int32_t status = ltlm_engine_create(self->library, &options, &engine, &self->err);
    ASSERT((status == LTLM_OK) == (engine != NULL));
    ltlm_engine_delete(engine, NULL);
    return status;
}

static int32_t tokenize_attempt(fixture *self, void *unused)
{
    (void)unused;
    ltlm_tokens tokens;
    int32_t status = ltlm_engine_tokenize(self->engine, "abc", &tokens, &self->err);
    ASSERT_INT(status == LTLM_OK ? 3 : 0, tokens.count);
    ltlm_tokens_clear(&tokens);
    return status;
}

static int32_t detokenize_attempt(fixture *self, void *unused)
{
    (void)unused;
    const int32_t ids[2] = {'a', 'b'};
    char *text;
    int32_t status = ltlm_engine_detokenize(self->engine, ids, 2, &text, &self->err);
    ltlm_string_free(text);
    return status;
}

static int32_t conversation_attempt(fixture *self, void *unused)
{
    (void)unused;
    ltlm_conversation *conversation;
    int32_t status = ltlm_conversation_create(self->engine, NULL, &conversation, &self->err);
    ltlm_conversation_delete(conversation, NULL);
    return status;
}

static int32_t session_attempt(fixture *self, void *unused)
{
    (void)unused;
    ltlm_session *session;
    int32_t status = ltlm_session_create(self->engine, NULL, &session, &self->err);
    ltlm_session_delete(session, NULL);
    return status;
}

TEST(creating_survives)
{
    fixture self;
    open_engine(&self);
    ASSERT_INT(1, fail_each_allocation(&self, NULL, open_attempt));
    ASSERT_INT(1, fail_each_allocation(&self, NULL, engine_attempt));
    ASSERT_INT(1, fail_each_allocation(&self, NULL, conversation_attempt));
    ASSERT_INT(1, fail_each_allocation(&self, NULL, session_attempt));
    close_all(&self);
}

TEST(tokenizing_survives)
{
    fixture self;
    open_engine(&self);
    ASSERT_INT(1, fail_each_allocation(&self, NULL, tokenize_attempt));
    ASSERT_INT(1, fail_each_allocation(&self, NULL, detokenize_attempt));
    close_all(&self);
}

static int32_t clone_attempt(fixture *self, void *conversation)
{
    ltlm_conversation *clone;
    int32_t status = ltlm_conversation_clone(conversation, &clone, &self->err);
    ltlm_conversation_delete(clone, NULL);
    return status;
}

static int32_t render_attempt(fixture *self, void *conversation)
{
    char *text;
    int32_t status = ltlm_conversation_render(conversation, "{}", &text, &self->err);
    ltlm_string_free(text);
    return status;
}

static int32_t preface_attempt(fixture *self, void *conversation)
{
    char *text;
    int32_t status = ltlm_conversation_render_preface(conversation, &text, &self->err);
    ltlm_string_free(text);
    return status;
}

TEST(asking_a_conversation_survives)
{
    fixture self;
    ltlm_conversation *conversation;
    open_engine(&self);
    ASSERT_INT(LTLM_OK, ltlm_conversation_create(self.engine, NULL, &conversation, &self.err));
    ASSERT_INT(1, fail_each_allocation(&self, conversation, clone_attempt));
    ASSERT_INT(1, fail_each_allocation(&self, conversation, render_attempt));
    ASSERT_INT(1, fail_each_allocation(&self, conversation, preface_attempt));
    ASSERT_INT(LTLM_OK, ltlm_conversation_delete(conversation, &self.err));
    close_all(&self);
}

static int32_t score_attempt(fixture *self, void *session)
{
    float total, *scores;
    size_t count;
    int32_t status = ltlm_session_score(session, "x", &total, &scores, &count, &self->err);
    ltlm_scores_free(scores);
    return status;
}

TEST(scoring_survives)
{
    fixture self;
    ltlm_session *session;
    open_engine(&self);
    self.stub->token_scores = 5;
    ASSERT_INT(LTLM_OK, ltlm_session_create(self.engine, NULL, &session, &self.err));
    ASSERT_INT(1, fail_each_allocation(&self, session, score_attempt));
    ASSERT_INT(LTLM_OK, ltlm_session_delete(session, &self.err));
    close_all(&self);
}

/* A whole turn. A failure in the engine thread shows as the end, not as the result of send. Each attempt has a
 * conversation of its own, as husks stay with it. */
static int32_t turn_attempt(fixture *self, void *unused)
{
    (void)unused;
    ltlm_conversation *conversation;
    ltlm_stream *stream;
    int32_t status = ltlm_conversation_create(self->engine, NULL, &conversation, &self->err);
    if (status != LTLM_OK) {
        return status;
    }
    status = ltlm_conversation_send(conversation, USER_MESSAGE, NULL, NULL, 0, &stream, &self->err);
    if (status == LTLM_OK) {
        take_all(stream, &self->err);
        status = self->err.status;
        self->err.engine_code = 0;
        ltlm_stream_delete(stream);
    }
    ASSERT_INT(LTLM_OK, ltlm_conversation_delete(conversation, NULL));
    return status;
}

TEST(a_turn_survives)
{
    fixture self;
    open_engine(&self);
    self.stub->chunks = 2000; /* enough for several growths of the buffer */
    ASSERT(fail_each_allocation(&self, NULL, turn_attempt) >= 4);
    close_all(&self);
}

TEST(a_conversation_lives_on_after_a_failed_send)
{
    fixture self;
    ltlm_conversation *conversation;
    ltlm_stream *stream;
    ltlm_error end;
    open_engine(&self);
    ASSERT_INT(LTLM_OK, ltlm_conversation_create(self.engine, NULL, &conversation, &self.err));
    for (int successes = 0; successes < 2; successes++) {
        test_alloc_fail_after(successes);
        ASSERT_INT(LTLM_E_NO_MEMORY,
                   ltlm_conversation_send(conversation, USER_MESSAGE, NULL, NULL, 0, &stream, &self.err));
        ASSERT(!stream);
    }
    test_alloc_fail_after(-1);
    ASSERT(!strstr(self.stub->log, "send("));
    ASSERT_INT(LTLM_OK, ltlm_conversation_send(conversation, USER_MESSAGE, NULL, NULL, 0, &stream, &self.err));
    ASSERT_INT(3, take_all(stream, &end));
    ltlm_stream_delete(stream);
    ASSERT_INT(LTLM_OK, ltlm_conversation_delete(conversation, &self.err));
    close_all(&self);
}

TESTS(RUN(creating_survives)                              //
      RUN(tokenizing_survives)                            //
      RUN(asking_a_conversation_survives)                 //
      RUN(scoring_survives)                               //
      RUN(a_turn_survives)                                //
      RUN(a_conversation_lives_on_after_a_failed_send))
