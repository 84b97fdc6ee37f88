/* executor.h - runs a plan on rows.
 *
 * A program is a plan that was checked against its model file: values have places, steps are bundled into
 * phases one after the other, weights are where they will be read from. It never changes. An
 * executor has the buffers of one run at a time.
 */
#ifndef LTLM_EXECUTOR_H
#define LTLM_EXECUTOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels.h"
#include "kv.h"
#include "ltlm.h"
#include "plan.h"
#include "pool.h"

typedef struct ltlm_program ltlm_program;
typedef struct ltlm_executor ltlm_executor;

/* Where weights are read from. */
typedef enum {
    LTLM_WEIGHTS_MAPPED = 0, /* the mapped file: shared with other processes, loads at once */
    LTLM_WEIGHTS_COPIED = 1  /* a copy of what products read, in huge pages where the system grants them, and
                                ordinary ones elsewhere; the system is told not to keep the file's pages as
                                well. Without memory for a copy, as LTLM_WEIGHTS_MAPPED. Tables that are only
                                looked up in stay in the file */
} ltlm_weight_place;

/* Checks everything: indexes, widths, that matrices and scales lie inside the file, values written before
 * read, shapes that fit each other; LTLM_E_INVALID_ARGUMENT says which step or matrix and why. And the file:
 * LTLM_E_ENGINE if it is cut off, cannot be read, or a scale is not finite.
 * `fd` is borrowed for the call, `file_size` bytes. The plan is copied, `kernels` is static, `pool` is used
 * in the call alone. *out: caller frees with ltlm_program_delete. Any thread. */
int32_t ltlm_program_create(const ltlm_plan *plan, int32_t fd, uint64_t file_size, int32_t weight_place,
                            const ltlm_kernels *kernels, ltlm_pool *pool, ltlm_program **out,
                            ltlm_error *err);
void ltlm_program_delete(ltlm_program *program);
const ltlm_cache *ltlm_program_caches(const ltlm_program *program, size_t *count);
const ltlm_kernels *ltlm_program_kernels(const ltlm_program *program);
int32_t ltlm_program_vocabulary(const ltlm_program *program);
int32_t ltlm_program_max_context(const ltlm_program *program);
size_t ltlm_program_weight_bytes(const ltlm_program *program); /* copied ones and tables made of them */

/* Rows of a run. Rows of one sequence are adjacent and their positions ascend without gaps from the
 * sequence's length on, which was reserved. Everything is borrowed for the run. */
typedef struct {
    int32_t rows;              /* 1..max_rows */
    int32_t threads;           /* >= 1: not more than these work on it */
    const int32_t *tokens;     /* [rows], below the vocabulary */
    const int32_t *positions;  /* [rows], below max_context */
    ltlm_kv *const *sequences; /* [rows] */
    const bool *wanted;        /* [rows]: whether its logits are; at most max_wanted are true */
    const atomic_bool *abort;  /* NULL, or set by any thread: stop soon, leaving nothing but garbage in
                                  reserved positions; once set, it stays so until the run returns */
} ltlm_rows;

/* Buffers for runs of up to `max_rows`, at most 65,536, of which up to `max_wanted` want logits. Program,
 * store and pool outlive it. *out: caller frees with ltlm_executor_delete. */
int32_t ltlm_executor_create(const ltlm_program *program, ltlm_kv_store *store, ltlm_pool *pool,
                             int32_t max_rows, int32_t max_wanted, ltlm_executor **out, ltlm_error *err);
void ltlm_executor_delete(ltlm_executor *executor);

/* How many threads a run is worth: each costs the others some microseconds a phase, and what it takes over
 * from them must be more than that. Any thread. */
int32_t ltlm_executor_worthwhile_threads(const ltlm_executor *executor, int32_t rows, int32_t wanted);

/* *logits: [wanted, vocabulary] in the order of rows, borrowed until the next run; NULL on failure. Does not
 * commit. LTLM_E_CANCELLED when it was aborted: within 5 ms or so. LTLM_E_INVALID_ARGUMENT: too many rows, or
 * too many wanted. One thread at a time. */
int32_t ltlm_executor_run(ltlm_executor *executor, const ltlm_rows *rows, const float **logits);

#endif /* LTLM_EXECUTOR_H */
