/* platform_posix.h - platform.h for Linux, macOS and other POSIX systems. Include platform.h instead. */
#ifndef LTLM_PLATFORM_POSIX_H
#define LTLM_PLATFORM_POSIX_H

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

typedef pthread_mutex_t ltlm__mutex;
typedef pthread_cond_t ltlm__cond;
typedef atomic_int ltlm__atomic;

static inline bool ltlm__mutex_init(ltlm__mutex *mutex) { return pthread_mutex_init(mutex, NULL) == 0; }
static inline void ltlm__mutex_lock(ltlm__mutex *mutex) { pthread_mutex_lock(mutex); }
static inline void ltlm__mutex_unlock(ltlm__mutex *mutex) { pthread_mutex_unlock(mutex); }
static inline void ltlm__mutex_destroy(ltlm__mutex *mutex) { pthread_mutex_destroy(mutex); }

static inline void ltlm__cond_signal(ltlm__cond *cond) { pthread_cond_signal(cond); }
static inline void ltlm__cond_broadcast(ltlm__cond *cond) { pthread_cond_broadcast(cond); }
static inline void ltlm__cond_destroy(ltlm__cond *cond) { pthread_cond_destroy(cond); }

static inline int64_t ltlm__now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static inline bool ltlm__cond_init(ltlm__cond *cond)
{
#ifdef __APPLE__
    return pthread_cond_init(cond, NULL) == 0; /* no clock attribute there; ltlm__cond_wait waits relatively */
#else
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) {
        return false;
    }
    bool done = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                pthread_cond_init(cond, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    return done;
#endif
}

static inline bool ltlm__cond_wait(ltlm__cond *cond, ltlm__mutex *mutex, int64_t deadline_ns)
{
    if (deadline_ns == LTLM__FOREVER) {
        pthread_cond_wait(cond, mutex);
        return true;
    }
#ifdef __APPLE__
    int64_t left = deadline_ns - ltlm__now_ns();
    if (left <= 0) {
        return false;
    }
    struct timespec wait = {.tv_sec = left / INT64_C(1000000000), .tv_nsec = left % INT64_C(1000000000)};
    return pthread_cond_timedwait_relative_np(cond, mutex, &wait) != ETIMEDOUT;
#else
    struct timespec until = {.tv_sec = deadline_ns / INT64_C(1000000000),
                             .tv_nsec = deadline_ns % INT64_C(1000000000)};
    return pthread_cond_timedwait(cond, mutex, &until) != ETIMEDOUT;
#endif
}

static inline int32_t ltlm__atomic_add(ltlm__atomic *value, int32_t delta)
{
    return atomic_fetch_add(value, delta) + delta;
}

static inline int32_t ltlm__atomic_load(ltlm__atomic *value) { return atomic_load(value); }

static inline bool ltlm__atomic_claim(ltlm__atomic *value)
{
    int expected = 0;
    return atomic_compare_exchange_strong(value, &expected, 1);
}

static inline void ltlm__atomic_release(ltlm__atomic *value) { atomic_store(value, 0); }

static inline void *ltlm__library_load(const char *path, char *why, size_t size)
{
    /* RTLD_LOCAL: the engine exports some 218,000 names of its own dependencies. */
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *words = dlerror();
        snprintf(why, size, "%s", words ? words : "");
    }
    return library;
}

static inline void *ltlm__library_symbol(void *library, const char *name) { return dlsym(library, name); }

static inline void ltlm__fd_close(int32_t fd) { close(fd); }

typedef struct {
    pthread_t id;
    void (*run)(void *);
    void *context;
} ltlm__thread;

static inline void *ltlm__thread_main(void *argument)
{
    ltlm__thread *thread = argument;
    thread->run(thread->context);
    return NULL;
}

static inline bool ltlm__thread_start(ltlm__thread *thread, void (*run)(void *), void *context)
{
    thread->run = run;
    thread->context = context;
    sigset_t all, before; /* signals are for the threads of the program */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&thread->id, NULL, ltlm__thread_main, thread) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

static inline void ltlm__thread_join(ltlm__thread *thread) { pthread_join(thread->id, NULL); }

static inline int64_t ltlm__process_id(void) { return getpid(); }

#endif /* LTLM_PLATFORM_POSIX_H */
