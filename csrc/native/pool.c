/* For syscall(), which POSIX does not have. */
#define _GNU_SOURCE

#include "pool.h"

#include <stdatomic.h>

#include "alloc.h"
#include "platform.h"
#include "status.h"

#if defined(__linux__) && !defined(LTLM_NO_FUTEX)
#define HAS_FUTEX 1
#include <linux/futex.h>
#include <sys/syscall.h>
#endif
#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64) || defined(_M_IX86)
#include <immintrin.h>
#endif

#define MAX_THREADS 64
/* How long a thread looks for work before it sleeps. Sleeping and waking costs some 50 us; phases of a decode
 * are shorter than that, pauses between tokens longer. */
#define SPIN_NS 30000
/* Looks between two looks at the clock. */
#define SPIN_STEPS 32

/* ---- a counter that can be waited for ---------------------------------------------------------- */

typedef struct {
    atomic_uint count;
    atomic_uint sleepers; /* threads that sleep or are about to: nobody is woken where nobody sleeps */
#ifndef HAS_FUTEX
    ltlm__mutex mutex;
    ltlm__cond changed;
#endif
} bell;

#ifdef HAS_FUTEX

static bool bell_init(bell *self)
{
    *self = (bell){0};
    return true;
}

static void bell_destroy(bell *self) { (void)self; }

