#include "stream.h"

#include "alloc.h"
#include "chunks.h"
#include "platform.h"
#include "status.h"

#define DEFAULT_CAPACITY ((size_t)4 << 20)
/* How often an unanswered cancel is repeated. The engine loses one that comes just after the submit; an
 * answer takes some milliseconds; a prefill answers only when it is done, so this is no busy loop either. */
#define CANCEL_AGAIN_NS (5 * LTLM__NS_PER_MS)

struct ltlm_stream {
    /* read-only */
    ltlm__stream_source source;
    size_t capacity;
    int64_t started_ns;

    ltlm__mutex mutex; /* guards all below, except `delivered`, which is the consumer's alone */
    ltlm__cond readable;
    ltlm__cond writable;

    ltlm__chunks queued;    /* the producer appends here; a take swaps it with `delivered` */
    ltlm__chunks delivered; /* lent out by the latest take */
    ltlm_error *end;        /* allocated up front, so that the terminal item cannot fail; NULL in a husk */
    size_t discarded;
    int64_t first_chunk_ns, ended_ns;
    int32_t wanted;    /* the waiting consumer is woken at this many chunks; 0: nobody waits */
    int32_t inside;    /* producer calls in progress, so that nothing is freed under one */
    int32_t blocked;   /* of these, waiting for room */
    bool submitted;    /* send has returned */
    bool cancelled;    /* asked for by the consumer */
    bool no_memory;    /* a chunk could not be stored; the consumer cancels, as the engine thread must not */
    bool over;         /* the terminal item is in */
    bool end_taken;
    ltlm_stream *next; /* in the keeper's list of husks */
};

/* ---- life -------------------------------------------------------------------------------------- */

static bool init_locks(ltlm_stream *stream)
{
    if (!ltlm__mutex_init(&stream->mutex)) {
        return false;
    }
    if (ltlm__cond_init(&stream->readable)) {
        if (ltlm__cond_init(&stream->writable)) {
            return true;
        }
        ltlm__cond_destroy(&stream->readable);
    }
    ltlm__mutex_destroy(&stream->mutex);
    return false;
}

ltlm_stream *ltlm__stream_create(size_t capacity, const ltlm__stream_source *source)
{
    ltlm_stream *stream = ltlm__calloc(1, sizeof *stream);
    if (!stream) {
        return NULL;
    }
    stream->source = *source;
    stream->capacity = capacity ? capacity : DEFAULT_CAPACITY;
    stream->end = ltlm__calloc(1, sizeof *stream->end);
    if (!stream->end || !init_locks(stream)) {
        ltlm__free(stream->end);
        ltlm__free(stream);
        return NULL;
    }
    stream->started_ns = ltlm__now_ns();
    return stream;
}

void ltlm__stream_submitted(ltlm_stream *stream)
{
    ltlm__mutex_lock(&stream->mutex);
    stream->submitted = true;
    ltlm__mutex_unlock(&stream->mutex);
}

/* With the mutex held, the turn over and no producer inside: frees the text, unlocks, hands the husk on. */
static void retire(ltlm_stream *stream)
{
    ltlm__chunks_clear(&stream->queued);
    ltlm__chunks_clear(&stream->delivered);
    ltlm__free(stream->end);
    stream->end = NULL;
    ltlm__mutex_unlock(&stream->mutex);
    stream->source.retire(stream->source.producer, stream);
}

void ltlm__stream_abandon(ltlm_stream *stream)
{
    ltlm__mutex_lock(&stream->mutex);
    stream->over = stream->cancelled = true;
    ltlm__cond_broadcast(&stream->writable);
    while (stream->inside > 0) {
        ltlm__cond_wait(&stream->readable, &stream->mutex, LTLM__FOREVER);
    }
    retire(stream);
}

void *ltlm__stream_producer(const ltlm_stream *stream) { return stream->source.producer; }

void ltlm__stream_link(ltlm_stream *husk, ltlm_stream **list)
{
    husk->next = *list;
    *list = husk;
}

void ltlm__stream_free_husks(ltlm_stream *list)
{
    while (list) {
        ltlm_stream *husk = list;
        list = husk->next;
        /* Taking the mutex once more orders this thread after the last late call. */
        ltlm__mutex_lock(&husk->mutex);
        ltlm__mutex_unlock(&husk->mutex);
        ltlm__cond_destroy(&husk->readable);
        ltlm__cond_destroy(&husk->writable);
        ltlm__mutex_destroy(&husk->mutex);
        ltlm__free(husk);
    }
}

