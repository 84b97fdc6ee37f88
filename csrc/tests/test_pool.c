/* The pool: every thread of a run does its part, callers take turns, and nothing is left behind. */
#include <pthread.h>
#include <signal.h>
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

typedef struct {
    int32_t calls[64]; /* of each thread; not atomic: the pool orders them */
    int32_t team;
} counts;

static void count(void *context, int32_t thread, ltlm_team *team)
{
    counts *self = context;
    self->calls[thread]++;
    if (thread == 0) {
        self->team = ltlm_team_size(team);
    }
}

TEST(every_thread_does_its_part_of_every_run)
{
    for (int32_t threads = 1; threads <= 8; threads++) {
        ltlm_pool *pool = pool_of(threads);
        counts seen = {0};
        for (int32_t i = 1; i <= 300; i++) {
            ltlm_pool_run(pool, count, &seen);
            for (int32_t thread = 0; thread < threads; thread++) {
                ASSERT_INT(i, seen.calls[thread]);
            }
        }
        ASSERT_INT(threads, seen.team);
        ASSERT_INT(0, seen.calls[threads]);
        ltlm_pool_delete(pool);
    }
}

/* Each thread writes its cell, all meet, each reads everybody's: a race or a wrong number if the meeting
 * leaks. */
typedef struct {
    int32_t cells[64];
    int32_t meetings;
    bool wrong[64];
} meeting;

static void meet(void *context, int32_t thread, ltlm_team *team)
{
    meeting *self = context;
    for (int32_t i = 1; i <= self->meetings; i++) {
        self->cells[thread] = i;
        ltlm_team_wait(team);
        for (int32_t other = 0; other < ltlm_team_size(team); other++) {
            self->wrong[thread] |= self->cells[other] != i;
        }
        ltlm_team_wait(team);
    }
}

TEST(threads_meet_before_any_goes_on)
{
    for (int32_t threads = 1; threads <= 5; threads++) {
        ltlm_pool *pool = pool_of(threads);
        for (int32_t run = 0; run < 5; run++) {
            meeting self = {.meetings = 200};
            ltlm_pool_run(pool, meet, &self);
            for (int32_t thread = 0; thread < threads; thread++) {
                ASSERT(!self.wrong[thread]);
                ASSERT_INT(200, self.cells[thread]);
            }
        }
        ltlm_pool_delete(pool);
    }
}

/* The pauses are longer than threads look for work: they sleep, and are woken. */
TEST(sleeping_threads_are_woken)
{
    ltlm_pool *pool = pool_of(4);
    counts seen = {0};
    for (int32_t i = 1; i <= 50; i++) {
        int64_t until = ltlm__now_ns() + 200000;
        while (ltlm__now_ns() < until) {
        }
        ltlm_pool_run(pool, count, &seen);
        ASSERT_INT(i, seen.calls[3]);
    }
    ltlm_pool_delete(pool);
}

/* ---- several callers ---- */

typedef struct {
    ltlm_pool *pool;
    int32_t *inside; /* runs in progress; not atomic: there is never more than one */
    int32_t runs;
    meeting meeting;
} caller;

static void run_alone(void *context, int32_t thread, ltlm_team *team)
{
    caller *self = context;
    if (thread == 0) {
        ASSERT_INT(1, ++*self->inside);
    }
    meet(&self->meeting, thread, team);
    if (thread == 0) {
        --*self->inside;
    }
}

static void *call(void *argument)
{
    caller *self = argument;
    for (int32_t i = 0; i < self->runs; i++) {
        self->meeting = (meeting){.meetings = 3};
        ltlm_pool_run(self->pool, run_alone, self);
        for (int32_t thread = 0; thread < ltlm_pool_threads(self->pool); thread++) {
            ASSERT(!self->meeting.wrong[thread]);
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
            callers[i] = (caller){.pool = pool, .inside = &inside, .runs = 100};
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

static void look_at_signals(void *context, int32_t thread, ltlm_team *team)
{
    (void)team;
    bool *blocked = context;
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    blocked[thread] = sigismember(&set, SIGINT) == 1;
}

TEST(signals_are_for_other_threads)
{
    ltlm_pool *pool = pool_of(3);
    bool blocked[3];
    ltlm_pool_run(pool, look_at_signals, blocked);
    ASSERT(!blocked[0] && blocked[1] && blocked[2]);
    ltlm_pool_delete(pool);
}

typedef struct {
    ltlm_pool *pool;
    pid_t child;
} forking;

static void fork_inside(void *context, int32_t thread, ltlm_team *team)
{
    (void)team;
    forking *self = context;
    if (thread != 0) {
        return;
    }
    self->child = fork(); /* while a run goes on: in the child it never ends */
    if (self->child == 0) {
        alarm(20);
        counts seen = {0};
        ltlm_pool_run(self->pool, count, &seen);
        bool alone = seen.calls[0] == 1 && seen.calls[1] == 0 && seen.team == 1;
        ltlm_pool_delete(self->pool);
        _exit(alone ? 0 : 1);
    }
}

TEST(a_forked_child_runs_alone)
{
    forking self = {.pool = pool_of(3)};
    ltlm_pool_run(self.pool, fork_inside, &self);
    int status;
    ASSERT(self.child > 0);
    ASSERT_INT(self.child, waitpid(self.child, &status, 0));
    ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ltlm_pool_delete(self.pool);
}

TESTS(RUN(every_thread_does_its_part_of_every_run)
      RUN(threads_meet_before_any_goes_on)
      RUN(sleeping_threads_are_woken)
      RUN(runs_of_several_callers_take_turns)
      RUN(a_pool_that_never_ran_can_be_deleted)
      RUN(numbers_of_threads_out_of_range_are_refused)
      RUN(memory_may_run_out)
      RUN(signals_are_for_other_threads)
      RUN(a_forked_child_runs_alone))