static void sleep_while(bell *self, unsigned seen)
{
    syscall(SYS_futex, &self->count, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void wake_all(bell *self)
{
    syscall(SYS_futex, &self->count, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

#else

static bool bell_init(bell *self)
{
    *self = (bell){0};
    if (!ltlm__mutex_init(&self->mutex)) {
        return false;
    }
    if (!ltlm__cond_init(&self->changed)) {
        ltlm__mutex_destroy(&self->mutex);
        return false;
    }
    return true;
}

static void bell_destroy(bell *self)
{
    ltlm__cond_destroy(&self->changed);
    ltlm__mutex_destroy(&self->mutex);
}

static void sleep_while(bell *self, unsigned seen)
{
    ltlm__mutex_lock(&self->mutex);
    if (atomic_load(&self->count) == seen) {
        ltlm__cond_wait(&self->changed, &self->mutex, LTLM__FOREVER);
    }
    ltlm__mutex_unlock(&self->mutex);
}

static void wake_all(bell *self)
{
    ltlm__mutex_lock(&self->mutex);
    ltlm__cond_broadcast(&self->changed);
    ltlm__mutex_unlock(&self->mutex);
}

#endif

static void bell_ring(bell *self)
{
    /* Sequentially consistent, as in bell_wait: either this thread sees the sleeper or the sleeper the
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

/* Returns once the count is no longer `seen`. */
static void bell_wait(bell *self, unsigned seen)
{
    int64_t until = 0;
    do {
        for (int32_t i = 0; i < SPIN_STEPS; i++) {
            if (atomic_load_explicit(&self->count, memory_order_acquire) != seen) {
                return;
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
}

/* ---- pool -------------------------------------------------------------------------------------- */

struct ltlm_team {
    int32_t size;
    atomic_int arrived;
    bell passed; /* rings when all have arrived */
};

typedef struct {
    ltlm_pool *pool;
    ltlm__thread thread;
    int32_t number;
} worker;

struct ltlm_pool {
    /* read-only */
    int64_t process; /* that has the threads */
    int32_t threads;

    ltlm__mutex mutex; /* guards the tickets */
    ltlm__cond turn;
    uint64_t next_ticket, serving;

    bell started; /* rings for each run, and for the end */
    ltlm_job job; /* of the present run; NULL: the threads end. Written before `started` rings */
    void *context;
    ltlm_team team;
    worker workers[MAX_THREADS]; /* [threads]; 0 is the caller of a run, whoever that is */
};

int32_t ltlm_team_size(const ltlm_team *team) { return team->size; }

void ltlm_team_wait(ltlm_team *team)
{
    if (team->size == 1) {
        return;
    }
    unsigned seen = atomic_load_explicit(&team->passed.count, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&team->arrived, 1, memory_order_acq_rel) + 1 < team->size) {
        bell_wait(&team->passed, seen);
        return;
    }
    atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
    bell_ring(&team->passed);
}

static void work(void *argument)
{
    worker *self = argument;
    ltlm_pool *pool = self->pool;
    for (unsigned seen = 0;; seen++) {
        bell_wait(&pool->started, seen);
        if (!pool->job) {
            return;
        }
        pool->job(pool->context, self->number, &pool->team);
        ltlm_team_wait(&pool->team);
    }
}

/* Ends the first `count` threads. */
static void stop(ltlm_pool *pool, int32_t count)
{
    pool->job = NULL;
    bell_ring(&pool->started);
    for (int32_t i = 1; i < count; i++) {
        ltlm__thread_join(&pool->workers[i].thread);
    }
}

static bool init_locks(ltlm_pool *pool)
{
    if (!ltlm__mutex_init(&pool->mutex)) {
        return false;
    }
    if (ltlm__cond_init(&pool->turn)) {
        if (bell_init(&pool->started)) {
            if (bell_init(&pool->team.passed)) {
                return true;
            }
            bell_destroy(&pool->started);
        }
        ltlm__cond_destroy(&pool->turn);
    }
    ltlm__mutex_destroy(&pool->mutex);
    return false;
}

static void destroy_locks(ltlm_pool *pool)
{
    bell_destroy(&pool->team.passed);
    bell_destroy(&pool->started);
    ltlm__cond_destroy(&pool->turn);
    ltlm__mutex_destroy(&pool->mutex);
}

int32_t ltlm_pool_create(int32_t threads, ltlm_pool **out, ltlm_error *err)
{
    *out = NULL;
    if (threads < 1 || threads > MAX_THREADS) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "threads must be 1 to %d, not %d", MAX_THREADS,
                          (int)threads);
    }
    ltlm_pool *pool = ltlm__calloc(1, sizeof *pool);
    if (!pool || !init_locks(pool)) {
        ltlm__free(pool);
        return ltlm__fail_no_memory(err);
    }
    pool->process = ltlm__process_id();
    pool->threads = pool->team.size = threads;
    for (int32_t i = 1; i < threads; i++) {
        pool->workers[i] = (worker){.pool = pool, .number = i};
        if (!ltlm__thread_start(&pool->workers[i].thread, work, &pool->workers[i])) {
            stop(pool, i);
            destroy_locks(pool);
            ltlm__free(pool);
            return ltlm__fail(err, LTLM_E_NO_MEMORY, "the system does not start thread %d of %d", (int)i + 1,
                              (int)threads);
        }
    }
    *out = pool;
    return ltlm__succeed(err);
}

void ltlm_pool_delete(ltlm_pool *pool)
{
    if (!pool) {
        return;
    }
    if (pool->process == ltlm__process_id()) {
        stop(pool, pool->threads);
        destroy_locks(pool);
    }
    ltlm__free(pool);
}

int32_t ltlm_pool_threads(const ltlm_pool *pool) { return pool->threads; }

static void take_turn(ltlm_pool *pool)
{
    ltlm__mutex_lock(&pool->mutex);
    uint64_t ticket = pool->next_ticket++;
    while (pool->serving != ticket) {
        ltlm__cond_wait(&pool->turn, &pool->mutex, LTLM__FOREVER);
    }
    ltlm__mutex_unlock(&pool->mutex);
}

static void pass_turn(ltlm_pool *pool)
{
    ltlm__mutex_lock(&pool->mutex);
    pool->serving++;
    ltlm__cond_broadcast(&pool->turn);
    ltlm__mutex_unlock(&pool->mutex);
}

void ltlm_pool_run(ltlm_pool *pool, ltlm_job job, void *context)
{
    if (pool->process != ltlm__process_id()) {
        /* A forked child: the threads are not here, and the lock may be held by one that never comes back. */
        ltlm_team alone = {.size = 1};
        job(context, 0, &alone);
        return;
    }
    take_turn(pool);
    pool->job = job;
    pool->context = context;
    if (pool->threads > 1) {
        bell_ring(&pool->started);
    }
    job(context, 0, &pool->team);
    ltlm_team_wait(&pool->team);
    pass_turn(pool);
}
