#include "fake_executor.h"

#include <pthread.h>
#include <time.h>

#include "alloc.h"
#include "native/executor.h"
#include "status.h"
#include "testing.h"

#define DIM 8

static const ltlm_cache CACHES[] = {{1, DIM, 0}, {1, DIM, FAKE_WINDOW}};

/* ---- the model --------------------------------------------------------------------------------- */

const ltlm_plan *fake_plan(void)
{
    static const ltlm_plan plan = {
        .caches = CACHES, .cache_count = 2, .vocabulary = FAKE_VOCABULARY, .max_context = FAKE_CONTEXT};
    return &plan;
}

static uint64_t mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

static uint64_t hash_on(uint64_t hash, int32_t token) { return mix(hash * 3 + (uint64_t)token + 1); }

static void logits_of(uint64_t hash, float *logits)
{
    for (uint64_t i = 0; i < FAKE_VOCABULARY; i++) {
        logits[i] = (float)(mix(hash + i * 977) >> 40) / (float)(1 << 24) * 8 - 4;
    }
}

void fake_logits(const int32_t *tokens, int32_t count, float *logits)
{
    uint64_t hash = 0;
    for (int32_t i = 0; i < count; i++) {
        hash = hash_on(hash, tokens[i]);
    }
    logits_of(hash, logits);
}

int32_t fake_next(const int32_t *tokens, int32_t count)
{
    float logits[FAKE_VOCABULARY];
    fake_logits(tokens, count, logits);
    return ltlm_kernels_portable()->argmax(logits, FAKE_VOCABULARY);
}

/* ---- control ----------------------------------------------------------------------------------- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool paused;
static int32_t stopped; /* runs that were stopped so far */
static int32_t steps;   /* of these may go on */
static int32_t failure;
static fake_counts counts;

void fake_pause(void)
{
    pthread_mutex_lock(&mutex);
    paused = true;
    steps = stopped;
    pthread_mutex_unlock(&mutex);
}

