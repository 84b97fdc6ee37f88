/* How the threads of a run get through its turns. */
#include "run.h"

static uint64_t at(int32_t turn, int32_t units) { return (uint64_t)(uint32_t)turn << 32 | (uint32_t)units; }

static int32_t turn_of(uint64_t taken) { return (int32_t)(taken >> 32); }

void ltlm__begin_run(ltlm_executor *executor, int32_t turns)
{
    ltlm__progress *progress = &executor->progress;
    progress->turns = turns;
    atomic_store(&progress->aborted, false);
    atomic_store(&progress->finished, 0);
    atomic_store(&progress->taken, at(0, 0));
}

bool ltlm__await_turn(ltlm_executor *executor, int32_t *turn)
{
    ltlm__progress *progress = &executor->progress;
    for (;;) {
        unsigned seen = ltlm__bell_count(&progress->begun);
        int32_t now = turn_of(atomic_load_explicit(&progress->taken, memory_order_acquire));
        if (now != *turn) {
            *turn = now;
            return now < progress->turns;
        }
        ltlm__bell_wait(&progress->begun, seen);
    }
}

static void end_early(ltlm__progress *progress)
{
    atomic_store(&progress->aborted, true);
    atomic_store(&progress->taken, at(progress->turns, 0));
    ltlm__bell_ring(&progress->begun);
}

bool ltlm__take(const ltlm__hand *hand, int32_t count, ltlm__units *out)
{
    ltlm__progress *progress = &hand->executor->progress;
    const atomic_bool *abort = hand->executor->rows->abort;
    uint64_t taken = atomic_load_explicit(&progress->taken, memory_order_relaxed);
    do {
        int32_t from = (int32_t)(uint32_t)taken;
        if (turn_of(taken) != hand->turn || from == hand->units) {
            return false;
        }
        if (abort && atomic_load_explicit(abort, memory_order_relaxed)) {
            end_early(progress);
            return false;
        }
        *out = (ltlm__units){from, hand->units - from < count ? hand->units : from + count};
    } while (!atomic_compare_exchange_weak_explicit(&progress->taken, &taken, at(hand->turn, out->to),
                                                    memory_order_acquire, memory_order_relaxed));
    return true;
}

void ltlm__finish(const ltlm__hand *hand, const ltlm__units *units)
{
    ltlm__progress *progress = &hand->executor->progress;
    int32_t count = units->to - units->from;
    if (atomic_fetch_add_explicit(&progress->finished, count, memory_order_acq_rel) + count < hand->units) {
        return;
    }
    /* All units are finished, so nobody else is at this turn any more. If the run was aborted meanwhile, it
     * has ended and stays so. */
    atomic_store_explicit(&progress->finished, 0, memory_order_relaxed);
    uint64_t taken = at(hand->turn, hand->units);
    atomic_compare_exchange_strong(&progress->taken, &taken, at(hand->turn + 1, 0));
    ltlm__bell_ring(&progress->begun);
}
