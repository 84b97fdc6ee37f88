/* The stream between two threads, without any engine: the tests play the engine themselves. */
#include <pthread.h>
#include <stdatomic.h>

#include "platform.h"
#include "stream.h"
#include "testing.h"

/* ---- a source, and the engine thread ---- */

typedef struct {
    atomic_int cancels;
    atomic_int cancels_to_hear; /* ends the turn at this many; 0: never */
    atomic_int returned;        /* pushes that have come back */
    ltlm_stream *stream;
    ltlm_stream *husk; /* set by retire */
    pthread_t thread;
    int chunks;
    const char *error;
} engine;

static void on_cancel(void *producer)
{
    engine *self = producer;
    int cancels = atomic_fetch_add(&self->cancels, 1) + 1;
    if (cancels == atomic_load(&self->cancels_to_hear)) {
        ltlm__stream_finish(self->stream, "CANCELLED: Task cancelled");
    }
}

static void on_retire(void *producer, ltlm_stream *husk)
{
    engine *self = producer;
    ASSERT(!self->husk);
    ltlm__stream_link(husk, &self->husk);
}

static void start(engine *self, size_t capacity)
{
    *self = (engine){.error = NULL};
    ltlm__stream_source source = {.producer = self, .cancel = on_cancel, .retire = on_retire};
    self->stream = ltlm__stream_create(capacity, &source);
    ASSERT(self->stream);
    ltlm__stream_submitted(self->stream);
}

static void stop(engine *self)
{
    ltlm_stream_delete(self->stream);
    ASSERT(self->husk);
    ltlm__stream_free_husks(self->husk);
}

/* Pushes `chunks` numbers, then ends. */
static void *run(void *argument)
{
    engine *self = argument;
    for (int i = 0; i < self->chunks; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        ltlm__stream_push(self->stream, text);
        atomic_fetch_add(&self->returned, 1);
    }
    ltlm__stream_finish(self->stream, self->error);
    return NULL;
}

static void run_in_thread(engine *self, int chunks, const char *error)
{
    self->chunks = chunks;
    self->error = error;
    ASSERT(pthread_create(&self->thread, NULL, run, self) == 0);
}

/* Takes to the end; the chunks must be the numbers from 0. Gives how many, and the last batch. */
static int drain(engine *self, int want, int linger_ms, ltlm_batch *batch)
{
    int next = 0;
    do {
        ASSERT_INT(LTLM_OK, ltlm_stream_take(self->stream, want, linger_ms, -1, batch));
        const char *text = batch->data;
        for (int i = 0; i < batch->count; i++, text += strlen(text) + 1) {
            ASSERT_INT(next++, atoi(text));
        }
        ASSERT(text == batch->data + batch->size);
    } while (!batch->ended);
    return next;
}

static void push_n(engine *self, int count)
{
    for (int i = 0; i < count; i++) {
        ltlm__stream_push(self->stream, "abc"); /* 4 bytes with the NUL */
    }
}

/* ---- order and end ---- */

TEST(chunks_arrive_in_order)
{
    engine self;
    ltlm_batch batch;
    start(&self, 0);
    run_in_thread(&self, 5000, NULL);
    ASSERT_INT(5000, drain(&self, 1, 0, &batch));
    ASSERT_INT(LTLM_OK, batch.end.status);
    pthread_join(self.thread, NULL);
    stop(&self);
}

TEST(chunks_arrive_in_order_through_a_tiny_stream)
{
    engine self;
    ltlm_batch batch;
    start(&self, 1);
    run_in_thread(&self, 2000, NULL);
    ASSERT_INT(2000, drain(&self, 4, 1, &batch));
    pthread_join(self.thread, NULL);
    stop(&self);
}

TEST(one_take_delivers_all_that_is_queued)
{
    engine self;
    ltlm_batch batch;
    start(&self, 0);
    ltlm__stream_push(self.stream, "one");
    ltlm__stream_push(self.stream, "");
    ltlm__stream_push(self.stream, NULL);
    ltlm__stream_push(self.stream, "three");
    ASSERT_INT(LTLM_OK, ltlm_stream_take(self.stream, 1, 0, -1, &batch));
    ASSERT_INT(2, batch.count);
    ASSERT_INT(10, batch.size);
    ASSERT(memcmp(batch.data, "one\0three", 10) == 0);
    ASSERT(!batch.ended);
    ltlm__stream_finish(self.stream, NULL);
    stop(&self);
}

