/* fake_executor.h - a program and an executor whose logits are a plain function of all tokens so far, which it
 * reads from the KV pages that it writes: whatever goes wrong with pages, positions or rows changes what is
 * generated.
 */
#ifndef FAKE_EXECUTOR_H
#define FAKE_EXECUTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "native/plan.h"

enum { FAKE_VOCABULARY = 500, FAKE_CONTEXT = 1000, FAKE_WINDOW = 40 };

/* What a model of it is made with. Static. */
const ltlm_plan *fake_plan(void);

/* The logits after `tokens`: [FAKE_VOCABULARY], between -4 and 4. */
void fake_logits(const int32_t *tokens, int32_t count, float *logits);
/* The best of them. */
int32_t fake_next(const int32_t *tokens, int32_t count);

/* Runs that begin from now on stop at their beginning, until fake_resume; an abort ends them there. */
void fake_pause(void);
void fake_resume(void);
/* Waits until a run has been stopped. */
void fake_wait_for_run(void);
/* Lets the stopped run go on, and waits until the next one has been stopped. */
void fake_step(void);

/* The next run fails so. */
void fake_fail_next(int32_t status);

/* What runs have been made of, since fake_reset. */
typedef struct {
    int32_t runs, aborted;
    int32_t rows;      /* of the latest run */
    int32_t sequences; /* in it */
    int32_t most_rows; /* of a run in which a sequence had one row, and another had more */
    int32_t most_sequences;
} fake_counts;

fake_counts fake_count(void);
/* As at the beginning: not paused, nothing counted. */
void fake_reset(void);

#endif /* FAKE_EXECUTOR_H */
