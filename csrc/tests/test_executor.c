/* A tiny model, run in many ways: they must all say the same. */
#include <pthread.h>

#include "native/run.h"
#include "reference.h"

enum { LENGTH = 70 }; /* tokens: several pages, several blocks of queries, more than the window */

typedef struct {
    tiny_model *model;
    ltlm_pool *pool;
    ltlm_program *program;
    ltlm_kv_store *store;
    ltlm_executor *executor;
} engine;

static void start_with(engine *e, const ltlm_kernels *kernels, int32_t threads, int32_t max_rows, bool wide)
{
    ltlm_error err;
    *e = (engine){.model = tiny_create()};
    ASSERT_INT(LTLM_OK, ltlm_pool_create(threads, &e->pool, &err));
    ASSERT_INT(LTLM_OK, ltlm_program_create(&e->model->plan, e->model->fd, e->model->file_size,
                                            LTLM_WEIGHTS_MAPPED, kernels, e->pool, &e->program, &err));
    ASSERT_INT(LTLM_OK,
               ltlm_kv_store_create(e->model->caches, e->model->plan.cache_count, wide, 0, &e->store, &err));
    ASSERT_INT(LTLM_OK,
               ltlm_executor_create(e->program, e->store, e->pool, max_rows, max_rows, &e->executor, &err));
}

static void start(engine *e, int32_t threads, int32_t max_rows, bool wide)
{
    start_with(e, ltlm_kernels_portable(), threads, max_rows, wide);
}

static void stop(engine *e)
{
    ltlm_executor_delete(e->executor);
    ltlm_kv_store_delete(e->store);
    ltlm_program_delete(e->program);
    ltlm_pool_delete(e->pool);
    tiny_delete(e->model);
}

static ltlm_kv *sequence(engine *e)
{
    ltlm_kv *kv;
    ltlm_error err;
    ASSERT_INT(LTLM_OK, ltlm_kv_create(e->store, &kv, &err));
    return kv;
}

static int32_t token_at(int32_t who, int32_t i) { return (i * 7 + who * 13 + i * i % 5) % VOCABULARY; }

/* The rows of one run. */
typedef struct {
    ltlm_rows rows;
    int32_t tokens[2 * LENGTH], positions[2 * LENGTH];
    ltlm_kv *sequences[2 * LENGTH];
    bool wanted[2 * LENGTH];
} batch;

/* Adds the next `count` tokens of conversation `who`. */
static void add(batch *b, ltlm_kv *kv, int32_t who, int32_t count, bool all_wanted)
{
    ltlm_error err;
    ASSERT_INT(LTLM_OK, ltlm_kv_reserve(kv, count, &err));
    for (int32_t i = 0; i < count; i++) {
        int32_t row = b->rows.rows++, position = ltlm_kv_length(kv) + i;
        b->tokens[row] = token_at(who, position);
        b->positions[row] = position;
        b->sequences[row] = kv;
        b->wanted[row] = all_wanted || i == count - 1;
    }
}

static int32_t run(engine *e, batch *b, const float **logits)
{
    b->rows.tokens = b->tokens;
    b->rows.positions = b->positions;
    b->rows.sequences = b->sequences;
    b->rows.wanted = b->wanted;
    b->rows.threads = ltlm_pool_threads(e->pool);
    return ltlm_executor_run(e->executor, &b->rows, logits);
}

/* The rows have been run: their sequences have them, and windows let go of what nothing looks at any more. */
static void commit(batch *b)
{
    for (int32_t i = 0; i < b->rows.rows; i++) {
        ltlm_kv_commit(b->sequences[i], &b->tokens[i], 1);
        ltlm_kv_slide(b->sequences[i], b->positions[i] + 1);
    }
}

