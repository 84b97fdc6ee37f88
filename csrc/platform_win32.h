/* platform_win32.h - platform.h for Windows 8 and later. Include platform.h instead. */
#ifndef LTLM_PLATFORM_WIN32_H
#define LTLM_PLATFORM_WIN32_H

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#if !defined(_WIN32_WINNT) || _WIN32_WINNT < 0x0602
#undef _WIN32_WINNT
#define _WIN32_WINNT 0x0602
#endif
#include <io.h>
#include <process.h>
#include <stdio.h>
#include <string.h>
#include <windows.h>

typedef SRWLOCK ltlm__mutex;
typedef CONDITION_VARIABLE ltlm__cond;
typedef volatile LONG ltlm__atomic; /* not C11 atomics: older MSVC has none */

static inline bool ltlm__mutex_init(ltlm__mutex *mutex)
{
    InitializeSRWLock(mutex);
    return true;
}

static inline void ltlm__mutex_lock(ltlm__mutex *mutex) { AcquireSRWLockExclusive(mutex); }
static inline void ltlm__mutex_unlock(ltlm__mutex *mutex) { ReleaseSRWLockExclusive(mutex); }
static inline void ltlm__mutex_destroy(ltlm__mutex *mutex) { (void)mutex; }

static inline bool ltlm__cond_init(ltlm__cond *cond)
{
    InitializeConditionVariable(cond);
    return true;
}

static inline void ltlm__cond_signal(ltlm__cond *cond) { WakeConditionVariable(cond); }
static inline void ltlm__cond_broadcast(ltlm__cond *cond) { WakeAllConditionVariable(cond); }
static inline void ltlm__cond_destroy(ltlm__cond *cond) { (void)cond; }

static inline int64_t ltlm__now_ns(void)
{
    LARGE_INTEGER ticks, per_second;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&per_second);
    /* In two parts: ticks * 1e9 would overflow after some minutes of a 10 MHz counter. */
    int64_t seconds = ticks.QuadPart / per_second.QuadPart;
    int64_t rest = ticks.QuadPart % per_second.QuadPart;
    return seconds * INT64_C(1000000000) + rest * INT64_C(1000000000) / per_second.QuadPart;
}

static inline bool ltlm__cond_wait(ltlm__cond *cond, ltlm__mutex *mutex, int64_t deadline_ns)
{
    if (deadline_ns == LTLM__FOREVER) {
        SleepConditionVariableSRW(cond, mutex, INFINITE, 0);
        return true;
    }
    int64_t left = deadline_ns - ltlm__now_ns();
    if (left <= 0) {
        return false;
    }
    int64_t wait_ms = (left + LTLM__NS_PER_MS - 1) / LTLM__NS_PER_MS; /* up: rounding down would spin */
    DWORD wait = wait_ms < INT32_MAX ? (DWORD)wait_ms : INT32_MAX;
    return SleepConditionVariableSRW(cond, mutex, wait, 0) || GetLastError() != ERROR_TIMEOUT;
}

static inline int32_t ltlm__atomic_add(ltlm__atomic *value, int32_t delta)
{
    return (int32_t)InterlockedExchangeAdd(value, delta) + delta;
}

static inline int32_t ltlm__atomic_load(ltlm__atomic *value)
{
    return (int32_t)InterlockedCompareExchange(value, 0, 0);
}

static inline bool ltlm__atomic_claim(ltlm__atomic *value) { return InterlockedCompareExchange(value, 1, 0) == 0; }
static inline void ltlm__atomic_release(ltlm__atomic *value) { InterlockedExchange(value, 0); }

static inline void ltlm__why_last_error(char *why, size_t size)
{
    DWORD code = GetLastError();
    DWORD length = FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, code, 0,
                                  why, (DWORD)size, NULL);
    if (length == 0) {
        snprintf(why, size, "system error %lu", (unsigned long)code);
    }
}

static inline void *ltlm__library_load(const char *path, char *why, size_t size)
{
    wchar_t wide[4096];
    HMODULE library = NULL;
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, 4096) > 0) {
        for (wchar_t *letter = wide; *letter; letter++) {
            *letter = *letter == L'/' ? L'\\' : *letter; /* the loader's flags below need backslashes */
        }
        /* The folder of the library first: its own dependencies lie beside it. */
        library = LoadLibraryExW(wide, NULL, LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_DEFAULT_DIRS);
    }
    if (!library) {
        ltlm__why_last_error(why, size);
    }
    return (void *)library;
}

static inline void *ltlm__library_symbol(void *library, const char *name)
{
    FARPROC found = GetProcAddress((HMODULE)library, name);
    void *symbol = NULL;
    memcpy(&symbol, &found, sizeof symbol);
    return symbol;
}

static inline void ltlm__fd_close(int32_t fd) { _close(fd); }

typedef struct {
    HANDLE handle;
    void (*run)(void *);
    void *context;
} ltlm__thread;

static inline unsigned __stdcall ltlm__thread_main(void *argument)
{
    ltlm__thread *thread = (ltlm__thread *)argument;
    thread->run(thread->context);
    return 0;
}

static inline bool ltlm__thread_start(ltlm__thread *thread, void (*run)(void *), void *context)
{
    thread->run = run;
    thread->context = context;
    thread->handle = (HANDLE)_beginthreadex(NULL, 0, ltlm__thread_main, thread, 0, NULL);
    return thread->handle != NULL;
}

static inline void ltlm__thread_join(ltlm__thread *thread)
{
    WaitForSingleObject(thread->handle, INFINITE);
    CloseHandle(thread->handle);
}

static inline int64_t ltlm__process_id(void) { return (int64_t)GetCurrentProcessId(); }

#endif /* LTLM_PLATFORM_WIN32_H */