void fake_resume(void)
{
    pthread_mutex_lock(&mutex);
    paused = false;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

void fake_wait_for_run(void)
{
    pthread_mutex_lock(&mutex);
    while (stopped == steps) {
        pthread_cond_wait(&changed, &mutex);
    }
    pthread_mutex_unlock(&mutex);
}

void fake_step(void)
{
    fake_wait_for_run();
    pthread_mutex_lock(&mutex);
    steps++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    fake_wait_for_run();
}

void fake_fail_next(int32_t status)
{
    pthread_mutex_lock(&mutex);
    failure = status;
    pthread_mutex_unlock(&mutex);
}

fake_counts fake_count(void)
{
    pthread_mutex_lock(&mutex);
    fake_counts now = counts;
    pthread_mutex_unlock(&mutex);
    return now;
}

void fake_reset(void)
{
    pthread_mutex_lock(&mutex);
    paused = false;
    stopped = steps = 0;
    failure = LTLM_OK;
    counts = (fake_counts){0};
    pthread_mutex_unlock(&mutex);
}

/* Waits while paused. Returns how the run is to end. An abort rings no bell, so it is looked for. */
static int32_t pass_gate(const atomic_bool *abort)
{
    pthread_mutex_lock(&mutex);
    if (paused) {
        int32_t mine = ++stopped;
        pthread_cond_broadcast(&changed);
        while (paused && steps < mine && !atomic_load(abort)) {
            struct timespec until;
            clock_gettime(CLOCK_REALTIME, &until);
            until.tv_nsec += 500000;
            until.tv_sec += until.tv_nsec / 1000000000;
            until.tv_nsec %= 1000000000;
            pthread_cond_timedwait(&changed, &mutex, &until);
        }
        if (atomic_load(abort) && steps < mine) {
            steps = mine;
        }
    }
    int32_t status = failure;
    failure = LTLM_OK;
    if (status == LTLM_OK && atomic_load(abort)) {
        status = LTLM_E_CANCELLED;
        counts.aborted++;
    }
    pthread_mutex_unlock(&mutex);
    return status;
}

static void count_run(const ltlm_rows *rows)
{
    int32_t sequences = 0, run = 0;
    bool has_single = false, has_chunk = false;
    for (int32_t i = 0; i < rows->rows; i++) {
        run = i > 0 && rows->sequences[i] == rows->sequences[i - 1] ? run + 1 : 1;
        sequences += run == 1;
        has_chunk |= run == 2;
        bool is_last = i + 1 == rows->rows || rows->sequences[i] != rows->sequences[i + 1];
        has_single |= is_last && run == 1;
    }
    pthread_mutex_lock(&mutex);
    counts.runs++;
    counts.rows = rows->rows;
    counts.sequences = sequences;
    counts.most_sequences = sequences > counts.most_sequences ? sequences : counts.most_sequences;
    if (has_single && has_chunk && rows->rows > counts.most_rows) {
        counts.most_rows = rows->rows;
    }
    pthread_mutex_unlock(&mutex);
}

/* ---- program and executor ---------------------------------------------------------------------- */

struct ltlm_program {
    const ltlm_kernels *kernels;
};

struct ltlm_executor {
    const ltlm_kv_store *store;
    float *logits; /* [max_wanted, FAKE_VOCABULARY] */
    int32_t max_rows, max_wanted;
};

int32_t ltlm_program_create(const ltlm_plan *plan, int32_t fd, uint64_t file_size, int32_t weight_place,
                            const ltlm_kernels *kernels, ltlm_pool *pool, ltlm_program **out, ltlm_error *err)
{
    (void)plan, (void)fd, (void)file_size, (void)weight_place, (void)pool;
    *out = ltlm__calloc(1, sizeof **out);
    if (!*out) {
        return ltlm__fail_no_memory(err);
    }
    (*out)->kernels = kernels;
    return ltlm__succeed(err);
}

void ltlm_program_delete(ltlm_program *program) { ltlm__free(program); }

const ltlm_cache *ltlm_program_caches(const ltlm_program *program, size_t *count)
{
    (void)program;
    *count = 2;
    return CACHES;
}

const ltlm_kernels *ltlm_program_kernels(const ltlm_program *program) { return program->kernels; }

int32_t ltlm_program_vocabulary(const ltlm_program *program)
{
    (void)program;
    return FAKE_VOCABULARY;
}

int32_t ltlm_program_max_context(const ltlm_program *program)
{
    (void)program;
    return FAKE_CONTEXT;
}

size_t ltlm_program_weight_bytes(const ltlm_program *program)
{
    (void)program;
    return 12345;
}

int32_t ltlm_executor_create(const ltlm_program *program, ltlm_kv_store *store, ltlm_pool *pool,
                             int32_t max_rows, int32_t max_wanted, ltlm_executor **out, ltlm_error *err)
{
    (void)program, (void)pool;
    ltlm_executor *executor = *out = ltlm__calloc(1, sizeof **out);
    if (!executor) {
        return ltlm__fail_no_memory(err);
    }
    executor->store = store;
    executor->max_rows = max_rows;
    executor->max_wanted = max_wanted;
    executor->logits = ltlm__calloc((size_t)max_wanted * FAKE_VOCABULARY, sizeof(float));
    if (!executor->logits) {
        ltlm_executor_delete(executor);
        *out = NULL;
        return ltlm__fail_no_memory(err);
    }
    return ltlm__succeed(err);
}

void ltlm_executor_delete(ltlm_executor *executor)
{
    if (executor) {
        ltlm__free(executor->logits);
        ltlm__free(executor);
    }
}

/* A position's place for its token: the first element of its value. */
static uint16_t *slot(const ltlm_executor *executor, const ltlm_kv *kv, int32_t cache, int32_t position)
{
    const ltlm_kv_place *place = ltlm_kv_store_place(executor->store, cache);
    uint8_t *page = ltlm_kv_pages(kv, place->group)[position / LTLM_PAGE];
    ASSERT(page);
    return (uint16_t *)(void *)(page + place->values) + position % LTLM_PAGE * DIM;
}

/* The logits after `position`, from what the pages hold. */
static void look_back(const ltlm_executor *executor, const ltlm_kv *kv, int32_t position, float *logits)
{
    uint64_t hash = 0;
    for (int32_t p = 0; p <= position; p++) {
        int32_t token = *slot(executor, kv, 0, p);
        hash = hash_on(hash, token);
        if (p > position - FAKE_WINDOW) {
            ASSERT_INT(token, *slot(executor, kv, 1, p));
        }
    }
    logits_of(hash, logits);
}

int32_t ltlm_executor_worthwhile_threads(const ltlm_executor *executor, int32_t rows, int32_t wanted)
{
    (void)executor;
    (void)rows;
    (void)wanted;
    return 1;
}

int32_t ltlm_executor_run(ltlm_executor *executor, const ltlm_rows *rows, const float **logits)
{
    int32_t wanted = 0;
    count_run(rows);
    ASSERT(rows->rows >= 1 && rows->rows <= executor->max_rows);
    for (int32_t i = 0; i < rows->rows; i++) {
        const ltlm_kv *kv = rows->sequences[i];
        bool follows = i > 0 && rows->sequences[i - 1] == kv;
        ASSERT_INT(follows ? rows->positions[i - 1] + 1 : ltlm_kv_length(kv), rows->positions[i]);
        ASSERT(rows->positions[i] < FAKE_CONTEXT);
        for (int32_t cache = 0; cache < 2; cache++) {
            *slot(executor, kv, cache, rows->positions[i]) = (uint16_t)rows->tokens[i];
        }
    }
    int32_t status = pass_gate(rows->abort);
    for (int32_t i = 0; i < rows->rows && status == LTLM_OK; i++) {
        if (rows->wanted[i]) {
            ASSERT(wanted < executor->max_wanted);
            look_back(executor, rows->sequences[i], rows->positions[i],
                      executor->logits + (size_t)wanted++ * FAKE_VOCABULARY);
        }
    }
    *logits = executor->logits;
    return status;
}
