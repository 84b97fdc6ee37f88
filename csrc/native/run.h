/* run.h - an executor and the run it is at; for the files that run a program. */
#ifndef LTLM_RUN_H
#define LTLM_RUN_H

#include "bell.h"
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

/* Where a run is. It goes through turns, a phase each, or the move of values to the tail; a turn's work is
 * cut into units. Nobody waits for a thread that is late, only for units that were taken: whoever finishes the
 * last one begins the next turn, and a thread that was away goes on with the turn that the run is at. */
typedef struct {
    atomic_uint_fast64_t taken; /* turn << 32 | units of it that are taken */
    char apart[LTLM_ALIGN];     /* all threads write to both */
    atomic_int finished;        /* units of the turn */
    char apart_too[LTLM_ALIGN];
    ltlm__bell begun; /* rings when a turn begins, and at the end of the run */
    int32_t turns;    /* of the run: it has ended when it is at this one */
    atomic_bool aborted;
} ltlm__progress;

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
    int32_t threads; /* at most */
    bool moves;      /* there is a turn that moves values to the tail */
    ltlm__progress progress;
    bool can_wait; /* progress.begun was made */
};

/* One thread in a run, and the turn that it is at. */
typedef struct {
    ltlm_executor *executor;
    uint8_t *scratch; /* its own */
    int32_t turn;
    int32_t units;            /* of the turn */
    const ltlm__phase *phase; /* NULL: the move */
    const ltlm__stage *stage;
} ltlm__hand;

/* Units from..to - 1 of a turn. */
typedef struct {
    int32_t from, to;
} ltlm__units;

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

/* turns.c: takes the next units of the turn, `count` of them if there are as many. False: there are none, the
 * run is at another turn by now, or it was aborted. Each unit that was taken is to be finished. */
bool ltlm__take(const ltlm__hand *hand, int32_t count, ltlm__units *out);
/* They are done. Whoever finishes a turn's last units begins the next one. */
void ltlm__finish(const ltlm__hand *hand, const ltlm__units *units);
/* Before a run of so many turns; no thread is in it yet. */
void ltlm__begin_run(ltlm_executor *executor, int32_t turns);
/* Waits until the run is at another turn than `turn` (-1: any), and stores it there. False: the run has
 * ended. */
bool ltlm__await_turn(ltlm_executor *executor, int32_t *turn);

/* row_steps.c: does steps from..to for row `row` of the stage. */
void ltlm__row_steps(const ltlm__hand *hand, int32_t from, int32_t to, int32_t row);

/* attention.c: how many units an ATTEND is, and this thread's part of it. */
int32_t ltlm__attend_units(const ltlm__hand *hand, const ltlm_step *step);
void ltlm__attend(const ltlm__hand *hand, const ltlm_step *step);
/* Bytes of scratch that it needs. */
size_t ltlm__attend_scratch(const ltlm_program *program);

#endif /* LTLM_RUN_H */