TEST(a_batch_is_valid_until_the_next_take)
{
    engine self;
    ltlm_batch first, second;
    start(&self, 0);
    ltlm__stream_push(self.stream, "first");
    ltlm_stream_take(self.stream, 1, 0, -1, &first);
    for (int i = 0; i < 1000; i++) {
        ltlm__stream_push(self.stream, "second");
    }
    ASSERT_STR("first", first.data);
    ltlm_stream_take(self.stream, 1, 0, -1, &second);
    ASSERT_INT(1000, second.count);
    ltlm__stream_finish(self.stream, NULL);
    stop(&self);
}

TEST(the_last_text_and_the_end_may_share_a_batch)
{
    engine self;
    ltlm_batch batch;
    start(&self, 0);
    push_n(&self, 2);
    ltlm__stream_finish(self.stream, NULL);
    ASSERT_INT(LTLM_OK, ltlm_stream_take(self.stream, 1, 0, -1, &batch));
    ASSERT_INT(2, batch.count);
    ASSERT(batch.ended);
    ASSERT_INT(LTLM_OK, batch.end.status);
    stop(&self);
}

TEST(there_is_exactly_one_end)
{
    engine self;
    ltlm_batch batch;
    start(&self, 0);
    ltlm__stream_finish(self.stream, "INTERNAL: first");
    ltlm__stream_finish(self.stream, NULL);
    ltlm__stream_push(self.stream, "late");
    ltlm__stream_finish(self.stream, "INTERNAL: third");
    ASSERT_INT(LTLM_OK, ltlm_stream_take(self.stream, 1, 0, -1, &batch));
    ASSERT(batch.ended);
    ASSERT_INT(0, batch.count);
    ASSERT_STR("", batch.data);
    ASSERT_INT(LTLM_E_ENGINE, batch.end.status);
    ASSERT_INT(13, batch.end.engine_code);
    ASSERT_STR("INTERNAL: first", batch.end.reason);
    ASSERT_INT(LTLM_E_ENDED, ltlm_stream_take(self.stream, 1, 0, -1, &batch));
    ASSERT(!batch.ended);
    ltlm__stream_finish(self.stream, NULL);
    ASSERT_INT(LTLM_E_ENDED, ltlm_stream_take(self.stream, 1, 0, -1, &batch));
    ASSERT_INT(1, ltlm__stream_discarded(self.stream));
    stop(&self);
}

TEST(words_that_are_not_utf8_reach_the_end)
{
    engine self;
    ltlm_batch batch;
    start(&self, 0);
    ltlm__stream_finish(self.stream, "\xFF\xFE broken");
    ltlm_stream_take(self.stream, 1, 0, -1, &batch);
    ASSERT_INT(LTLM_E_ENGINE, batch.end.status);
    ASSERT_INT(2, batch.end.engine_code);
    ASSERT_STR("\xFF\xFE broken", batch.end.reason);
    stop(&self);
}

TEST(the_clock_tells_submit_first_chunk_and_end)
{
    engine self;
    ltlm_batch batch;
    start(&self, 0);
    ASSERT_INT(LTLM_E_TIMED_OUT, ltlm_stream_take(self.stream, 1, 0, 0, &batch));
    ASSERT(batch.started_ns > 0 && batch.started_ns <= ltlm__now_ns());
    ASSERT_INT(0, batch.first_chunk_ns);
    push_n(&self, 1);
    ltlm_stream_take(self.stream, 1, 0, 0, &batch);
    ASSERT(batch.first_chunk_ns >= batch.started_ns);
    ASSERT_INT(0, batch.ended_ns);
    int64_t first = batch.first_chunk_ns;
    push_n(&self, 1);
    ltlm__stream_finish(self.stream, NULL);
    ltlm_stream_take(self.stream, 1, 0, 0, &batch);
    ASSERT_INT(first, batch.first_chunk_ns);
    ASSERT(batch.ended_ns >= first);
    stop(&self);
}

