/* For syscall(), which POSIX does not have. */
#define _GNU_SOURCE

#include "bell.h"

#include <stdint.h>

#ifdef LTLM__HAS_FUTEX
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64) || defined(_M_IX86)
#include <immintrin.h>
#endif

/* How long a thread looks before it sleeps. Sleeping and waking costs some 50 us; phases of a decode are
 * shorter than that, pauses between tokens longer. */
#define SPIN_NS 30000
/* Looks between two looks at the clock. */
#define SPIN_STEPS 32

#ifdef LTLM__HAS_FUTEX

bool ltlm__bell_init(ltlm__bell *self)
{
    *self = (ltlm__bell){0};
    return true;
}

void ltlm__bell_destroy(ltlm__bell *self) { (void)self; }

static void sleep_while(ltlm__bell *self, unsigned seen)
{
    syscall(SYS_futex, &self->count, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void wake_all(ltlm__bell *self)
{
    syscall(SYS_futex, &self->count, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

#else

bool ltlm__bell_init(ltlm__bell *self)
{
    *self = (ltlm__bell){0};
    if (!ltlm__mutex_init(&self->mutex)) {
        return false;
    }
    if (!ltlm__cond_init(&self->changed)) {
        ltlm__mutex_destroy(&self->mutex);
        return false;
    }
    return true;
}

void ltlm__bell_destroy(ltlm__bell *self)
{
    ltlm__cond_destroy(&self->changed);
    ltlm__mutex_destroy(&self->mutex);
}

static void sleep_while(ltlm__bell *self, unsigned seen)
{
    ltlm__mutex_lock(&self->mutex);
    if (atomic_load(&self->count) == seen) {
        ltlm__cond_wait(&self->changed, &self->mutex, LTLM__FOREVER);
    }
    ltlm__mutex_unlock(&self->mutex);
}

static void wake_all(ltlm__bell *self)
{
    ltlm__mutex_lock(&self->mutex);
    ltlm__cond_broadcast(&self->changed);
    ltlm__mutex_unlock(&self->mutex);
}

#endif

void ltlm__bell_ring(ltlm__bell *self)
{
    /* Sequentially consistent, as in ltlm__bell_wait: either this thread sees the sleeper or the sleeper the
     * change. */
    atomic_fetch_add(&self->count, 1);
    if (atomic_load(&self->sleepers) > 0) {
        wake_all(self);
    }
}

static inline void spin_once(void)
{
#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64) || defined(_M_IX86)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

unsigned ltlm__bell_wait(ltlm__bell *self, unsigned seen)
{
    int64_t until = 0;
    do {
        for (int32_t i = 0; i < SPIN_STEPS; i++) {
            unsigned count = ltlm__bell_count(self);
            if (count != seen) {
                return count;
            }
            spin_once();
        }
        if (until == 0) {
            until = ltlm__now_ns() + SPIN_NS;
        }
    } while (ltlm__now_ns() < until);
    atomic_fetch_add(&self->sleepers, 1);
    while (atomic_load(&self->count) == seen) {
        sleep_while(self, seen);
    }
    atomic_fetch_sub(&self->sleepers, 1);
    return ltlm__bell_count(self);
}
