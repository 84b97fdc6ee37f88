#include <fcntl.h>
#include <unistd.h>

#include "fixture.h"

static bool is_open(int fd) { return fcntl(fd, F_GETFD) != -1; }

static int some_fd(void)
{
    int fd = open("/dev/null", O_RDONLY);
    ASSERT(fd >= 0);
    return fd;
}

static void refused(fixture *self, const ltlm_engine_options *options, int32_t status, const char *reason)
{
    ltlm_engine *engine = self->engine;
    ASSERT_INT(status, ltlm_engine_create(self->library, options, &engine, &self->err));
    ASSERT(!engine);
    ASSERT_INT(status, self->err.status);
    ASSERT_IN(reason, self->err.reason);
}

TEST(every_option_reaches_the_engine)
{
    fixture self;
    open_library(&self, "libstub-engine.so");
    ltlm_engine_options options = engine_options();
    options.vision_backend = "gpu";
    options.audio_backend = "cpu";
    options.cache_dir = "/caches";
    options.threads = 3;
    options.max_tokens = 512;
    options.benchmark = true;
    ASSERT_INT(LTLM_OK, ltlm_engine_create(self.library, &options, &self.engine, &self.err));
    ASSERT_IN("settings(model.litertlm,cpu,gpu,cpu);", self.stub->log);
    ASSERT_IN("engine_settings_set_cache_dir(/caches);", self.stub->log);
    ASSERT_IN("engine_settings_set_num_threads(3);", self.stub->log);
    ASSERT_IN("engine_settings_set_audio_num_threads(3);", self.stub->log);
    ASSERT_IN("engine_settings_set_max_num_tokens(512);", self.stub->log);
    ASSERT_IN("engine_settings_enable_benchmark();", self.stub->log);
    ASSERT_INT(1, self.stub->live); /* the settings are gone */
    close_all(&self);
}

TEST(an_option_that_is_not_set_is_not_passed)
{
    fixture self;
    open_engine(&self);
    ASSERT_IN("settings(model.litertlm,cpu,NULL,NULL);", self.stub->log);
    ASSERT(!strstr(self.stub->log, "cache_dir")); /* NULL crashes the engine */
    ASSERT(!strstr(self.stub->log, "max_num_tokens"));
    ASSERT(!strstr(self.stub->log, "audio_num_threads"));
    ASSERT(!strstr(self.stub->log, "benchmark"));
    close_all(&self);
}

TEST(bad_options_are_refused_before_the_engine_sees_them)
{
    fixture self;
    open_library(&self, "libstub-engine.so");
    ltlm_engine_options options = engine_options();
    options.path = NULL;
    refused(&self, &options, LTLM_E_INVALID_ARGUMENT, "neither path nor fd");
    options = engine_options();
    options.backend = NULL;
    refused(&self, &options, LTLM_E_INVALID_ARGUMENT, "backend is NULL");
    options.backend = "gpu_artisan"; /* aborts the engine */
    refused(&self, &options, LTLM_E_INVALID_ARGUMENT, "backend \"gpu_artisan\"");
    options = engine_options();
    options.vision_backend = "GPU";
    refused(&self, &options, LTLM_E_INVALID_ARGUMENT, "vision_backend \"GPU\"");
    options = engine_options();
    options.audio_backend = "";
    refused(&self, &options, LTLM_E_INVALID_ARGUMENT, "audio_backend \"\"");
    options = engine_options();
    options.threads = 0;
    refused(&self, &options, LTLM_E_INVALID_ARGUMENT, "threads is 0");
    options = engine_options();
    options.max_tokens = -1;
    refused(&self, &options, LTLM_E_INVALID_ARGUMENT, "max_tokens is -1");
    ASSERT_STR("", self.stub->log);
    close_all(&self);
}

TEST(a_failed_load_has_the_engines_reason)
{
    fixture self;
    open_library(&self, "libstub-engine.so");
    ltlm_engine_options options = engine_options();
    let_fail(&self, "engine_create", 5, "NOT_FOUND: open() failed: model.litertlm");
    refused(&self, &options, LTLM_E_ENGINE, "NOT_FOUND: open() failed: model.litertlm");
    ASSERT_INT(5, self.err.engine_code);
    let_fail(&self, "engine_settings_create", 3, "Unsupported backend");
    refused(&self, &options, LTLM_E_ENGINE, "Unsupported backend");
    ASSERT_INT(3, self.err.engine_code);
    close_all(&self);
}

