/* fuzzing.h - what the fuzz targets share.
 *
 * A target starts from something whole and edits it: its input is a list of edits, so that most inputs are
 * still nearly right, and what was found is short enough to be read. Without libFuzzer a target is a test as
 * any other, of edits that look random; `make fuzz` builds it with libFuzzer, whose mutations are then whole
 * edits.
 */
#ifndef FUZZING_H
#define FUZZING_H

#include <math.h>

#include "testing.h"

typedef struct {
    uint8_t kind, table, item, word; /* what they mean is the target's business */
    int32_t value;
} edit;

enum { MOST_EDITS = 64 };

typedef struct {
    edit items[MOST_EDITS];
    size_t count;
} edit_list;

/* Runs the target once. Whether what was edited was accepted. */
static bool run_edits(const edit *edits, size_t count);

static uint32_t fuzz_state = 1;

static inline uint32_t fuzz_random(uint32_t below)
{
    fuzz_state = fuzz_state * 1664525u + 1013904223u;
    return (fuzz_state >> 8) % below;
}

/* Numbers at which something happens. */
static inline int32_t fuzz_number(void)
{
    static const int32_t numbers[] = {
        0,         1,         -1,        2,       3,       7,          8,          15,        16,
        31,        32,        33,        63,      64,      65,         96,         127,       128,
        255,       256,       1 << 12,   1 << 16, 1 << 22, 1 << 23,    1 << 24,    1 << 26,   1 << 30,
        INT32_MAX, INT32_MIN, -32,       -64,
        0x3f800000, 0x7f7fffff, 0x7f800000, -0x800000, 0x7fc00000, /* float 1, largest, infinities, NaN */
    };
    switch (fuzz_random(3)) {
    case 0: return numbers[fuzz_random(sizeof numbers / sizeof *numbers)];
    case 1: return (int32_t)fuzz_random(256) - 32;
    default: return (int32_t)(fuzz_random(1 << 16) << 16 | fuzz_random(1 << 16));
    }
}

static inline edit fuzz_edit(void)
{
    return (edit){.kind = (uint8_t)fuzz_random(16),
                  .table = (uint8_t)fuzz_random(8),
                  .item = (uint8_t)fuzz_random(256),
                  .word = (uint8_t)fuzz_random(64),
                  .value = fuzz_number()};
}

/* One of the floats that arithmetic is afraid of. */
static inline float fuzz_float(int32_t which)
{
    static const float floats[] = {0.0f,     -0.0f, 1.0f,   -1.0f,    1e-45f, -1e-45f,  1e-38f,    3.4e38f,
                                   -3.4e38f, 1e20f, -1e20f, 65504.0f, 1e-8f,  INFINITY, -INFINITY, NAN};
    return floats[(uint32_t)which % (sizeof floats / sizeof *floats)];
}

/* As it is, and then `count` times with edits that look random. Some are accepted, and some are not. */
static inline void run_random_edits(int32_t count, uint32_t most)
{
    edit edits[MOST_EDITS] = {{0}};
    int32_t accepted = 0;
    ASSERT(run_edits(edits, 0));
    for (int32_t i = 0; i < count; i++) {
        fuzz_state = (uint32_t)i * 2654435761u;
        size_t length = 1 + fuzz_random(most);
        for (size_t j = 0; j < length; j++) {
            edits[j] = fuzz_edit();
        }
        accepted += run_edits(edits, length);
    }
    ASSERT(accepted > count / 8 && accepted < count * 7 / 8);
}

#ifdef LTLM_FUZZING

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *out, size_t most, unsigned int seed);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    edit_list list = {.count = size / sizeof(edit) < MOST_EDITS ? size / sizeof(edit) : MOST_EDITS};
    if (list.count > 0) {
        memcpy(list.items, data, list.count * sizeof(edit));
    }
    run_edits(list.items, list.count);
    return 0;
}

/* Inserts an edit, removes one, or changes one. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed)
{
    size_t count = size / sizeof(edit), room = most / sizeof(edit);
    fuzz_state = seed;
    uint32_t choice = fuzz_random(8);
    size_t at = fuzz_random((uint32_t)count + 1);
    uint8_t *place = data + at * sizeof(edit);
    if ((choice < 3 || count == 0) && count < room && count < MOST_EDITS) {
        edit fresh = fuzz_edit();
        memmove(place + sizeof(edit), place, (count - at) * sizeof(edit));
        memcpy(place, &fresh, sizeof fresh);
        return (count + 1) * sizeof(edit);
    }
    if (count == 0) {
        return 0;
    }
    place = data + at % count * sizeof(edit);
    if (choice == 3 && count > 1) {
        memmove(place, place + sizeof(edit), (count - at % count - 1) * sizeof(edit));
        return (count - 1) * sizeof(edit);
    }
    if (choice == 4) {
        edit changed;
        memcpy(&changed, place, sizeof changed);
        changed.value = fuzz_number();
        memcpy(place, &changed, sizeof changed);
    } else {
        LLVMFuzzerMutate(place, sizeof(edit), sizeof(edit));
    }
    return count * sizeof(edit);
}

/* The beginning of one list, then the end of the other. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *out, size_t most, unsigned int seed)
{
    fuzz_state = seed;
    size_t first = fuzz_random((uint32_t)(a_size / sizeof(edit)) + 1);
    size_t skipped = fuzz_random((uint32_t)(b_size / sizeof(edit)) + 1);
    size_t second = b_size / sizeof(edit) - skipped, room = most / sizeof(edit);
    first = first < room ? first : room;
    second = second < room - first ? second : room - first;
    memcpy(out, a, first * sizeof(edit));
    memcpy(out + first * sizeof(edit), b + skipped * sizeof(edit), second * sizeof(edit));
    return (first + second) * sizeof(edit);
}

#endif

#endif /* FUZZING_H */
