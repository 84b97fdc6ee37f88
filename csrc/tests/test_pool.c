/* The pool: the pieces of a run are done by whoever comes, callers take turns, and nothing is left behind. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "native/pool.h"
#include "platform.h"
#include "testing.h"

static ltlm_pool *pool_of(int32_t threads)
{
    ltlm_pool *pool;
    ltlm_error err;
    ASSERT_INT(LTLM_OK, ltlm_pool_create(threads, &pool, &err));
    ASSERT_INT(threads, ltlm_pool_threads(pool));
    return pool;
}

/* ---- one caller ---- */

enum { PIECES = 64 };

/* Work in pieces, as jobs hand it out. */
typedef struct {
    atomic_int next;
    int32_t done[PIECES]; /* not atomic: the pool orders what is before and after a run */
    int32_t by[PIECES];
} pieces;

static void do_pieces(void *context, int32_t thread)
{
    pieces *self = context;
    for (int32_t i; (i = atomic_fetch_add(&self->next, 1)) < PIECES;) {
        self->done[i]++;
        self->by[i] = thread;
    }
}

TEST(every_piece_is_done_once_in_every_run)
{
    for (int32_t threads = 1; threads <= 8; threads++) {
        ltlm_pool *pool = pool_of(threads);
        pieces self = {0};
        for (int32_t run = 1; run <= 300; run++) {
            atomic_store(&self.next, 0);
            ltlm_pool_run(pool, threads, do_pieces, &self);
            for (int32_t i = 0; i < PIECES; i++) {
                ASSERT_INT(run, self.done[i]);
                ASSERT(self.by[i] >= 0 && self.by[i] < threads);
            }
        }
        ltlm_pool_delete(pool);
    }
}

/* Threads that are inside a run at the same time. */
typedef struct {
    atomic_int inside;
    int32_t wanted;
} gathering;

static void gather(void *context, int32_t thread)
{
    (void)thread;
    gathering *self = context;
    atomic_fetch_add(&self->inside, 1);
    while (atomic_load(&self->inside) < self->wanted) {
        sched_yield();
    }
}

/* Each run ends only if so many threads are in it at once. In every second one they have gone to sleep. */
TEST(all_threads_come_when_there_is_work_for_them)
{
    for (int32_t threads = 1; threads <= 5; threads++) {
        ltlm_pool *pool = pool_of(threads);
        for (int32_t run = 0; run < 50; run++) {
            gathering self = {.wanted = threads};
            int64_t until = ltlm__now_ns() + run % 2 * 200000;
            while (ltlm__now_ns() < until) {
            }
            ltlm_pool_run(pool, threads, gather, &self);
            ASSERT(atomic_load(&self.inside) >= threads);
        }
        ltlm_pool_delete(pool);
    }
}

static void note_thread(void *context, int32_t thread)
{
    atomic_int *calls = context;
    atomic_fetch_add(&calls[thread], 1);
    sched_yield();
}

TEST(no_more_threads_come_than_were_asked_for)
{
    ltlm_pool *pool = pool_of(6);
    for (int32_t run = 0; run < 300; run++) {
        atomic_int calls[6] = {0};
        int32_t most = 1 + run % 3, all = 0;
        ltlm_pool_run(pool, most, note_thread, calls);
        for (int32_t i = 0; i < 6; i++) {
            all += atomic_load(&calls[i]);
        }
        ASSERT(all >= 1 && all <= most);
        ASSERT_INT(1, atomic_load(&calls[0]));
    }
    ltlm_pool_delete(pool);
}

/* ---- several callers ---- */

typedef struct {
    ltlm_pool *pool;
    int32_t *inside; /* runs in progress; not atomic: there is never more than one */
    pieces pieces;
} caller;

static void run_alone(void *context, int32_t thread)
{
    caller *self = context;
    if (thread == 0) {
        ASSERT_INT(1, ++*self->inside);
    }
    do_pieces(&self->pieces, thread);
    if (thread == 0) {
        --*self->inside;
    }
}

