#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

#include "alloc.h"

#ifndef LTLM_ALLOC

#ifdef _WIN32

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

void *ltlm__map(size_t size) { return VirtualAlloc(NULL, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE); }

void ltlm__unmap(void *memory, size_t size)
{
    (void)size;
    if (memory) {
        VirtualFree(memory, 0, MEM_RELEASE);
    }
}

#else

#include <sys/mman.h>

void *ltlm__map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void ltlm__unmap(void *memory, size_t size)
{
    if (memory) {
        munmap(memory, size);
    }
}

#endif

#else
typedef int ltlm__a_file_is_never_empty;
#endif