TEST(a_stale_reason_is_not_reported)
{
    fixture self;
    open_library(&self, "libstub-engine.so");
    ltlm_engine_options options = engine_options();
    let_fail(&self, "engine_create", 5, "NOT_FOUND: old");
    refused(&self, &options, LTLM_E_ENGINE, "NOT_FOUND: old");
    let_fail(&self, "engine_create", 2, NULL);
    refused(&self, &options, LTLM_E_ENGINE, "");
    ASSERT_STR("", self.err.reason);
    ASSERT_INT(2, self.err.engine_code);
    let_fail(&self, "engine_create", 0, NULL);
    refused(&self, &options, LTLM_E_ENGINE, "");
    ASSERT_INT(0, self.err.engine_code);
    close_all(&self);
}

/* ---- descriptors ---- */

TEST(a_descriptor_is_the_engines_until_it_is_deleted)
{
    fixture self;
    open_library(&self, "libstub-engine.so");
    ltlm_engine_options options = engine_options();
    options.path = NULL;
    options.fd = some_fd();
    ASSERT_INT(LTLM_OK, ltlm_engine_create(self.library, &options, &self.engine, &self.err));
    ASSERT_IN("settings(fd,cpu,NULL,NULL);", self.stub->log);
    ASSERT(is_open(options.fd));
    close_all(&self);
    ASSERT(!is_open(options.fd));
}

TEST(a_descriptor_beside_a_path_is_left_alone)
{
    fixture self;
    open_library(&self, "libstub-engine.so");
    ltlm_engine_options options = engine_options();
    options.fd = some_fd();
    ASSERT_INT(LTLM_OK, ltlm_engine_create(self.library, &options, &self.engine, &self.err));
    close_all(&self);
    ASSERT(is_open(options.fd));
    close(options.fd);
}

/* What the library closes, the stub opens again at once under the same number. Closing it a second time would
 * close that. */
static void fail_with_fd(const char *function)
{
    fixture self;
    open_library(&self, "libstub-engine.so");
    self.stub->reuse_closed_fd = true;
    ltlm_engine_options options = engine_options();
    options.path = NULL;
    options.fd = some_fd();
    let_fail(&self, function, 13, "INTERNAL: broken");
    refused(&self, &options, LTLM_E_ENGINE, "INTERNAL: broken");
    ASSERT(is_open(options.fd));
    close(options.fd);
    close_all(&self);
}

TEST(a_descriptor_is_closed_once_when_the_load_fails) { fail_with_fd("engine_create"); }

TEST(a_descriptor_is_closed_once_when_the_settings_are_refused)
{
    fail_with_fd("engine_settings_create_from_raw_file_descriptor");
}

TEST(a_descriptor_is_closed_when_the_engine_is_not_asked)
{
    fixture self;
    open_library(&self, "libstub-engine.so");
    ltlm_engine_options options = engine_options();
    options.path = NULL;
    options.backend = "foo";
    options.fd = some_fd();
    refused(&self, &options, LTLM_E_INVALID_ARGUMENT, "backend \"foo\"");
    ASSERT(!is_open(options.fd));
    options.backend = "cpu";
    options.fd = some_fd();
    test_alloc_fail_after(0);
    refused(&self, &options, LTLM_E_NO_MEMORY, "");
    test_alloc_fail_after(-1);
    ASSERT(!is_open(options.fd));
    close_all(&self);
}

/* ---- life ---- */

TEST(an_engine_outlives_its_children)
{
    fixture self;
    ltlm_conversation *conversation;
    ltlm_session *session;
    open_engine(&self);
    ASSERT_INT(LTLM_OK, ltlm_conversation_create(self.engine, NULL, &conversation, &self.err));
    ASSERT_INT(LTLM_OK, ltlm_session_create(self.engine, NULL, &session, &self.err));
    ASSERT_INT(LTLM_E_BUSY, ltlm_engine_delete(self.engine, &self.err));
    ASSERT_INT(LTLM_OK, ltlm_conversation_delete(conversation, &self.err));
    ASSERT_INT(LTLM_E_BUSY, ltlm_engine_delete(self.engine, &self.err));
    ASSERT_INT(LTLM_OK, ltlm_session_delete(session, &self.err));
    close_all(&self);
}