static void *call(void *argument)
{
    caller *self = argument;
    for (int32_t run = 1; run <= 100; run++) {
        atomic_store(&self->pieces.next, 0);
        ltlm_pool_run(self->pool, 64, run_alone, self);
        for (int32_t i = 0; i < PIECES; i++) {
            ASSERT_INT(run, self->pieces.done[i]);
        }
    }
    return NULL;
}

TEST(runs_of_several_callers_take_turns)
{
    for (int32_t threads = 1; threads <= 3; threads++) {
        ltlm_pool *pool = pool_of(threads);
        caller callers[6];
        pthread_t ids[6];
        int32_t inside = 0;
        for (int32_t i = 0; i < 6; i++) {
            callers[i] = (caller){.pool = pool, .inside = &inside};
            ASSERT(pthread_create(&ids[i], NULL, call, &callers[i]) == 0);
        }
        for (int32_t i = 0; i < 6; i++) {
            pthread_join(ids[i], NULL);
        }
        ltlm_pool_delete(pool);
    }
}

/* ---- life ---- */

TEST(a_pool_that_never_ran_can_be_deleted)
{
    for (int32_t threads = 1; threads <= 64; threads += 21) {
        ltlm_pool_delete(pool_of(threads));
    }
    ltlm_pool_delete(NULL);
}

TEST(numbers_of_threads_out_of_range_are_refused)
{
    ltlm_pool *pool;
    ltlm_error err;
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_pool_create(0, &pool, &err));
    ASSERT_STR("threads must be 1 to 64, not 0", err.reason);
    ASSERT(!pool);
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_pool_create(65, &pool, &err));
    ASSERT(!pool);
}

TEST(memory_may_run_out)
{
    ltlm_pool *pool;
    ltlm_error err;
    test_alloc_fail_after(0);
    ASSERT_INT(LTLM_E_NO_MEMORY, ltlm_pool_create(2, &pool, &err));
    ASSERT(!pool);
}

typedef struct {
    gathering all;
    bool blocked[3];
} signals;

static void look_at_signals(void *context, int32_t thread)
{
    signals *self = context;
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    self->blocked[thread] = sigismember(&set, SIGINT) == 1;
    gather(&self->all, thread);
}

TEST(signals_are_for_other_threads)
{
    ltlm_pool *pool = pool_of(3);
    signals self = {.all = {.wanted = 3}};
    ltlm_pool_run(pool, 3, look_at_signals, &self);
    ASSERT(!self.blocked[0] && self.blocked[1] && self.blocked[2]);
    ltlm_pool_delete(pool);
}

typedef struct {
    ltlm_pool *pool;
    pid_t child;
} forking;

static void fork_inside(void *context, int32_t thread)
{
    forking *self = context;
    if (thread != 0) {
        return;
    }
    self->child = fork(); /* while a run goes on: in the child it never ends */
    if (self->child == 0) {
        alarm(20);
        atomic_int calls[3] = {0};
        ltlm_pool_run(self->pool, 3, note_thread, calls);
        bool alone = calls[0] == 1 && calls[1] == 0 && calls[2] == 0;
        ltlm_pool_delete(self->pool);
        _exit(alone ? 0 : 1);
    }
}

TEST(a_forked_child_runs_alone)
{
    forking self = {.pool = pool_of(3)};
    ltlm_pool_run(self.pool, 3, fork_inside, &self);
    int status;
    ASSERT(self.child > 0);
    ASSERT_INT(self.child, waitpid(self.child, &status, 0));
    ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ltlm_pool_delete(self.pool);
}

TESTS(RUN(every_piece_is_done_once_in_every_run)
      RUN(all_threads_come_when_there_is_work_for_them)
      RUN(no_more_threads_come_than_were_asked_for)
      RUN(runs_of_several_callers_take_turns)
      RUN(a_pool_that_never_ran_can_be_deleted)
      RUN(numbers_of_threads_out_of_range_are_refused)
      RUN(memory_may_run_out)
      RUN(signals_are_for_other_threads)
      RUN(a_forked_child_runs_alone))