/* ---- waiting ---- */

TEST(a_take_times_out)
{
    engine self;
    ltlm_batch batch;
    start(&self, 0);
    int64_t before = ltlm__now_ns();
    ASSERT_INT(LTLM_E_TIMED_OUT, ltlm_stream_take(self.stream, 1, 50, 20, &batch));
    ASSERT(ltlm__now_ns() - before >= 20 * LTLM__NS_PER_MS);
    ASSERT_STR("", batch.data);
    ASSERT_INT(0, batch.count);
    ASSERT_INT(LTLM_E_TIMED_OUT, ltlm_stream_take(self.stream, 1, 50, 0, &batch));
    ASSERT(!ltlm_stream_is_over(self.stream));
    ltlm__stream_finish(self.stream, NULL);
    ASSERT(ltlm_stream_is_over(self.stream));
    stop(&self);
}

static void *take_sixteen(void *argument)
{
    engine *self = argument;
    ltlm_batch batch;
    ASSERT_INT(LTLM_OK, ltlm_stream_take(self->stream, 16, 20000, -1, &batch));
    ASSERT_INT(16, batch.count);
    return NULL;
}

TEST(a_lingering_take_waits_for_what_is_wanted)
{
    engine self;
    pthread_t consumer;
    start(&self, 0);
    pthread_create(&consumer, NULL, take_sixteen, &self);
    push_n(&self, 16); /* nobody ends the turn, and 20 seconds are far away: 16 alone wake it */
    pthread_join(consumer, NULL);
    ltlm__stream_finish(self.stream, NULL);
    stop(&self);
}

TEST(lingering_ends_in_time)
{
    engine self;
    ltlm_batch batch;
    start(&self, 0);
    push_n(&self, 1);
    int64_t before = ltlm__now_ns();
    ASSERT_INT(LTLM_OK, ltlm_stream_take(self.stream, 16, 20, -1, &batch));
    ASSERT(ltlm__now_ns() - before >= 20 * LTLM__NS_PER_MS);
    ASSERT_INT(1, batch.count);
    ltlm__stream_finish(self.stream, NULL);
    stop(&self);
}

TEST(lingering_ends_when_the_producer_waits_for_room)
{
    engine self;
    ltlm_batch batch;
    start(&self, 8); /* fewer than the wanted chunks fit: without the rule, this would last 20 seconds a batch */
    run_in_thread(&self, 50, NULL);
    ASSERT_INT(50, drain(&self, 16, 20000, &batch));
    pthread_join(self.thread, NULL);
    stop(&self);
}

TEST(lingering_ends_with_the_turn)
{
    engine self;
    ltlm_batch batch;
    start(&self, 0);
    run_in_thread(&self, 3, NULL);
    ASSERT_INT(3, drain(&self, 16, 20000, &batch));
    pthread_join(self.thread, NULL);
    stop(&self);
}

/* ---- a full stream ---- */

/* Waits until the engine thread has been stopped by the full stream: `returned` stays where it is. */
static void await_returned(engine *self, int count)
{
    while (atomic_load(&self->returned) < count) {
        ltlm_stream_is_over(self->stream); /* passes through the mutex */
    }
}

TEST(a_full_stream_makes_the_producer_wait)
{
    engine self;
    ltlm_batch batch;
    start(&self, 6); /* three chunks of one digit and a NUL */
    run_in_thread(&self, 9, NULL);
    await_returned(&self, 3);
    ltlm_stream_take(self.stream, 9, 10, -1, &batch);
    ASSERT_INT(3, batch.count);
    await_returned(&self, 6);
    ltlm_stream_take(self.stream, 9, 10, -1, &batch);
    ASSERT_INT(3, batch.count);
    ASSERT_INT(0, ltlm__stream_discarded(self.stream));
    stop(&self);
    pthread_join(self.thread, NULL);
}

