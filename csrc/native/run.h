/* run.h - an executor and the run it is at; for the files that run a program. */
#ifndef LTLM_RUN_H
#define LTLM_RUN_H

#include "program.h"

/* Rows of one sequence. */
typedef struct {
    int32_t first, count;
} ltlm__span;

/* The rows that a phase works on. */
typedef struct {
    int32_t rows;
    int32_t *index;    /* [rows]: which of the run's rows each is */
    ltlm__span *spans; /* [span_count], the most expensive to attend first */
    int32_t span_count;
} ltlm__stage;

/* Apart from each other by a cache line. */
typedef struct {
    atomic_int next;
    char apart[LTLM_ALIGN - sizeof(atomic_int)];
} ltlm__counter;

struct ltlm_executor {
    const ltlm_program *program;
    const ltlm_kv_store *store;
    ltlm_pool *pool;
    bool wide;
    int32_t max_rows, max_wanted;
    ltlm__huge homes[LTLM__HOMES]; /* of values; LTLM__SCRATCH: scratch_bytes for each thread, for anything */
    int32_t home_rows[LTLM__HOMES];
    size_t scratch_bytes;
    ltlm__huge bytes;          /* quantised activations of one product */
    ltlm_quantised *quantised; /* [max_rows] */

    /* the run */
    const ltlm_rows *rows;
    ltlm__stage early, late;
    ltlm__counter counters[2]; /* of the present turn and the next */
    atomic_int stopped_at;     /* the turn in which a thread saw the abort flag; INT32_MAX: none did */
};

/* One thread in a run. Between two meetings of the threads lies a turn: a phase, or the move of values to the
 * tail. */
typedef struct {
    ltlm_executor *executor;
    const ltlm__stage *stage;
    int32_t turn;
    int32_t team;     /* threads */
    uint8_t *scratch; /* its own */
} ltlm__hand;

/* Where row `row` of the stage has its floats of `value`. */
static inline float *ltlm__value_at(const ltlm__hand *hand, int32_t value, int32_t row)
{
    const ltlm_executor *executor = hand->executor;
    const ltlm__place *place = &executor->program->places[value];
    if (place->home == LTLM__SCRATCH) {
        return (float *)(void *)hand->scratch + place->offset;
    }
    float *home = (float *)(void *)executor->homes[place->home].bytes;
    return home + place->offset * (size_t)executor->home_rows[place->home] +
           (size_t)row * (size_t)place->stride;
}

/* The next `count` units of the turn's work: the first of them. INT32_MAX / 2 or more when the run is to
 * stop. */
static inline int32_t ltlm__take(const ltlm__hand *hand, int32_t count)
{
    ltlm_executor *executor = hand->executor;
    if (executor->rows->abort && atomic_load_explicit(executor->rows->abort, memory_order_relaxed)) {
        atomic_store_explicit(&executor->stopped_at, hand->turn, memory_order_relaxed);
        return INT32_MAX / 2;
    }
    return atomic_fetch_add_explicit(&executor->counters[hand->turn & 1].next, count, memory_order_relaxed);
}

/* row_steps.c: does steps from..to for row `row` of the stage. */
void ltlm__row_steps(const ltlm__hand *hand, int32_t from, int32_t to, int32_t row);

/* attention.c: this thread's part of an ATTEND. */
void ltlm__attend(const ltlm__hand *hand, const ltlm_step *step);
/* Bytes of scratch that it needs. */
size_t ltlm__attend_scratch(const ltlm_program *program);

#endif /* LTLM_RUN_H */
