/* chunks.h - a growing buffer of text chunks, each followed by a NUL byte. One thread at a time. Zeroed memory
 * is a valid empty buffer.
 */
#ifndef LTLM_CHUNKS_H
#define LTLM_CHUNKS_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc.h"

typedef struct {
    char *data;
    size_t size; /* bytes used */
    size_t allocated;
    int32_t count; /* chunks in it */
} ltlm__chunks;

/* Copies `size` bytes of `text`, of which the last is the NUL byte. False, with nothing changed, when memory
 * is out. */
static inline bool ltlm__chunks_append(ltlm__chunks *chunks, const char *text, size_t size)
{
    if (size > chunks->allocated - chunks->size) {
        size_t wanted = chunks->allocated ? chunks->allocated * 2 : 256;
        while (wanted - chunks->size < size) {
            wanted *= 2;
        }
        char *data = ltlm__realloc(chunks->data, wanted);
        if (!data) {
            return false;
        }
        chunks->data = data;
        chunks->allocated = wanted;
    }
    memcpy(chunks->data + chunks->size, text, size);
    chunks->size += size;
    chunks->count++;
    return true;
}

static inline void ltlm__chunks_clear(ltlm__chunks *chunks)
{
    ltlm__free(chunks->data);
    *chunks = (ltlm__chunks){0};
}

#endif /* LTLM_CHUNKS_H */