/* All of conversation `who`, in chunks; logits of every row into `out`, [LENGTH, VOCABULARY]. */
static void run_all(engine *e, int32_t who, int32_t chunk, float *out)
{
    ltlm_kv *kv = sequence(e);
    for (int32_t from = 0; from < LENGTH; from += chunk) {
        batch b = {0};
        const float *logits;
        add(&b, kv, who, LENGTH - from < chunk ? LENGTH - from : chunk, true);
        ASSERT_INT(LTLM_OK, run(e, &b, &logits));
        memcpy(out + from * VOCABULARY, logits, (size_t)(b.rows.rows * VOCABULARY) * sizeof *out);
        commit(&b);
    }
    ltlm_kv_delete(kv);
}

static float expected[2][LENGTH * VOCABULARY];

/* What one thread says, one row at a time. */
static void expect_with(const ltlm_kernels *kernels, bool wide)
{
    engine e;
    start_with(&e, kernels, 1, LENGTH, wide);
    for (int32_t who = 0; who < 2; who++) {
        run_all(&e, who, 1, expected[who]);
    }
    stop(&e);
}

static void expect(bool wide) { expect_with(ltlm_kernels_portable(), wide); }

static bool is_expected(int32_t who, int32_t position, const float *logits)
{
    return memcmp(expected[who] + position * VOCABULARY, logits, VOCABULARY * sizeof *logits) == 0;
}

/* ---- numbers ---- */

TEST(logits_are_those_of_the_reference)
{
    engine e;
    start(&e, 1, 1, true);
    reference *r = calloc(1, sizeof *r);
    r->model = e.model;
    float *actual = malloc(sizeof expected[0]);
    run_all(&e, 0, 1, actual);
    double error = 0, size = 0;
    for (int32_t i = 0; i < LENGTH; i++) {
        const float *wanted = ref_next(r, token_at(0, i));
        for (int32_t j = 0; j < VOCABULARY; j++) {
            double difference = actual[i * VOCABULARY + j] - (double)wanted[j];
            error += difference * difference;
            size += (double)wanted[j] * wanted[j];
        }
    }
    ASSERT(size > LENGTH * VOCABULARY * 1e-3); /* they say something */
    if (!(sqrt(error / size) < 5e-3)) {
        test_failed(__FILE__, __LINE__, "logits are off by %g of their size", sqrt(error / size));
    }
    free(actual);
    free(r);
    stop(&e);
}

static void run_in_chunks(const ltlm_kernels *kernels, int32_t threads, bool wide)
{
    static const int32_t chunks[] = {2, 5, 16, 33, LENGTH};
    engine e;
    start_with(&e, kernels, threads, LENGTH, wide);
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        float *actual = malloc(sizeof expected[0]);
        run_all(&e, 0, chunks[i], actual);
        ASSERT(memcmp(expected[0], actual, sizeof expected[0]) == 0);
        free(actual);
    }
    stop(&e);
}

TEST(results_do_not_depend_on_chunks_and_threads)
{
    for (int32_t wide = 0; wide < 2; wide++) {
        expect(wide);
        for (int32_t threads = 1; threads <= 4; threads++) {
            run_in_chunks(ltlm_kernels_portable(), threads, wide);
        }
    }
}

TEST(nor_do_they_with_the_kernels_of_this_cpu)
{
    const ltlm_kernels *best = ltlm_kernels_choose(NULL);
    expect_with(best, false);
    run_in_chunks(best, 1, false);
    run_in_chunks(best, 3, false);
}

TEST(results_do_not_depend_on_who_else_runs)
{
    expect(false);
    engine e;
    start(&e, 3, 2 * LENGTH, false);
    ltlm_kv *first = sequence(&e), *second = sequence(&e);
    const float *logits;
    batch prompts = {0};
    add(&prompts, first, 0, 40, false);
    add(&prompts, second, 1, 25, false);
    ASSERT_INT(LTLM_OK, run(&e, &prompts, &logits));
    ASSERT(is_expected(0, 39, logits));
    ASSERT(is_expected(1, 24, logits + VOCABULARY));
    commit(&prompts);
    for (int32_t i = 0; i < 10; i++) { /* one decodes, the other is still at its prompt */
        batch b = {0};
        add(&b, second, 1, 4, false);
        add(&b, first, 0, 1, false);
        ASSERT_INT(LTLM_OK, run(&e, &b, &logits));
        ASSERT(is_expected(1, 25 + 4 * i + 3, logits));
        ASSERT(is_expected(0, 40 + i, logits + VOCABULARY));
        commit(&b);
    }
    ltlm_kv_delete(first);
    ltlm_kv_delete(second);
    stop(&e);
}

