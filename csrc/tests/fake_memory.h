/* fake_memory.h - memory.c with a model file that is an array, and blocks that are as large as was asked for, to
 * the byte: the address sanitizer sees the first byte that is read beyond.
 */
#ifndef FAKE_MEMORY_H
#define FAKE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* What every descriptor is a file of; borrowed. */
void fake_file(const uint8_t *bytes, size_t size);

#endif /* FAKE_MEMORY_H */
