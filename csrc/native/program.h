/* program.h - what a program is made of; for the files that make one and run one. Read-only once made.
 *
 * Steps are bundled into phases; one is finished before the next begins:
 *  - rows: steps that concern one row alone, done for one row after the other; rows are shared out. At the
 *    end the row's input of the following LINEAR is quantised.
 *  - product: one LINEAR; the rows of its matrices are shared out.
 *  - attention: one ATTEND; kv heads and blocks of queries are shared out.
 * Phases from `tail` on come after the last KV_STORE: only rows whose logits are wanted get there.
 */
#ifndef LTLM_PROGRAM_H
#define LTLM_PROGRAM_H

#include "executor.h"
#include "memory.h"

typedef enum { LTLM__ROWS, LTLM__PRODUCT, LTLM__ATTENTION } ltlm__phase_kind;

typedef struct {
    int32_t kind;     /* an ltlm__phase_kind */
    int32_t from, to; /* steps */
    int32_t prepare;  /* rows: the LINEAR whose input is quantised; -1: none */
} ltlm__phase;

/* Where values are. */
typedef enum {
    LTLM__SCRATCH, /* each thread's own, for the row it is at: written and read in one rows phase */
    LTLM__EARLY,   /* a place for every row */
    LTLM__LATE,    /* a place for every wanted row */
    LTLM__LOGITS,
    LTLM__HOMES
} ltlm__home;

typedef struct {
    int32_t home;   /* an ltlm__home */
    int32_t stride; /* floats from one row to the next */
    size_t offset;  /* floats; times the number of rows that the home is made for */
} ltlm__place;

/* Weights where they are read from. */
typedef struct {
    ltlm_weights *items; /* [matrix_count] */
    const uint8_t *map;  /* the file */
    size_t map_size;
    ltlm__huge copy;   /* of what products read; none when it is read from the map */
    ltlm__huge tables; /* scales and sums */
} ltlm__weight_set;

struct ltlm_program {
    ltlm_plan plan; /* its arrays are the program's own */
    const ltlm_kernels *kernels;
    ltlm__weight_set weights;
    ltlm__phase *phases;
    int32_t phase_count, tail;
    ltlm__place *places; /* [value_count] */
    int32_t *crossing;   /* values that the tail reads and earlier phases wrote; [crossing_count] */
    int32_t crossing_count;
    size_t floats[LTLM__HOMES]; /* of one row */
};

/* ---- check.c, check_steps.c: LTLM_E_INVALID_ARGUMENT says which step or matrix is wrong, and why ---- */

int32_t ltlm__plan_check(const ltlm_plan *plan, uint64_t file_size, ltlm_error *err);
int32_t ltlm__steps_check(const ltlm_plan *plan, ltlm_error *err); /* after the tables, which it relies on */

/* ---- weights.c: of a plan that was checked ---- */

uint64_t ltlm__matrix_bytes(const ltlm_matrix *matrix);
uint64_t ltlm__scale_bytes(const ltlm_matrix *matrix);
/* Whether products with it take quantised activations. */
bool ltlm__is_quantised(const ltlm_matrix *matrix);
/* What kernels call the format of its activations: LTLM_FLOAT32 if they are not quantised. */
int32_t ltlm__activation_format(const ltlm_matrix *matrix);
/* *out: caller frees with ltlm__weights_unload, on failure as well. */
int32_t ltlm__weights_load(const ltlm_plan *plan, int32_t fd, uint64_t file_size, int32_t place,
                           const ltlm_kernels *kernels, ltlm_pool *pool, ltlm__weight_set *out,
                           ltlm_error *err);
void ltlm__weights_unload(ltlm__weight_set *weights);

/* ---- phases.c: fills phases, places, crossing and floats of a program that has its plan ---- */

int32_t ltlm__phases_make(ltlm_program *program, ltlm_error *err);

#endif /* LTLM_PROGRAM_H */