TEST(a_chunk_larger_than_the_stream_is_admitted_alone)
{
    engine self;
    ltlm_batch batch;
    char *large = malloc(100001);
    memset(large, 'z', 100000);
    large[100000] = '\0';
    start(&self, 10);
    ltlm__stream_push(self.stream, large);
    ASSERT_INT(LTLM_OK, ltlm_stream_take(self.stream, 1, 0, 0, &batch));
    ASSERT_INT(100001, batch.size);
    ASSERT_STR(large, batch.data);
    ltlm__stream_finish(self.stream, NULL);
    stop(&self);
    free(large);
}

TEST(nothing_blocks_before_the_submit_has_returned)
{
    engine self = {.error = NULL};
    ltlm_batch batch;
    ltlm__stream_source source = {.producer = &self, .cancel = on_cancel, .retire = on_retire};
    self.stream = ltlm__stream_create(4, &source);
    push_n(&self, 100); /* on this very thread, as a dead conversation does */
    ltlm__stream_finish(self.stream, NULL);
    ltlm__stream_submitted(self.stream);
    ltlm_stream_take(self.stream, 1, 0, 0, &batch);
    ASSERT_INT(100, batch.count);
    stop(&self);
}

TEST(a_cancel_sets_a_waiting_producer_free)
{
    engine self;
    ltlm_batch batch;
    start(&self, 4);
    run_in_thread(&self, 1000, "CANCELLED: Task cancelled");
    await_returned(&self, 2);
    ltlm_stream_cancel(self.stream);
    pthread_join(self.thread, NULL); /* without a take */
    ASSERT_INT(2, drain(&self, 1, 0, &batch));
    ASSERT_INT(LTLM_E_CANCELLED, batch.end.status);
    ASSERT_INT(998, ltlm__stream_discarded(self.stream));
    stop(&self);
}

TEST(text_has_no_gap_after_a_discarded_chunk)
{
    engine self;
    ltlm_batch batch;
    start(&self, 4);
    ltlm_stream_cancel(self.stream);
    ltlm__stream_push(self.stream, "ab");
    ltlm__stream_push(self.stream, "too long for the rest");
    ltlm_stream_take(self.stream, 1, 0, 0, &batch);
    ASSERT_STR("ab", batch.data);
    ltlm__stream_push(self.stream, "ef"); /* would fit now */
    ASSERT_INT(2, ltlm__stream_discarded(self.stream));
    ltlm__stream_finish(self.stream, NULL);
    stop(&self);
}

/* ---- cancel ---- */

static ltlm_batch end_with(bool cancel, const char *error)
{
    engine self;
    ltlm_batch batch;
    start(&self, 0);
    if (cancel) {
        ltlm_stream_cancel(self.stream);
        ASSERT_INT(1, atomic_load(&self.cancels));
    }
    ltlm__stream_finish(self.stream, error);
    ltlm_stream_take(self.stream, 1, 0, -1, &batch);
    ltlm_stream_cancel(self.stream); /* harmless, and not passed on */
    ASSERT_INT(cancel, atomic_load(&self.cancels));
    stop(&self);
    return batch;
}

TEST(only_a_cancel_of_ours_counts_as_cancelled)
{
    ASSERT_INT(LTLM_E_CANCELLED, end_with(true, "CANCELLED: Task cancelled").end.status);
    ASSERT_INT(LTLM_E_CANCELLED, end_with(true, "CANCELLED.").end.status);
    ASSERT_INT(LTLM_E_ENGINE, end_with(false, "CANCELLED: Task cancelled").end.status);
    ASSERT_INT(1, end_with(false, "CANCELLED: Task cancelled").end.engine_code);
}

TEST(a_natural_end_that_races_with_a_cancel_is_no_failure)
{
    ASSERT_INT(LTLM_OK, end_with(true, NULL).end.status);
}

TEST(an_error_after_a_cancel_keeps_its_own_reason)
{
    ltlm_batch batch = end_with(true, "INTERNAL: broken");
    ASSERT_INT(LTLM_E_ENGINE, batch.end.status);
    ASSERT_STR("INTERNAL: broken", batch.end.reason);
}

