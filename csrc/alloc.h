/* alloc.h - the allocator switch: every allocation of csrc/ goes through these names.
 *
 * A test build (-DLTLM_ALLOC) links its own functions that count, and fail on request; any other build uses
 * the C library, and for whole pages the system. Blocks may be freed by another thread than the one that
 * allocated them.
 */
#ifndef LTLM_ALLOC_H
#define LTLM_ALLOC_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#ifdef LTLM_ALLOC
void *ltlm__test_calloc(size_t count, size_t size);
void *ltlm__test_realloc(void *block, size_t size);
void ltlm__test_free(void *block);
void *ltlm__test_map(size_t size);
void ltlm__test_unmap(void *memory, size_t size);
#define ltlm__calloc ltlm__test_calloc
#define ltlm__realloc ltlm__test_realloc
#define ltlm__free ltlm__test_free
#define ltlm__map ltlm__test_map
#define ltlm__unmap ltlm__test_unmap
#else
#define ltlm__calloc calloc
#define ltlm__realloc realloc
#define ltlm__free free

/* `size` zeroed bytes from the system, aligned to 64 at least, or NULL; ltlm__unmap returns them to it at
 * once. Any thread. */
void *ltlm__map(size_t size);
void ltlm__unmap(void *memory, size_t size);
#endif

/* A copy of `text`, or NULL when memory is out. Caller frees with ltlm__free. Any thread. */
static inline char *ltlm__strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = ltlm__realloc(NULL, size);
    if (copy) {
        memcpy(copy, text, size);
    }
    return copy;
}

#endif /* LTLM_ALLOC_H */