TEST(only_wanted_rows_have_logits)
{
    expect(false);
    engine e;
    start(&e, 2, LENGTH, false);
    for (int32_t every = 1; every < 40; every += 6) {
        ltlm_kv *kv = sequence(&e);
        batch b = {0};
        const float *logits;
        add(&b, kv, 0, LENGTH, false);
        int32_t wanted = 0;
        for (int32_t i = 0; i < LENGTH; i++) {
            b.wanted[i] = i % every == every / 2;
        }
        ASSERT_INT(LTLM_OK, run(&e, &b, &logits));
        for (int32_t i = 0; i < LENGTH; i++) {
            if (b.wanted[i]) {
                ASSERT(is_expected(0, i, logits + wanted++ * VOCABULARY));
            }
        }
        ltlm_kv_delete(kv);
    }
    stop(&e);
}

TEST(a_prompt_without_wanted_rows_fills_the_caches)
{
    expect(false);
    engine e;
    start(&e, 2, LENGTH, false);
    ltlm_kv *kv = sequence(&e);
    batch prompt = {0}, next = {0};
    const float *logits;
    add(&prompt, kv, 0, 50, false);
    prompt.wanted[49] = false;
    ASSERT_INT(LTLM_OK, run(&e, &prompt, &logits));
    commit(&prompt);
    add(&next, kv, 0, 1, false);
    ASSERT_INT(LTLM_OK, run(&e, &next, &logits));
    ASSERT(is_expected(0, 50, logits));
    ltlm_kv_delete(kv);
    stop(&e);
}

TEST(a_copy_of_the_weights_says_the_same)
{
    expect(false);
    engine e;
    start(&e, 2, LENGTH, false);
    ltlm_error err;
    ltlm_executor_delete(e.executor);
    ltlm_program_delete(e.program);
    ASSERT_INT(LTLM_OK,
               ltlm_program_create(&e.model->plan, e.model->fd, e.model->file_size, LTLM_WEIGHTS_COPIED,
                                   ltlm_kernels_portable(), e.pool, &e.program, &err));
    ASSERT(ltlm_program_weight_bytes(e.program) > e.model->file_size / 2);
    ASSERT_INT(LTLM_OK, ltlm_executor_create(e.program, e.store, e.pool, LENGTH, LENGTH, &e.executor, &err));
    float *actual = malloc(sizeof expected[0]);
    run_all(&e, 0, 7, actual);
    ASSERT(memcmp(expected[0], actual, sizeof expected[0]) == 0);
    free(actual);
    stop(&e);
}

/* ---- abort ---- */

TEST(a_run_that_is_aborted_before_it_begins_is_cancelled)
{
    engine e;
    start(&e, 2, LENGTH, false);
    ltlm_kv *kv = sequence(&e);
    atomic_bool abort = true;
    batch b = {.rows = {.abort = &abort}};
    const float *logits;
    add(&b, kv, 0, LENGTH, false);
    ASSERT_INT(LTLM_E_CANCELLED, run(&e, &b, &logits));
    ASSERT(!logits);
    abort = false;
    expect(false);
    ASSERT_INT(LTLM_OK, run(&e, &b, &logits)); /* and nothing of it is left */
    ASSERT(is_expected(0, LENGTH - 1, logits));
    ltlm_kv_delete(kv);
    stop(&e);
}

typedef struct {
    atomic_bool abort;
    atomic_int runs;
} aborter;

