/* bell.h - a counter that threads wait for.
 *
 * Who waits looks for some tens of microseconds, then sleeps (futex; a condition variable where there is
 * none), so that an idle thread costs nothing and one on a busy core does not take it from others.
 */
#ifndef LTLM_BELL_H
#define LTLM_BELL_H

#include <stdatomic.h>
#include <stdbool.h>

#include "platform.h"

#if defined(__linux__) && !defined(LTLM_NO_FUTEX)
#define LTLM__HAS_FUTEX 1
#endif

typedef struct {
    atomic_uint count;    /* of rings */
    atomic_uint sleepers; /* threads that sleep or are about to: nobody is woken where nobody sleeps */
#ifndef LTLM__HAS_FUTEX
    ltlm__mutex mutex;
    ltlm__cond changed;
#endif
} ltlm__bell;

bool ltlm__bell_init(ltlm__bell *self);
void ltlm__bell_destroy(ltlm__bell *self);
/* What was written before is seen by those who saw it ring. Any thread. */
void ltlm__bell_ring(ltlm__bell *self);
/* Returns the count once it is not `seen`. To wait for something that is changed before a ring: read the
 * count, then look at the thing, then wait. Any thread. */
unsigned ltlm__bell_wait(ltlm__bell *self, unsigned seen);

static inline unsigned ltlm__bell_count(ltlm__bell *self)
{
    return atomic_load_explicit(&self->count, memory_order_acquire);
}

#endif /* LTLM_BELL_H */