/* ---- producer ---------------------------------------------------------------------------------- */

static bool has_room(const ltlm_stream *stream, size_t size)
{
    size_t used = stream->queued.size;
    return used == 0 || (used < stream->capacity && size <= stream->capacity - used);
}

/* A gap in the text would be worse than its end: after one discarded chunk, all are. */
static bool is_discarding(const ltlm_stream *stream)
{
    return stream->over || stream->no_memory || (stream->cancelled && stream->discarded > 0);
}

/* Waits until a chunk of `size` may be appended. False: discard it. */
static bool wait_for_room(ltlm_stream *stream, size_t size)
{
    while (!is_discarding(stream)) {
        if (has_room(stream, size) || !stream->submitted) {
            return true;
        }
        if (stream->cancelled) {
            return false;
        }
        stream->blocked++;
        if (stream->wanted > 0) {
            ltlm__cond_signal(&stream->readable); /* a lingering consumer would wait in vain for more */
        }
        ltlm__cond_wait(&stream->writable, &stream->mutex, LTLM__FOREVER);
        stream->blocked--;
    }
    return false;
}

static void append(ltlm_stream *stream, const char *text, size_t size)
{
    if (!wait_for_room(stream, size)) {
        stream->discarded++;
        return;
    }
    if (!ltlm__chunks_append(&stream->queued, text, size)) {
        stream->no_memory = true;
        stream->discarded++;
        ltlm__cond_signal(&stream->readable); /* a consumer waits: it has to cancel */
        return;
    }
    if (stream->first_chunk_ns == 0) {
        stream->first_chunk_ns = ltlm__now_ns();
    }
    if (stream->wanted > 0 && stream->queued.count >= stream->wanted) {
        ltlm__cond_signal(&stream->readable);
    }
}

/* The last act of every producer call. The consumer that waits in delete or abandon goes on only after the
 * unlock that follows, and by then this thread touches nothing but the husk's mutex. */
static void leave(ltlm_stream *stream)
{
    stream->inside--;
    if (stream->over && stream->inside == 0) {
        ltlm__cond_signal(&stream->readable);
    }
    ltlm__mutex_unlock(&stream->mutex);
}

void ltlm__stream_push(ltlm_stream *stream, const char *text)
{
    size_t length = text ? strlen(text) : 0;
    if (length == 0) {
        return;
    }
    ltlm__mutex_lock(&stream->mutex);
    stream->inside++;
    append(stream, text, length + 1);
    leave(stream);
}

static void set_end(ltlm_stream *stream, const char *error)
{
    if (stream->no_memory) {
        ltlm__fail_no_memory(stream->end);
    } else if (!error) {
        ltlm__succeed(stream->end); /* also when it raced with a cancel: the text is complete */
    } else {
        int32_t code = ltlm__absl_code(error);
        /* A conversation that is dead reports CANCELLED for every later turn: only ours counts as one. */
        bool ours = stream->cancelled && code == LTLM__ABSL_CANCELLED;
        ltlm__fail_engine(stream->end, ours ? LTLM_E_CANCELLED : LTLM_E_ENGINE, code, error);
    }
}

void ltlm__stream_finish(ltlm_stream *stream, const char *error)
{
    ltlm__mutex_lock(&stream->mutex);
    stream->inside++;
    if (!stream->over) {
        set_end(stream, error);
        stream->ended_ns = ltlm__now_ns();
        stream->over = true;
        ltlm__cond_broadcast(&stream->writable); /* should another engine thread still wait for room */
    }
    leave(stream);
}

size_t ltlm__stream_discarded(ltlm_stream *stream)
{
    ltlm__mutex_lock(&stream->mutex);
    size_t discarded = stream->discarded;
    ltlm__mutex_unlock(&stream->mutex);
    return discarded;
}

/* ---- consumer ---------------------------------------------------------------------------------- */

static bool must_cancel(const ltlm_stream *stream)
{
    return (stream->cancelled || stream->no_memory) && !stream->over;
}

/* Asks the engine to stop, with the mutex released meanwhile: a dead conversation calls back from here. */
static void cancel_source(ltlm_stream *stream)
{
    ltlm__mutex_unlock(&stream->mutex);
    stream->source.cancel(stream->source.producer);
    ltlm__mutex_lock(&stream->mutex);
}

/* True when there are `want` chunks, the end, or a producer that waits for room. */
static bool is_ready(const ltlm_stream *stream, int32_t want)
{
    return stream->over || stream->queued.count >= want || (stream->blocked > 0 && stream->queued.count > 0);
}