static void *abort_later(void *argument)
{
    aborter *self = argument;
    for (int32_t i = 0; i < 200; i++) {
        int32_t runs = atomic_load(&self->runs);
        for (int32_t spin = 0; spin < i * 40; spin++) {
            atomic_load(&self->runs);
        }
        atomic_store(&self->abort, true);
        while (atomic_load(&self->runs) == runs) { /* until it has ended, one way or the other */
        }
    }
    return NULL;
}

TEST(a_run_may_be_aborted_at_any_moment)
{
    expect(false);
    engine e;
    start(&e, 3, LENGTH, false);
    ltlm_kv *kv = sequence(&e);
    aborter other = {0};
    batch b = {.rows = {.abort = &other.abort}};
    const float *logits;
    pthread_t thread;
    int32_t cancelled = 0;
    add(&b, kv, 0, LENGTH, false);
    ASSERT(pthread_create(&thread, NULL, abort_later, &other) == 0);
    for (int32_t i = 0; i < 200; i++) {
        int32_t status = run(&e, &b, &logits);
        ASSERT(status == LTLM_OK || status == LTLM_E_CANCELLED);
        ASSERT(status != LTLM_OK || is_expected(0, LENGTH - 1, logits));
        cancelled += status == LTLM_E_CANCELLED;
        while (!atomic_load(&other.abort)) {
        }
        atomic_store(&other.abort, false);
        atomic_fetch_add(&other.runs, 1);
    }
    pthread_join(thread, NULL);
    ASSERT(cancelled > 0);
    ltlm_kv_delete(kv);
    stop(&e);
}

TEST(more_rows_are_worth_more_threads)
{
    engine e;
    start(&e, 4, LENGTH, false);
    ASSERT_INT(1, ltlm_executor_worthwhile_threads(e.executor, 1, 1));
    ASSERT_INT(4, ltlm_executor_worthwhile_threads(e.executor, 1 << 20, 1 << 20));
    int32_t before = 1;
    for (int32_t rows = 1; rows < 1 << 20; rows *= 2) {
        int32_t threads = ltlm_executor_worthwhile_threads(e.executor, rows, 0);
        ASSERT(threads >= before && threads <= 4);
        before = threads;
    }
    stop(&e);
}

/* ---- limits ---- */

TEST(runs_and_executors_out_of_range_are_refused)
{
    engine e;
    start(&e, 1, 2, false);
    ltlm_error err;
    ltlm_executor *none;
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_executor_create(e.program, e.store, e.pool, 0, 0, &none, &err));
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_executor_create(e.program, e.store, e.pool, 2, 3, &none, &err));
    ltlm_kv *kv = sequence(&e);
    batch b = {0};
    const float *logits;
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, run(&e, &b, &logits));
    add(&b, kv, 0, 3, true);
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, run(&e, &b, &logits));
    ltlm_kv_delete(kv);
    stop(&e);
}

/* One number of the plan is another. */
static void damage(tiny_model *m)
{
    const struct {
        void *items;
        size_t bytes;
    } tables[] = {
        {m->matrices, m->plan.matrix_count * sizeof *m->matrices},
        {m->constants, m->plan.constant_count * sizeof *m->constants},
        {m->widths, m->plan.value_count * sizeof *m->widths},
        {m->caches, m->plan.cache_count * sizeof *m->caches},
        {m->steps, m->plan.step_count * sizeof *m->steps},
        {m->steps, m->plan.step_count * sizeof *m->steps},
    };
    size_t which = tiny_random(m) % (sizeof tables / sizeof *tables);
    size_t at = tiny_random(m) % (tables[which].bytes / sizeof(int32_t));
    int32_t *number = (int32_t *)tables[which].items + at;
    const int32_t others[] = {0,         1,         -1,        (int32_t)((uint32_t)*number + 1),
                              INT32_MAX, INT32_MIN, ~*number,  (int32_t)(tiny_random(m) % 128),
                              *number ^ 1, *number / 2};
    int32_t other = others[tiny_random(m) % (sizeof others / sizeof *others)];
    memcpy(number, &other, sizeof other); /* a float or half a uint64_t, perhaps */
    for (size_t i = 0; i < m->plan.matrix_count; i++) {
        bool *flag = &m->matrices[i].float_activations;
        uint8_t byte;
        memcpy(&byte, flag, 1);
        *flag = byte & 1; /* what cffi passes is a bool */
    }
}

