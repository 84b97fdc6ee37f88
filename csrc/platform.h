/* platform.h - what differs between systems: mutex, condition with a monotonic deadline, clock, atomics,
 * dynamic loading. POSIX and Win32. Everything here may be used from any thread.
 */
#ifndef LTLM_PLATFORM_H
#define LTLM_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LTLM__NS_PER_MS INT64_C(1000000)
#define LTLM__FOREVER INT64_MAX /* a deadline that never comes */

#ifdef _WIN32
#include "platform_win32.h"
#else
#include "platform_posix.h"
#endif

/* Each platform file defines:
 *
 *   ltlm__mutex, ltlm__cond         not movable once initialised
 *   bool ltlm__mutex_init(m)        false when the system is out of resources
 *   void ltlm__mutex_lock/unlock/destroy(m)
 *   bool ltlm__cond_init(c)
 *   void ltlm__cond_signal/broadcast/destroy(c)   wake with the mutex held: the waiter may free the condition
 *   bool ltlm__cond_wait(c, m, deadline_ns)   false once the deadline has passed; may wake for no reason
 *   int64_t ltlm__now_ns(void)      monotonic
 *   ltlm__atomic                    a 32-bit counter or flag; zeroed memory is a valid 0
 *   int32_t ltlm__atomic_add(a, delta)   the new value
 *   int32_t ltlm__atomic_load(a)
 *   bool ltlm__atomic_claim(a)      0 -> 1; false when it was not 0
 *   void ltlm__atomic_release(a)    -> 0
 *   void *ltlm__library_load(path, why, size)   NULL and the system's words in `why` on failure
 *   void *ltlm__library_symbol(library, name)   NULL when there is none
 *   void ltlm__fd_close(fd)
 *   ltlm__thread                    not movable while it runs; joined exactly once
 *   bool ltlm__thread_start(t, run, context)   with all signals blocked; false: there can be no more threads
 *   void ltlm__thread_join(t)
 *   int64_t ltlm__process_id(void)
 */

#endif /* LTLM_PLATFORM_H */
