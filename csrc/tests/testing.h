/* testing.h - what the C tests are written with.
 *
 * A test is TEST(name) { ... } plus RUN(name) in the list at the end of its file. `test_x` runs all of a
 * file's tests, `test_x name` one of them, in a process that is killed when it hangs. Every test fails that
 * leaves a block of csrc/ allocated, under any build; the sanitizer builds find the rest.
 */
#ifndef LTLM_TESTING_H
#define LTLM_TESTING_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *name;
    void (*run)(void);
} test_case;

#define TEST(name) static void name(void)
#define RUN(name) {#name, name},
#define TESTS(...)                                                                                  \
    int main(int count, char **arguments)                                                           \
    {                                                                                               \
        static const test_case cases[] = {__VA_ARGS__};                                             \
        return test_main(cases, sizeof cases / sizeof *cases, count > 1 ? arguments[1] : NULL);     \
    }

int test_main(const test_case *cases, size_t count, const char *only);

/* Prints and aborts: a failed test leaves threads behind that nobody can stop in order, and fuzzers keep what
 * aborted. */
void test_failed(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn));

#define ASSERT(condition)                                            \
    do {                                                             \
        if (!(condition)) {                                          \
            test_failed(__FILE__, __LINE__, "%s", #condition);       \
        }                                                            \
    } while (0)

#define ASSERT_INT(wanted, actual)                                                             \
    do {                                                                                       \
        long long wanted_ = (long long)(wanted), actual_ = (long long)(actual);                \
        if (wanted_ != actual_) {                                                              \
            test_failed(__FILE__, __LINE__, "%s is %lld, not %lld", #actual, actual_, wanted_); \
        }                                                                                      \
    } while (0)

#define ASSERT_STR(wanted, actual)                                                                 \
    do {                                                                                           \
        const char *wanted_ = (wanted), *actual_ = (actual);                                       \
        if (strcmp(wanted_, actual_) != 0) {                                                       \
            test_failed(__FILE__, __LINE__, "%s is \"%s\", not \"%s\"", #actual, actual_, wanted_); \
        }                                                                                          \
    } while (0)

#define ASSERT_IN(part, whole)                                                                       \
    do {                                                                                             \
        const char *part_ = (part), *whole_ = (whole);                                               \
        if (!strstr(whole_, part_)) {                                                                \
            test_failed(__FILE__, __LINE__, "%s is \"%s\", without \"%s\"", #whole, whole_, part_);   \
        }                                                                                            \
    } while (0)

/* ---- allocations of csrc/, see alloc.h ---- */

/* The allocation after `successes` more, and all that follow, fail; -1: none. */
void test_alloc_fail_after(int successes);

/* Whether an allocation has failed since the last test_alloc_fail_after. */
bool test_alloc_has_failed(void);

/* Blocks allocated and not freed. */
int test_alloc_live(void);

/* ---- files beside the test program ---- */

/* The path of a stub engine library, "libstub-engine.so" and its variants. Static. */
const char *test_library(const char *name);

#endif /* LTLM_TESTING_H */
