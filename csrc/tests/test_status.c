#include "status.h"
#include "testing.h"

/* No default: a status added to the header and not here is a compiler error. */
static const char *name_of(ltlm_status status)
{
    switch (status) {
    case LTLM_OK: return "OK";
    case LTLM_E_NO_MEMORY: return "NO_MEMORY";
    case LTLM_E_INVALID_ARGUMENT: return "INVALID_ARGUMENT";
    case LTLM_E_LIBRARY_NOT_FOUND: return "LIBRARY_NOT_FOUND";
    case LTLM_E_LIBRARY_MISMATCH: return "LIBRARY_MISMATCH";
    case LTLM_E_UNSUPPORTED: return "UNSUPPORTED";
    case LTLM_E_ENGINE: return "ENGINE";
    case LTLM_E_CANCELLED: return "CANCELLED";
    case LTLM_E_TIMED_OUT: return "TIMED_OUT";
    case LTLM_E_BUSY: return "BUSY";
    case LTLM_E_ENDED: return "ENDED";
    }
    return "UNKNOWN";
}

TEST(every_status_has_its_name)
{
    for (int32_t status = 0; status >= -20; status--) {
        ASSERT_STR(name_of((ltlm_status)status), ltlm_status_name(status));
    }
    ASSERT_STR("UNKNOWN", ltlm_status_name(1));
}

TEST(success_overwrites_an_old_error)
{
    ltlm_error err;
    ASSERT_INT(LTLM_E_ENGINE, ltlm__fail_engine(&err, LTLM_E_ENGINE, 13, "INTERNAL: broken"));
    ASSERT_STR("INTERNAL: broken", err.reason);
    ASSERT_INT(13, err.engine_code);
    ASSERT_INT(LTLM_OK, ltlm__succeed(&err));
    ASSERT_INT(LTLM_OK, err.status);
    ASSERT_INT(0, err.engine_code);
    ASSERT_STR("", err.reason);
}

TEST(nobody_has_to_ask_for_the_reason)
{
    ASSERT_INT(LTLM_OK, ltlm__succeed(NULL));
    ASSERT_INT(LTLM_E_BUSY, ltlm__fail(NULL, LTLM_E_BUSY, "%s", "busy"));
    ASSERT_INT(LTLM_E_NO_MEMORY, ltlm__fail_no_memory(NULL));
    ASSERT_INT(LTLM_E_ENGINE, ltlm__fail_engine(NULL, LTLM_E_ENGINE, 1, NULL));
}

TEST(an_engine_without_words_gives_an_empty_reason)
{
    ltlm_error err;
    ltlm__fail_engine(&err, LTLM_E_ENGINE, 5, NULL);
    ASSERT_STR("", err.reason);
    ASSERT_INT(5, err.engine_code);
}

/* Fills `text` with `prefix` bytes of 'a' and then copies of a character of several bytes. */
static void fill(char *text, size_t size, size_t prefix, const char *character)
{
    size_t used = prefix;
    memset(text, 'a', prefix);
    while (used + strlen(character) < size) {
        memcpy(text + used, character, strlen(character));
        used += strlen(character);
    }
    text[used] = '\0';
}

TEST(a_long_reason_is_cut_between_characters)
{
    static const char *const characters[] = {"b", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    ltlm_error err;
    char text[3000];
    for (size_t i = 0; i < 4; i++) {
        size_t width = strlen(characters[i]);
        for (size_t prefix = 0; prefix < 4; prefix++) {
            fill(text, sizeof text, prefix, characters[i]);
            ltlm__fail_engine(&err, LTLM_E_ENGINE, 2, text);
            size_t length = strlen(err.reason);
            ASSERT(length < sizeof err.reason && length + width >= sizeof err.reason);
            ASSERT_INT(0, (length - prefix) % width);
            ASSERT(memcmp(err.reason, text, length) == 0);
            ltlm__fail(&err, LTLM_E_ENGINE, "%s", text);
            ASSERT_INT(length, strlen(err.reason));
        }
    }
}

TEST(a_reason_that_is_not_utf8_is_kept)
{
    ltlm_error err;
    char text[3000];
    ltlm__fail_engine(&err, LTLM_E_ENGINE, 2, "\xFF\x80\x80 broken");
    ASSERT_STR("\xFF\x80\x80 broken", err.reason);
    fill(text, sizeof text, 0, "\x80");
    ltlm__fail_engine(&err, LTLM_E_ENGINE, 2, text);
    ASSERT_INT(sizeof err.reason - 1, strlen(err.reason));
}

TEST(the_code_is_read_from_the_words)
{
    ASSERT_INT(1, ltlm__absl_code("CANCELLED: Task cancelled"));
    ASSERT_INT(1, ltlm__absl_code("CANCELLED."));
    ASSERT_INT(3, ltlm__absl_code("INVALID_ARGUMENT: Input token ids are too long."));
    ASSERT_INT(9, ltlm__absl_code("FAILED_PRECONDITION: x"));
    ASSERT_INT(13, ltlm__absl_code("INTERNAL"));
    ASSERT_INT(16, ltlm__absl_code("UNAUTHENTICATED: x"));
    ASSERT_INT(2, ltlm__absl_code("INTERNALS: x"));
    ASSERT_INT(2, ltlm__absl_code("Something else"));
    ASSERT_INT(2, ltlm__absl_code(""));
}

TESTS(RUN(every_status_has_its_name)                       //
      RUN(success_overwrites_an_old_error)                 //
      RUN(nobody_has_to_ask_for_the_reason)                //
      RUN(an_engine_without_words_gives_an_empty_reason)   //
      RUN(a_long_reason_is_cut_between_characters)         //
      RUN(a_reason_that_is_not_utf8_is_kept)               //
      RUN(the_code_is_read_from_the_words))
