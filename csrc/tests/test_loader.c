#include "fixture.h"

#define ALL_CAPABILITIES 511u

TEST(the_library_is_found_with_all_capabilities)
{
    fixture self;
    open_library(&self, "libstub-engine.so");
    ASSERT_INT(ALL_CAPABILITIES, ltlm_library_capabilities(self.library));
    ASSERT_INT(LTLM_OK, self.err.status);
    close_all(&self);
}

TEST(a_library_may_be_opened_twice)
{
    fixture self;
    ltlm_library *second;
    open_library(&self, "libstub-engine.so");
    ASSERT_INT(LTLM_OK, ltlm_library_open(test_library("libstub-engine.so"), &second, NULL));
    ASSERT(second != self.library);
    ASSERT_INT(LTLM_OK, ltlm_library_close(second, NULL));
    close_all(&self);
}

static ltlm_error refused(const char *path, int32_t status)
{
    ltlm_error err;
    int32_t unused = 0;
    ltlm_library *library = (ltlm_library *)&unused;
    ASSERT_INT(status, ltlm_library_open(path, &library, &err));
    ASSERT_INT(status, err.status);
    ASSERT(!library);
    ASSERT_INT(status, ltlm_library_open(path, &library, NULL));
    return err;
}

TEST(a_missing_library_is_reported_in_the_loaders_words)
{
    ltlm_error err = refused("/nowhere/liblitert-lm.so", LTLM_E_LIBRARY_NOT_FOUND);
    ASSERT_IN("/nowhere/liblitert-lm.so", err.reason);
    refused(NULL, LTLM_E_INVALID_ARGUMENT);
}

TEST(a_file_that_is_no_library_is_reported)
{
    ltlm_error err = refused("/proc/self/cmdline", LTLM_E_LIBRARY_NOT_FOUND);
    ASSERT_IN("/proc/self/cmdline", err.reason);
}

TEST(a_missing_function_is_named_with_the_file)
{
    ltlm_error err = refused(test_library("libstub-no-tokenize.so"), LTLM_E_LIBRARY_MISMATCH);
    ASSERT_IN("litert_lm_engine_tokenize", err.reason);
    ASSERT_IN("libstub-no-tokenize.so", err.reason);
}

TEST(the_later_interface_is_refused)
{
    ltlm_error err = refused(test_library("libstub-later.so"), LTLM_E_LIBRARY_MISMATCH);
    ASSERT_IN("litert_lm_cached_session_delete", err.reason);
    ASSERT_IN("libstub-later.so", err.reason);
}

TEST(an_optional_function_is_a_capability)
{
    fixture self;
    open_library(&self, "libstub-no-clone.so");
    ASSERT_INT(ALL_CAPABILITIES & ~LTLM_CAN_CLONE, ltlm_library_capabilities(self.library));
    close_all(&self);
}

TEST(scoring_needs_checkpoints)
{
    fixture self;
    open_library(&self, "libstub-no-checkpoint.so"); /* one function of the group is missing */
    ASSERT_INT(ALL_CAPABILITIES & ~(unsigned)(LTLM_CAN_CHECKPOINT | LTLM_CAN_SCORE),
               ltlm_library_capabilities(self.library));
    close_all(&self);
}

TEST(the_log_level_is_passed_on)
{
    fixture self;
    open_library(&self, "libstub-engine.so");
    ltlm_library_set_log_level(self.library, 1000);
    ASSERT_IN("set_min_log_level(1000);", self.stub->log);
    close_all(&self);
}

TEST(closing_nothing_is_fine)
{
    ltlm_error err = {.status = 1};
    ASSERT_INT(LTLM_OK, ltlm_library_close(NULL, &err));
    ASSERT_INT(LTLM_OK, err.status);
    ASSERT_INT(LTLM_OK, ltlm_library_close(NULL, NULL));
}

TEST(a_library_outlives_its_engines)
{
    fixture self;
    open_engine(&self);
    ASSERT_INT(LTLM_E_BUSY, ltlm_library_close(self.library, &self.err));
    ASSERT_INT(LTLM_E_BUSY, self.err.status);
    ASSERT_INT(ALL_CAPABILITIES, ltlm_library_capabilities(self.library)); /* nothing changed */
    close_all(&self);
}

TESTS(RUN(the_library_is_found_with_all_capabilities)           //
      RUN(a_library_may_be_opened_twice)                        //
      RUN(a_missing_library_is_reported_in_the_loaders_words)   //
      RUN(a_file_that_is_no_library_is_reported)                //
      RUN(a_missing_function_is_named_with_the_file)            //
      RUN(the_later_interface_is_refused)                       //
      RUN(an_optional_function_is_a_capability)                 //
      RUN(scoring_needs_checkpoints)                            //
      RUN(the_log_level_is_passed_on)                           //
      RUN(closing_nothing_is_fine)                              //
      RUN(a_library_outlives_its_engines))