TEST(deleting_no_engine_is_fine)
{
    ltlm_error err = {.status = 1};
    ASSERT_INT(LTLM_OK, ltlm_engine_delete(NULL, &err));
    ASSERT_INT(LTLM_OK, err.status);
}

/* ---- tokenizer ---- */

TEST(text_becomes_tokens_and_back)
{
    fixture self;
    ltlm_tokens tokens;
    char *text;
    open_engine(&self);
    ASSERT_INT(LTLM_OK, ltlm_engine_tokenize(self.engine, "abc", &tokens, &self.err));
    ASSERT_INT(3, tokens.count);
    ASSERT_INT('c', tokens.ids[2]);
    ASSERT_INT(LTLM_OK, ltlm_engine_detokenize(self.engine, tokens.ids, tokens.count, &text, &self.err));
    ASSERT_STR("abc", text);
    ltlm_string_free(text);
    ltlm_tokens_clear(&tokens);
    ASSERT(!tokens.ids);
    ltlm_tokens_clear(&tokens);
    ltlm_tokens_clear(NULL);
    close_all(&self);
}

TEST(nothing_has_no_tokens)
{
    fixture self;
    ltlm_tokens tokens = {(int32_t *)&self, 7};
    char *text;
    open_engine(&self);
    ASSERT_INT(LTLM_OK, ltlm_engine_tokenize(self.engine, "", &tokens, &self.err));
    ASSERT_INT(0, tokens.count);
    ASSERT(!tokens.ids);
    ASSERT_INT(LTLM_OK, ltlm_engine_detokenize(self.engine, NULL, 0, &text, &self.err));
    ASSERT_STR("", text);
    ltlm_string_free(text);
    close_all(&self);
}

TEST(tokenizer_failures_have_the_engines_reason)
{
    fixture self;
    ltlm_tokens tokens;
    char *text;
    const int32_t ids[1] = {1};
    open_engine(&self);
    let_fail(&self, "engine_tokenize", 13, "INTERNAL: no tokens");
    ASSERT_INT(LTLM_E_ENGINE, ltlm_engine_tokenize(self.engine, "abc", &tokens, &self.err));
    ASSERT_STR("INTERNAL: no tokens", self.err.reason);
    let_fail(&self, "engine_detokenize", 13, "INTERNAL: no text");
    ASSERT_INT(LTLM_E_ENGINE, ltlm_engine_detokenize(self.engine, ids, 1, &text, &self.err));
    ASSERT_STR("INTERNAL: no text", self.err.reason);
    ASSERT(!text && !tokens.ids);
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_engine_tokenize(self.engine, NULL, &tokens, &self.err));
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_engine_detokenize(self.engine, NULL, 1, &text, &self.err));
    close_all(&self);
}

TESTS(RUN(every_option_reaches_the_engine)                            //
      RUN(an_option_that_is_not_set_is_not_passed)                    //
      RUN(bad_options_are_refused_before_the_engine_sees_them)        //
      RUN(a_failed_load_has_the_engines_reason)                       //
      RUN(a_stale_reason_is_not_reported)                             //
      RUN(a_descriptor_is_the_engines_until_it_is_deleted)            //
      RUN(a_descriptor_beside_a_path_is_left_alone)                   //
      RUN(a_descriptor_is_closed_once_when_the_load_fails)            //
      RUN(a_descriptor_is_closed_once_when_the_settings_are_refused)  //
      RUN(a_descriptor_is_closed_when_the_engine_is_not_asked)        //
      RUN(an_engine_outlives_its_children)                            //
      RUN(deleting_no_engine_is_fine)                                 //
      RUN(text_becomes_tokens_and_back)                               //
      RUN(nothing_has_no_tokens)                                      //
      RUN(tokenizer_failures_have_the_engines_reason))
