/* bandwidth.c - how fast this machine reads memory right now: the measure that decoding is held against.
 *
 *     cc -O3 -march=native -pthread bandwidth.c -o bandwidth && ./bandwidth MIB THREADS [FILE]
 *
 * Prints GB/s, the best of three passes: over anonymous memory in huge pages, or over a mapped file.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PASSES = 3, MOST_THREADS = 64 };

typedef struct {
    const uint64_t *words;
    size_t count;
    uint64_t sum;
} part;

static void *read_part(void *argument)
{
    part *mine = argument;
    uint64_t sum[8] = {0};
    for (size_t i = 0; i + 8 <= mine->count; i += 8)
        for (int j = 0; j < 8; j++) sum[j] += mine->words[i + j];
    for (int j = 0; j < 8; j++) mine->sum += sum[j];
    return NULL;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

int main(int count, char **arguments)
{
    if (count < 3) return 2;
    size_t size = (size_t)atol(arguments[1]) << 20;
    int threads = atoi(arguments[2]);
    if (threads < 1 || threads > MOST_THREADS || size == 0) return 2;
    uint8_t *memory;
    if (count > 3) {
        int fd = open(arguments[3], O_RDONLY);
        struct stat status;
        if (fd < 0 || fstat(fd, &status) != 0) return 1;
        if ((size_t)status.st_size < size) size = (size_t)status.st_size;
        memory = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    } else {
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory != MAP_FAILED) {
            madvise(memory, size, MADV_HUGEPAGE);
            memset(memory, 1, size);
        }
    }
    if (memory == MAP_FAILED) return 1;
    double best = 0;
    uint64_t sum = 0;
    for (int pass = 0; pass < PASSES; pass++) {
        part parts[MOST_THREADS];
        pthread_t workers[MOST_THREADS];
        size_t words = size / 8 / (size_t)threads;
        double started = seconds();
        for (int i = 0; i < threads; i++) {
            parts[i] = (part){(const uint64_t *)(const void *)memory + words * (size_t)i, words, 0};
            if (pthread_create(&workers[i], NULL, read_part, &parts[i]) != 0) return 1;
        }
        for (int i = 0; i < threads; i++) {
            pthread_join(workers[i], NULL);
            sum += parts[i].sum;
        }
        double rate = (double)size / (seconds() - started) / 1e9;
        if (rate > best) best = rate;
    }
    printf("%.2f\n", best);
    return sum == 42; /* used, so that nothing is left out */
}