TEST(a_take_repeats_a_cancel_that_was_lost)
{
    engine self;
    ltlm_batch batch;
    start(&self, 0);
    atomic_store(&self.cancels_to_hear, 4); /* three are lost; the fourth ends the turn on this thread */
    ltlm_stream_cancel(self.stream);
    ASSERT_INT(LTLM_OK, ltlm_stream_take(self.stream, 1, 0, -1, &batch));
    ASSERT(batch.ended);
    ASSERT_INT(LTLM_E_CANCELLED, batch.end.status);
    ASSERT_INT(4, atomic_load(&self.cancels));
    stop(&self);
}

TEST(a_take_that_times_out_repeats_the_cancel_too)
{
    engine self;
    ltlm_batch batch;
    start(&self, 0);
    ltlm_stream_cancel(self.stream);
    ASSERT_INT(LTLM_E_TIMED_OUT, ltlm_stream_take(self.stream, 1, 0, 30, &batch));
    ASSERT(atomic_load(&self.cancels) >= 2);
    ltlm__stream_finish(self.stream, NULL);
    stop(&self);
}

static void *take_to_the_end(void *argument)
{
    ltlm_batch *batch = malloc(sizeof *batch);
    drain(argument, 1, 0, batch);
    return batch;
}

TEST(a_cancel_reaches_a_consumer_that_waits)
{
    engine self;
    pthread_t consumer;
    void *result;
    start(&self, 0);
    atomic_store(&self.cancels_to_hear, 3);
    pthread_create(&consumer, NULL, take_to_the_end, &self);
    ltlm_stream_cancel(self.stream);
    pthread_join(consumer, &result);
    ASSERT_INT(LTLM_E_CANCELLED, ((ltlm_batch *)result)->end.status);
    free(result);
    stop(&self);
}

/* ---- delete ---- */

TEST(nothing_to_delete_is_fine) { ltlm_stream_delete(NULL); }

TEST(delete_cancels_until_it_is_heard)
{
    engine self;
    start(&self, 0);
    atomic_store(&self.cancels_to_hear, 5);
    stop(&self);
    ASSERT_INT(5, atomic_load(&self.cancels));
}

TEST(delete_waits_for_a_producer_that_waits_for_room)
{
    engine self;
    start(&self, 1);
    run_in_thread(&self, 300, "CANCELLED: Task cancelled");
    await_returned(&self, 1);
    stop(&self);
    pthread_join(self.thread, NULL);
    ASSERT_INT(300, atomic_load(&self.returned));
}

TEST(a_late_call_finds_a_husk)
{
    engine self;
    start(&self, 0);
    push_n(&self, 3);
    ltlm__stream_finish(self.stream, NULL);
    ltlm_stream_delete(self.stream);
    push_n(&self, 3); /* into the husk */
    ltlm__stream_finish(self.stream, "INTERNAL: late");
    ASSERT(ltlm__stream_producer(self.husk) == &self);
    ASSERT_INT(3, ltlm__stream_discarded(self.husk));
    ltlm__stream_free_husks(self.husk);
}

TEST(an_abandoned_stream_leaves_a_husk)
{
    engine self = {.error = NULL};
    ltlm__stream_source source = {.producer = &self, .cancel = on_cancel, .retire = on_retire};
    self.stream = ltlm__stream_create(4, &source);
    push_n(&self, 10);
    ltlm__stream_abandon(self.stream);
    ltlm__stream_push(self.stream, "late");
    ltlm__stream_finish(self.stream, NULL);
    ASSERT(self.husk == self.stream);
    ASSERT_INT(0, atomic_load(&self.cancels));
    ltlm__stream_free_husks(self.husk);
}

TEST(streams_survive_a_storm)
{
    for (int round = 0; round < 200; round++) {
        engine self;
        ltlm_batch batch;
        start(&self, (size_t)(1 + round % 40));
        run_in_thread(&self, 100, round % 2 ? "CANCELLED: x" : NULL);
        for (int i = 0; i < round % 7; i++) {
            ltlm_stream_take(self.stream, 1 + i, i % 2, round % 3, &batch);
        }
        if (round % 5 == 0) {
            ltlm_stream_cancel(self.stream);
        }
        stop(&self); /* at any moment of the turn */
        pthread_join(self.thread, NULL);
    }
}

