/* For madvise(), which POSIX does not have. */
#define _GNU_SOURCE

#include "memory.h"

#include "alloc.h"

#define HUGE_PAGE ((size_t)2 << 20)
#define ALIGN ((size_t)64)

#ifdef _WIN32

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <io.h>
#include <windows.h>

int64_t ltlm__file_size(int32_t fd)
{
    LARGE_INTEGER size;
    return GetFileSizeEx((HANDLE)_get_osfhandle(fd), &size) ? size.QuadPart : -1;
}

const uint8_t *ltlm__file_map(int32_t fd, size_t size)
{
    HANDLE mapping = CreateFileMappingW((HANDLE)_get_osfhandle(fd), NULL, PAGE_READONLY, 0, 0, NULL);
    if (!mapping) {
        return NULL;
    }
    const uint8_t *map = MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, size);
    CloseHandle(mapping); /* the view keeps it */
    return map;
}

void ltlm__file_unmap(const uint8_t *map, size_t size)
{
    (void)size;
    if (map) {
        UnmapViewOfFile(map);
    }
}

bool ltlm__file_read(int32_t fd, uint64_t offset, void *out, size_t size)
{
    for (uint8_t *to = out; size > 0;) {
        OVERLAPPED at = {.Offset = (DWORD)offset, .OffsetHigh = (DWORD)(offset >> 32)};
        DWORD part = size < HUGE_PAGE ? (DWORD)size : (DWORD)HUGE_PAGE, done = 0;
        if (!ReadFile((HANDLE)_get_osfhandle(fd), to, part, &done, &at) || done == 0) {
            return false;
        }
        to += done;
        offset += done;
        size -= done;
    }
    return true;
}

void ltlm__file_forget(int32_t fd, uint64_t offset, size_t size)
{
    (void)fd;
    (void)offset;
    (void)size;
}

#else

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int64_t ltlm__file_size(int32_t fd)
{
    struct stat facts;
    return fstat(fd, &facts) == 0 ? (int64_t)facts.st_size : -1;
}

const uint8_t *ltlm__file_map(int32_t fd, size_t size)
{
    void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    return map == MAP_FAILED ? NULL : map;
}

void ltlm__file_unmap(const uint8_t *map, size_t size)
{
    if (map) {
        munmap((void *)map, size);
    }
}

bool ltlm__file_read(int32_t fd, uint64_t offset, void *out, size_t size)
{
    for (uint8_t *to = out; size > 0;) {
        ssize_t done = pread(fd, to, size, (off_t)offset);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return false;
        }
        to += done;
        offset += (uint64_t)done;
        size -= (size_t)done;
    }
    return true;
}

void ltlm__file_forget(int32_t fd, uint64_t offset, size_t size)
{
#ifdef POSIX_FADV_DONTNEED
    (void)posix_fadvise(fd, (off_t)offset, (off_t)size, POSIX_FADV_DONTNEED);
#else
    (void)fd;
    (void)offset;
    (void)size;
#endif
}

#endif

bool ltlm__huge_alloc(ltlm__huge *out, size_t size)
{
    size_t align = size < HUGE_PAGE ? ALIGN : HUGE_PAGE;
    *out = (ltlm__huge){.size = size + align};
    out->block = size < SIZE_MAX - align ? ltlm__map(out->size) : NULL;
    if (!out->block) {
        *out = (ltlm__huge){0};
        return false;
    }
    out->bytes = (uint8_t *)(((uintptr_t)out->block + align - 1) & ~(uintptr_t)(align - 1));
#ifdef MADV_HUGEPAGE
    if (align == HUGE_PAGE) {
        madvise(out->bytes, size, MADV_HUGEPAGE); /* without any to give, ordinary pages do */
    }
#endif
    return true;
}

void ltlm__huge_free(ltlm__huge *memory)
{
    ltlm__unmap(memory->block, memory->size);
    *memory = (ltlm__huge){0};
}