/* Runs a few rows of the plan, if it is accepted. */
static bool survives(tiny_model *m, ltlm_pool *pool)
{
    engine e = {.model = m, .pool = pool};
    ltlm_error err;
    if (ltlm_program_create(&m->plan, m->fd, m->file_size, LTLM_WEIGHTS_MAPPED, ltlm_kernels_portable(), pool,
                            &e.program, &err) != LTLM_OK) {
        /* The latter where scales are read from another place, which holds none. */
        ASSERT(err.status == LTLM_E_INVALID_ARGUMENT || err.status == LTLM_E_ENGINE);
        ASSERT(err.reason[0]);
        return false;
    }
    ASSERT_INT(LTLM_OK, ltlm_kv_store_create(m->caches, m->plan.cache_count, true, 0, &e.store, &err));
    ASSERT_INT(LTLM_OK, ltlm_executor_create(e.program, e.store, pool, 40, 40, &e.executor, &err));
    ltlm_kv *kv = sequence(&e);
    batch b = {0};
    const float *logits;
    add(&b, kv, 0, 40, false);
    ASSERT_INT(LTLM_OK, run(&e, &b, &logits));
    ltlm_kv_delete(kv);
    ltlm_executor_delete(e.executor);
    ltlm_kv_store_delete(e.store);
    ltlm_program_delete(e.program);
    return true;
}

TEST(damaged_plans_are_refused_or_run)
{
    ltlm_pool *pool;
    ltlm_error err;
    ASSERT_INT(LTLM_OK, ltlm_pool_create(1, &pool, &err));
    tiny_model *whole = tiny_create();
    int32_t run = 0, refused = 0;
    for (int32_t i = 0; i < 500; i++) {
        tiny_model *m = malloc(sizeof *m);
        *m = *whole;
        m->random = (uint32_t)i * 2654435761u;
        m->plan.matrices = m->matrices;
        m->plan.floats = m->floats;
        m->plan.constants = m->constants;
        m->plan.widths = m->widths;
        m->plan.caches = m->caches;
        m->plan.steps = m->steps;
        damage(m);
        *(survives(m, pool) ? &run : &refused) += 1;
        free(m);
    }
    ASSERT(run > 50 && refused > 50);
    tiny_delete(whole);
    ltlm_pool_delete(pool);
}

TEST(memory_may_run_out_at_any_point_of_a_creation)
{
    engine e;
    start(&e, 2, 4, false);
    ltlm_error err;
    ltlm_executor *executor;
    int32_t status, i = 0;
    do {
        test_alloc_fail_after(i++);
        status = ltlm_executor_create(e.program, e.store, e.pool, 8, 4, &executor, &err);
        test_alloc_fail_after(-1);
        ASSERT(status == LTLM_OK || (status == LTLM_E_NO_MEMORY && !executor));
    } while (status != LTLM_OK);
    ASSERT(i > 5);
    ltlm_executor_delete(executor);
    stop(&e);
}

TESTS(RUN(logits_are_those_of_the_reference)
      RUN(results_do_not_depend_on_chunks_and_threads)
      RUN(nor_do_they_with_the_kernels_of_this_cpu)
      RUN(results_do_not_depend_on_who_else_runs)
      RUN(only_wanted_rows_have_logits)
      RUN(a_prompt_without_wanted_rows_fills_the_caches)
      RUN(a_copy_of_the_weights_says_the_same)
      RUN(a_run_that_is_aborted_before_it_begins_is_cancelled)
      RUN(a_run_may_be_aborted_at_any_moment)
      RUN(more_rows_are_worth_more_threads)
      RUN(runs_and_executors_out_of_range_are_refused)
      RUN(damaged_plans_are_refused_or_run)
      RUN(memory_may_run_out_at_any_point_of_a_creation))
