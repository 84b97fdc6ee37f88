#include "testing.h"

#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <unistd.h>

#include "../alloc.h"

#define SECONDS_TO_HANG 60

static atomic_int live;
static atomic_int left = -1; /* allocations until they fail */
static atomic_bool has_failed;

static bool may_allocate(void)
{
    int now = atomic_load(&left);
    while (now > 0 && !atomic_compare_exchange_weak(&left, &now, now - 1)) {
    }
    if (now == 0) {
        atomic_store(&has_failed, true);
    }
    return now != 0;
}

void *ltlm__test_calloc(size_t count, size_t size)
{
    void *block = may_allocate() ? calloc(count, size) : NULL;
    atomic_fetch_add(&live, block ? 1 : 0);
    return block;
}

void *ltlm__test_realloc(void *block, size_t size)
{
    void *larger = may_allocate() ? realloc(block, size) : NULL;
    atomic_fetch_add(&live, larger && !block ? 1 : 0);
    return larger;
}

void ltlm__test_free(void *block)
{
    atomic_fetch_sub(&live, block ? 1 : 0);
    free(block);
}

void *ltlm__test_map(size_t size)
{
    size_t whole = (size + 63) & ~(size_t)63;
    void *memory = may_allocate() ? aligned_alloc(64, whole) : NULL;
    atomic_fetch_add(&live, memory ? 1 : 0);
    return memory ? memset(memory, 0, whole) : NULL;
}

void ltlm__test_unmap(void *memory, size_t size)
{
    (void)size;
    ltlm__test_free(memory);
}

void test_alloc_fail_after(int successes)
{
    atomic_store(&has_failed, false);
    atomic_store(&left, successes);
}

bool test_alloc_has_failed(void) { return atomic_load(&has_failed); }

int test_alloc_live(void) { return atomic_load(&live); }

const char *test_library(const char *name)
{
    static char path[PATH_MAX + 64];
    static char folder[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);
    ASSERT(length > 0);
    folder[length] = '\0';
    *strrchr(folder, '/') = '\0';
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

void test_failed(const char *file, int line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    abort();
}

int test_main(const test_case *cases, size_t count, const char *only)
{
    int ran = 0;
    for (size_t i = 0; i < count; i++) {
        if (only && strcmp(only, cases[i].name) != 0) {
            continue;
        }
        alarm(SECONDS_TO_HANG);
        cases[i].run();
        test_alloc_fail_after(-1);
        if (test_alloc_live() != 0) {
            test_failed(cases[i].name, 0, "%d blocks leaked", test_alloc_live());
        }
        printf("ok %s\n", cases[i].name);
        ran++;
    }
    if (ran == 0) {
        test_failed(__FILE__, __LINE__, "no test of that name");
    }
    return 0;
}