/* Waits until is_ready or the deadline, and repeats a cancel that is due. */
static void wait_until_ready(ltlm_stream *stream, int32_t want, int64_t deadline_ns)
{
    while (!is_ready(stream, want)) {
        int64_t until = deadline_ns;
        if (must_cancel(stream)) {
            cancel_source(stream);
            int64_t again = ltlm__now_ns() + CANCEL_AGAIN_NS;
            until = again < deadline_ns ? again : deadline_ns;
            if (is_ready(stream, want)) {
                break;
            }
        }
        stream->wanted = want;
        bool in_time = ltlm__cond_wait(&stream->readable, &stream->mutex, until);
        stream->wanted = 0;
        if (!in_time && until == deadline_ns) {
            break;
        }
    }
}

static int64_t deadline_after(int32_t milliseconds)
{
    return milliseconds < 0 ? LTLM__FOREVER : ltlm__now_ns() + milliseconds * LTLM__NS_PER_MS;
}

/* Swaps the buffers: O(1), and the text needs no second copy. */
static void deliver(ltlm_stream *stream, ltlm_batch *out)
{
    ltlm__chunks full = stream->queued;
    stream->queued = stream->delivered;
    stream->queued.size = 0;
    stream->queued.count = 0;
    stream->delivered = full;
    if (full.size > 0) {
        out->data = full.data;
        out->size = full.size;
        out->count = full.count;
    }
    if (stream->blocked > 0) {
        ltlm__cond_broadcast(&stream->writable);
    }
    if (stream->over) {
        stream->end_taken = true;
        out->ended = true;
        out->end = *stream->end;
    }
}

/* Not a memset: `end` alone is 2 KiB, and nobody reads its text before `ended` is set. */
static void clear_batch(ltlm_batch *out)
{
    out->data = "";
    out->size = 0;
    out->count = 0;
    out->ended = false;
    ltlm__succeed(&out->end);
}

int32_t ltlm_stream_take(ltlm_stream *stream, int32_t want, int32_t linger_ms, int32_t timeout_ms,
                         ltlm_batch *out)
{
    int32_t status = LTLM_OK;
    clear_batch(out);
    ltlm__mutex_lock(&stream->mutex);
    if (stream->end_taken) {
        status = LTLM_E_ENDED;
    } else {
        wait_until_ready(stream, 1, deadline_after(timeout_ms));
        if (stream->queued.count > 0 && linger_ms > 0) {
            wait_until_ready(stream, want, deadline_after(linger_ms));
        }
        if (is_ready(stream, 1)) {
            deliver(stream, out);
        } else {
            status = LTLM_E_TIMED_OUT;
        }
    }
    out->started_ns = stream->started_ns;
    out->first_chunk_ns = stream->first_chunk_ns;
    out->ended_ns = stream->ended_ns;
    ltlm__mutex_unlock(&stream->mutex);
    return status;
}

void ltlm_stream_cancel(ltlm_stream *stream)
{
    ltlm__mutex_lock(&stream->mutex);
    stream->cancelled = true;
    ltlm__cond_broadcast(&stream->writable);
    if (stream->wanted > 0) {
        ltlm__cond_signal(&stream->readable); /* a consumer in take now has a cancel to repeat */
    }
    bool over = stream->over;
    ltlm__mutex_unlock(&stream->mutex);
    if (!over) {
        stream->source.cancel(stream->source.producer);
    }
}

bool ltlm_stream_is_over(ltlm_stream *stream)
{
    ltlm__mutex_lock(&stream->mutex);
    bool over = stream->over;
    ltlm__mutex_unlock(&stream->mutex);
    return over;
}

void ltlm_stream_delete(ltlm_stream *stream)
{
    if (!stream) {
        return;
    }
    ltlm__mutex_lock(&stream->mutex);
    stream->cancelled = true;
    ltlm__cond_broadcast(&stream->writable);
    while (!stream->over || stream->inside > 0) {
        if (!stream->over) {
            cancel_source(stream);
        }
        if (!stream->over || stream->inside > 0) {
            ltlm__cond_wait(&stream->readable, &stream->mutex, ltlm__now_ns() + CANCEL_AGAIN_NS);
        }
    }
    retire(stream);
}

int32_t ltlm_stream_dispose(ltlm_stream **stream, ltlm_error *err)
{
    ltlm_stream_delete(*stream);
    *stream = NULL;
    return ltlm__succeed(err);
}