/* ---- memory ---- */

TEST(a_chunk_that_finds_no_memory_ends_the_turn)
{
    engine self;
    ltlm_batch batch;
    start(&self, 0);
    atomic_store(&self.cancels_to_hear, 1);
    push_n(&self, 2);
    test_alloc_fail_after(0);
    char large[2000];
    memset(large, 'z', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    ltlm__stream_push(self.stream, large);
    test_alloc_fail_after(-1);
    ltlm__stream_push(self.stream, "after a gap");
    ASSERT_INT(0, atomic_load(&self.cancels)); /* the engine thread must not cancel */
    ASSERT_INT(LTLM_OK, ltlm_stream_take(self.stream, 1, 0, -1, &batch));
    ASSERT_INT(2, batch.count);
    ASSERT(!batch.ended);
    ASSERT_INT(LTLM_OK, ltlm_stream_take(self.stream, 1, 0, -1, &batch)); /* cancels */
    ASSERT(batch.ended);
    ASSERT_INT(LTLM_E_NO_MEMORY, batch.end.status);
    ASSERT_INT(0, batch.count);
    stop(&self);
}

TEST(a_waiting_consumer_cancels_when_memory_is_out)
{
    engine self;
    pthread_t consumer;
    void *result;
    start(&self, 0);
    atomic_store(&self.cancels_to_hear, 2);
    pthread_create(&consumer, NULL, take_to_the_end, &self);
    test_alloc_fail_after(0);
    push_n(&self, 1);
    test_alloc_fail_after(-1);
    pthread_join(consumer, &result);
    ASSERT_INT(LTLM_E_NO_MEMORY, ((ltlm_batch *)result)->end.status);
    free(result);
    stop(&self);
}

TESTS(RUN(chunks_arrive_in_order)                                   //
      RUN(chunks_arrive_in_order_through_a_tiny_stream)             //
      RUN(one_take_delivers_all_that_is_queued)                     //
      RUN(a_batch_is_valid_until_the_next_take)                     //
      RUN(the_last_text_and_the_end_may_share_a_batch)              //
      RUN(there_is_exactly_one_end)                                 //
      RUN(words_that_are_not_utf8_reach_the_end)                    //
      RUN(the_clock_tells_submit_first_chunk_and_end)               //
      RUN(a_take_times_out)                                         //
      RUN(a_lingering_take_waits_for_what_is_wanted)                //
      RUN(lingering_ends_in_time)                                   //
      RUN(lingering_ends_when_the_producer_waits_for_room)          //
      RUN(lingering_ends_with_the_turn)                             //
      RUN(a_full_stream_makes_the_producer_wait)                    //
      RUN(a_chunk_larger_than_the_stream_is_admitted_alone)         //
      RUN(nothing_blocks_before_the_submit_has_returned)            //
      RUN(a_cancel_sets_a_waiting_producer_free)                    //
      RUN(text_has_no_gap_after_a_discarded_chunk)                  //
      RUN(only_a_cancel_of_ours_counts_as_cancelled)                //
      RUN(a_natural_end_that_races_with_a_cancel_is_no_failure)     //
      RUN(an_error_after_a_cancel_keeps_its_own_reason)             //
      RUN(a_take_repeats_a_cancel_that_was_lost)                    //
      RUN(a_take_that_times_out_repeats_the_cancel_too)             //
      RUN(a_cancel_reaches_a_consumer_that_waits)                   //
      RUN(nothing_to_delete_is_fine)                                //
      RUN(delete_cancels_until_it_is_heard)                         //
      RUN(delete_waits_for_a_producer_that_waits_for_room)          //
      RUN(a_late_call_finds_a_husk)                                 //
      RUN(an_abandoned_stream_leaves_a_husk)                        //
      RUN(streams_survive_a_storm)                                  //
      RUN(a_chunk_that_finds_no_memory_ends_the_turn)               //
      RUN(a_waiting_consumer_cancels_when_memory_is_out))
