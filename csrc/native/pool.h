/* pool.h - the threads that compute. One pool serves all models of a process.
 *
 * A run does not wait for threads that the system is slow to let run: whoever comes in time does the work,
 * and who is late finds what is left of it, or the next run. So a core that has other things to do holds up
 * no more than the piece of work that its thread is at. Idle threads sleep (bell.h). Nothing is pinned, and
 * no signal is delivered to them.
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

/* What the threads of a run execute; `thread` is below ltlm_pool_threads, and 0 for the caller of the run. It
 * takes pieces of the work as long as there are any, and returns when there are none left to take. A thread
 * may be called again in the same run. */
typedef void (*ltlm_job)(void *context, int32_t thread);

/* Runs `job` on the caller and on those of up to `threads - 1` others that come before the caller is through,
 * and returns when all of them have. What was written before is seen by all, and what they write is seen
 * after. Runs of several callers take turns, first come, first served. Any thread but one that is inside a
 * run. */
void ltlm_pool_run(ltlm_pool *pool, int32_t threads, ltlm_job job, void *context);

#endif /* LTLM_POOL_H */
