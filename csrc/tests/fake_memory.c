#include "fake_memory.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "native/memory.h"

static const uint8_t *file;
static size_t file_size;

void fake_file(const uint8_t *bytes, size_t size)
{
    file = bytes;
    file_size = size;
}

int64_t ltlm__file_size(int32_t fd)
{
    (void)fd;
    return (int64_t)file_size;
}

const uint8_t *ltlm__file_map(int32_t fd, size_t size)
{
    (void)fd;
    uint8_t *map = ltlm__calloc(1, size);
    return map ? memcpy(map, file, size) : NULL;
}

void ltlm__file_unmap(const uint8_t *map, size_t size)
{
    (void)size;
    ltlm__free((void *)map);
}

bool ltlm__file_read(int32_t fd, uint64_t offset, void *out, size_t size)
{
    (void)fd;
    if (offset > file_size || size > file_size - offset) {
        return false;
    }
    memcpy(out, file + offset, size);
    return true;
}

void ltlm__file_forget(int32_t fd, uint64_t offset, size_t size)
{
    (void)fd;
    (void)offset;
    (void)size;
}

bool ltlm__huge_alloc(ltlm__huge *out, size_t size)
{
    *out = (ltlm__huge){.size = size};
    if (posix_memalign(&out->block, 64, size) != 0) {
        *out = (ltlm__huge){0};
        return false;
    }
    out->bytes = memset(out->block, 0, size);
    return true;
}

void ltlm__huge_free(ltlm__huge *memory)
{
    free(memory->block);
    *memory = (ltlm__huge){0};
}
