#include "pool.h"

#include <stdatomic.h>

#include "alloc.h"
#include "bell.h"
#include "platform.h"
#include "status.h"

#define MAX_THREADS 64

/* The gate of a run: how many more threads may enter, and how many are inside. */
#define ROOM 0x10000u
#define INSIDE 0xffffu

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

    ltlm__bell started; /* rings for each run, and for the end */
    ltlm__bell left;    /* rings when the last thread has left a run that takes no more */
    atomic_bool ends;
    atomic_uint gate;
    ltlm_job job; /* of the present run; written before the gate opens, read by who has entered */
    void *context;
    worker workers[MAX_THREADS]; /* [threads]; 0 is the caller of a run, whoever that is */
};

/* False when the run takes nobody any more: it is over, or has enough. */
static bool enter(ltlm_pool *pool)
{
    unsigned gate = atomic_load(&pool->gate);
    do {
        if (gate < ROOM) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(&pool->gate, &gate, gate - ROOM + 1));
    return true;
}

static void leave(ltlm_pool *pool)
{
    if (atomic_fetch_sub(&pool->gate, 1) == 1) {
        ltlm__bell_ring(&pool->left);
    }
}

static void close_gate(ltlm_pool *pool)
{
    atomic_fetch_and(&pool->gate, INSIDE);
    for (;;) {
        unsigned seen = ltlm__bell_count(&pool->left);
        if (atomic_load(&pool->gate) == 0) {
            return;
        }
        ltlm__bell_wait(&pool->left, seen);
    }
}

static void work(void *argument)
{
    worker *self = argument;
    ltlm_pool *pool = self->pool;
    for (unsigned seen = 0;;) {
        seen = ltlm__bell_wait(&pool->started, seen);
        if (atomic_load(&pool->ends)) {
            return;
        }
        if (enter(pool)) {
            pool->job(pool->context, self->number);
            leave(pool);
        }
    }
}

/* Ends the first `count` threads. */
static void stop(ltlm_pool *pool, int32_t count)
{
    atomic_store(&pool->ends, true);
    ltlm__bell_ring(&pool->started);
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
        if (ltlm__bell_init(&pool->started)) {
            if (ltlm__bell_init(&pool->left)) {
                return true;
            }
            ltlm__bell_destroy(&pool->started);
        }
        ltlm__cond_destroy(&pool->turn);
    }
    ltlm__mutex_destroy(&pool->mutex);
    return false;
}

static void destroy_locks(ltlm_pool *pool)
{
    ltlm__bell_destroy(&pool->left);
    ltlm__bell_destroy(&pool->started);
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
    pool->threads = threads;
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

void ltlm_pool_run(ltlm_pool *pool, int32_t threads, ltlm_job job, void *context)
{
    if (pool->process != ltlm__process_id()) {
        /* A forked child: the threads are not here, and the lock may be held by one that never comes back. */
        job(context, 0);
        return;
    }
    take_turn(pool);
    int32_t others = (threads < pool->threads ? threads : pool->threads) - 1;
    if (others > 0) {
        pool->job = job;
        pool->context = context;
        atomic_store(&pool->gate, (unsigned)others * ROOM);
        ltlm__bell_ring(&pool->started);
    }
    job(context, 0);
    close_gate(pool);
    pass_turn(pool);
}

void ltlm_pool_dispose(ltlm_pool **pool)
{
    ltlm_pool *disposed = *pool;
    *pool = NULL;
    ltlm_pool_delete(disposed);
}
