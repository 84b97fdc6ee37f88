/* stream.h - the producer's side of ltlm_stream: a bounded queue of text chunks with one terminal item.
 *
 * Two parties share a stream. The producer (an engine's thread) pushes and finishes; the consumer (whoever
 * holds the ltlm_stream) takes, cancels and deletes. The order of one turn:
 *
 *   consumer's thread                          engine thread
 *   ltlm__stream_create
 *   the engine's send begins                   ltlm__stream_push ...    (may begin before send returns, or
 *   ltlm__stream_submitted                                               run on the sending thread itself)
 *   ltlm_stream_take ...                       ltlm__stream_push ...
 *                                              ltlm__stream_finish      first one counts, later ones do nothing
 *   ltlm_stream_take -> ended
 *   ltlm_stream_delete                         (waited for, if still running)
 *
 * The engine keeps the stream's address and has been known to call once more than it should (a second
 * final, a final after a refused send). So ltlm_stream_delete frees only the text; the small rest, the husk,
 * goes to the source's `retire`, which keeps it until the engine can no longer call and then frees it with
 * ltlm__stream_free_husks. A push or finish on a husk does nothing.
 *
 * Locking: one mutex, never held while `cancel` or `retire` run, as both enter the engine or its owner.
 */
#ifndef LTLM_STREAM_H
#define LTLM_STREAM_H

#include "ltlm.h"

/* Whose turn it is. Copied into the stream. */
typedef struct {
    void *producer; /* borrowed until the husk is freed */
    /* Asks the producer to stop. Any thread, repeatedly, and also after the end. */
    void (*cancel)(void *producer);
    /* Called once, by ltlm_stream_delete or ltlm__stream_abandon, when nothing more will be delivered:
     * `husk` is taken. */
    void (*retire)(void *producer, ltlm_stream *husk);
} ltlm__stream_source;

/* `capacity`: bytes of undelivered text, 0 for the default. NULL when memory is out. Any thread. The caller
 * must go on to call either ltlm__stream_submitted or ltlm__stream_abandon. */
ltlm_stream *ltlm__stream_create(size_t capacity, const ltlm__stream_source *source);

/* The engine has accepted the turn: from now on a full queue makes the producer wait. Before, it does not,
 * because the consumer does not have the stream yet and may even be the thread that pushes. */
void ltlm__stream_submitted(ltlm_stream *stream);

/* The engine has refused the turn: nothing is delivered, the husk is retired. Waits for a producer that is
 * inside. Not after ltlm__stream_submitted. */
void ltlm__stream_abandon(ltlm_stream *stream);

/* Appends a chunk (copied; "" and NULL are ignored). Blocks while the queue is full and the turn is neither
 * cancelled nor being deleted. Engine thread. */
void ltlm__stream_push(ltlm_stream *stream, const char *text);

/* The terminal item: LTLM_OK when `error` is NULL, else what the engine's words mean. Engine thread. */
void ltlm__stream_finish(ltlm_stream *stream, const char *error);

/* The source's producer. Valid on a husk too. Any thread. */
void *ltlm__stream_producer(const ltlm_stream *stream);

/* Chunks that were discarded: after a cancel on a full queue, after a failed allocation, after the end. Any
 * thread. */
size_t ltlm__stream_discarded(ltlm_stream *stream);

/* Links husks into a list for their keeper. Owner thread. */
void ltlm__stream_link(ltlm_stream *husk, ltlm_stream **list);

/* Frees a list of husks; the engine must be unable to call back on any of them. Owner thread. */
void ltlm__stream_free_husks(ltlm_stream *list);

#endif /* LTLM_STREAM_H */
