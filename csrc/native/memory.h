/* memory.h - the model file in memory, and memory in huge pages. Any thread. */
#ifndef LTLM_MEMORY_H
#define LTLM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The size of the open file; negative when the system does not say. */
int64_t ltlm__file_size(int32_t fd);

/* The first `size` bytes of the file, for reading, shared with every process that maps it; NULL: the system
 * refuses. Caller unmaps with ltlm__file_unmap. Reading what another process cuts off the file meanwhile ends
 * this one: model files are replaced, not changed. */
const uint8_t *ltlm__file_map(int32_t fd, size_t size);
void ltlm__file_unmap(const uint8_t *map, size_t size);

/* Reads all `size` bytes at `offset`, past the map; the file's position is not used on POSIX. False: the file
 * ends before, or cannot be read. */
bool ltlm__file_read(int32_t fd, uint64_t offset, void *out, size_t size);

/* The system need not keep these bytes of the file in memory; a hint. */
void ltlm__file_forget(int32_t fd, uint64_t offset, size_t size);

/* Zeroed memory that begins at an address where a huge page may; where the system has huge pages to give, and
 * the memory is large, it is in them. */
typedef struct {
    uint8_t *bytes; /* NULL: none */
    void *block;
    size_t size; /* of the block */
} ltlm__huge;

/* False: out of memory. */
bool ltlm__huge_alloc(ltlm__huge *out, size_t size);
/* Zeroed or freed memory is nothing to free. */
void ltlm__huge_free(ltlm__huge *memory);

#endif /* LTLM_MEMORY_H */
