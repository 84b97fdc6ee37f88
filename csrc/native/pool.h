/* pool.h - the threads that compute. One pool serves all models of a process.
 *
 * Threads spin for some tens of microseconds when there is nothing to do, then sleep (futex; a condition
 * variable where there is none), so that an idle pool costs nothing and a busy core does not starve. Nothing
 * is pinned, and no signal is delivered to them.
 *
 * After fork() the child has none of the threads: there a run is done by its caller alone, whatever was going
 * on when the process forked, and deleting the pool frees its memory only.
 */
#ifndef LTLM_POOL_H
#define LTLM_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ltlm.h"
#include "native.h"

typedef struct ltlm_team ltlm_team;

/* What every thread of a run executes. `thread` counts from 0, the caller's own, to ltlm_team_size - 1. */
typedef void (*ltlm_job)(void *context, int32_t thread, ltlm_team *team);

/* Runs `job` on every thread of the pool, the caller among them, and returns when all have. What was written
 * before is seen by all, and what they write is seen after. Runs of several callers take turns, first come,
 * first served. Any thread but one that is inside a run. */
void ltlm_pool_run(ltlm_pool *pool, ltlm_job job, void *context);

/* Inside a run, every thread calls it: waits until all have. What was written before is seen after. */
void ltlm_team_wait(ltlm_team *team);
/* At most ltlm_pool_threads; 1 in a forked child. */
int32_t ltlm_team_size(const ltlm_team *team);

#endif /* LTLM_POOL_H */
