/* Saved KV caches that are nearly right: refused, or loaded and gone on from. */
#define TINY_SIZES HIDDEN = 32, FEED = 32, HEADS = 4, HEAD = 8, VOCABULARY = 48

#include "fuzzing.h"
#include "native/native.h"
#include "tiny_model.h"

enum { MOST_BYTES = 1 << 16, BASES = 8, PATIENCE_MS = 50000 };

/* Bytes before the tokens: see kv_save.c. The tiny model has two caches, in two groups. */
enum { FRONT = 8 + 8 * sizeof(int32_t) + 2 * sizeof(ltlm_cache) + 2 * sizeof(int32_t) };

/* What an edit does. */
typedef enum {
    BASE,    /* all becomes a whole one, of another length; `word` 1: of a model with a wide cache */
    NUMBER,  /* a number of the header or of the tables = value */
    NEAR,    /* likewise += value & 7, less 4 */
    WORD,    /* any four bytes = value */
    FILL,    /* `word` times two bytes, from anywhere on, are value: float16 of any kind */
    CUT,     /* to `value` bytes */
    GROW,    /* by `word` bytes, zeros */
    REMOVE,  /* four bytes */
    INSERT,  /* four bytes */
    WIDE,    /* it is loaded into a model with a wide cache */
    KINDS
} kind;

typedef struct {
    uint8_t *bytes; /* [MOST_BYTES] */
    size_t size;
    bool wide;
} saved;

static struct {
    tiny_model *tiny;
    ltlm_pool *pool;
    ltlm_model *models[2]; /* the second with a wide cache */
    saved bases[2][BASES];
} world;

static ltlm_error err;

/* Of which it takes all tokens. */
static void run_generation(ltlm_sequence *sequence, const int32_t *tokens, int32_t count, int32_t most)
{
    ltlm_generation_options options = {.max_tokens = most, .top_p = 1, .repetition_penalty = 1};
    ltlm_generation *generation;
    ltlm_progress progress;
    ASSERT_INT(LTLM_OK, ltlm_generation_start(sequence, tokens, (size_t)count, &options, &generation, &err));
    do {
        ASSERT_INT(LTLM_OK, ltlm_generation_take(generation, 1, 0, PATIENCE_MS, &progress));
        for (size_t i = 0; i < progress.count; i++) {
            ASSERT(progress.tokens[i] >= 0 && progress.tokens[i] < VOCABULARY);
        }
    } while (progress.end == LTLM_RUNNING);
    ASSERT(progress.end == LTLM_END_LENGTH || progress.end == LTLM_END_CONTEXT);
    ltlm_generation_delete(generation);
}

static saved save(ltlm_sequence *sequence)
{
    saved self = {.bytes = calloc(1, MOST_BYTES), .size = ltlm_sequence_saved_bytes(sequence)};
    ASSERT(self.bytes && self.size <= MOST_BYTES);
    ASSERT_INT(LTLM_OK, ltlm_sequence_save(sequence, self.bytes, self.size, &err));
    return self;
}

static void make_world(void)
{
    static const int32_t lengths[BASES] = {0, 1, 7, 31, 32, 33, 50, 80};
    int32_t tokens[CONTEXT];
    for (int32_t i = 0; i < CONTEXT; i++) {
        tokens[i] = i * 7 % VOCABULARY;
    }
    world.tiny = tiny_create();
    ASSERT_INT(LTLM_OK, ltlm_pool_create(1, &world.pool, &err));
    for (int32_t wide = 0; wide < 2; wide++) {
        ltlm_model_options options = {.fd = world.tiny->fd,
                                      .file_size = world.tiny->file_size,
                                      .wide_cache = wide,
                                      .max_rows = 32};
        ASSERT_INT(LTLM_OK, ltlm_model_create(world.pool, &world.tiny->plan, &options, &world.models[wide],
                                              &err));
        for (int32_t i = 0; i < BASES; i++) {
            ltlm_sequence *sequence;
            ASSERT_INT(LTLM_OK, ltlm_sequence_create(world.models[wide], &sequence, &err));
            if (lengths[i] > 0) {
                run_generation(sequence, tokens, lengths[i], 0);
            }
            world.bases[wide][i] = save(sequence);
            ASSERT_INT(LTLM_OK, ltlm_sequence_delete(sequence, &err));
        }
    }
}

static void put(saved *self, size_t at, const void *bytes, size_t size)
{
    if (at <= self->size && size <= self->size - at) {
        memcpy(self->bytes + at, bytes, size);
    }
}

static void copy_base(saved *self, const edit *e)
{
    const saved *base = &world.bases[e->word & 1][e->item % BASES];
    memcpy(self->bytes, base->bytes, base->size);
    self->size = base->size;
}

static void fill(saved *self, const edit *e)
{
    uint16_t half = (uint16_t)e->value;
    for (size_t i = 0; i <= e->word; i++) {
        put(self, ((size_t)e->item * 64 + i) * sizeof half, &half, sizeof half);
    }
}

static void apply(saved *self, const edit *e)
{
    size_t at = (size_t)(e->item + 256 * e->word) * 4 % (self->size + 1) / 4 * 4;
    size_t front = (size_t)e->item % ((FRONT + 32) / 4) * 4;
    int32_t number;
    switch (e->kind % KINDS) {
    case BASE: copy_base(self, e); break;
    case NUMBER: put(self, front, &e->value, 4); break;
    case NEAR:
        memcpy(&number, self->bytes + front, sizeof number);
        number = (int32_t)((uint32_t)number + (uint32_t)(e->value & 7) - 4u);
        put(self, front, &number, sizeof number);
        break;
    case WORD: put(self, at, &e->value, 4); break;
    case FILL: fill(self, e); break;
    case CUT: self->size = (uint32_t)e->value % (self->size + 1); break;
    case GROW:
        if (self->size + e->word <= MOST_BYTES) {
            memset(self->bytes + self->size, 0, e->word);
            self->size += e->word;
        }
        break;
    case REMOVE:
        if (at + 4 <= self->size) {
            memmove(self->bytes + at, self->bytes + at + 4, self->size - at - 4);
            self->size -= 4;
        }
        break;
    case INSERT:
        if (self->size + 4 <= MOST_BYTES) {
            memmove(self->bytes + at + 4, self->bytes + at, self->size - at);
            self->size += 4;
            put(self, at, &e->value, 4);
        }
        break;
    default: self->wide = true; break;
    }
}

/* Goes on from all of it, and then from the middle. */
static void go_on(ltlm_sequence *sequence, const saved *its)
{
    int32_t tokens[CONTEXT + 4], length = ltlm_sequence_length(sequence);
    ASSERT(length <= CONTEXT && ltlm_sequence_saved_bytes(sequence) == its->size);
    memcpy(tokens, its->bytes + FRONT, (size_t)length * sizeof *tokens);
    for (int32_t i = 0; i < 4; i++) {
        tokens[length + i] = i;
    }
    run_generation(sequence, tokens, length + 4 < CONTEXT ? length + 4 : CONTEXT - 1, 2);
    tokens[length / 2] = 5;
    run_generation(sequence, tokens, length / 2 + 1, 1);
}

/* From bytes that end where they end, for the address sanitizer. */
static int32_t load(ltlm_sequence *sequence, const saved *its)
{
    uint8_t *exact = malloc(its->size + 1);
    ASSERT(exact);
    memcpy(exact + 1, its->bytes, its->size); /* and not aligned */
    int32_t status = ltlm_sequence_load(sequence, exact + 1, its->size, &err);
    free(exact);
    return status;
}

static bool run_edits(const edit *edits, size_t count)
{
    static uint8_t bytes[MOST_BYTES];
    if (!world.tiny) {
        make_world();
    }
    saved its = {.bytes = bytes};
    copy_base(&its, &(edit){.item = 5});
    for (size_t i = 0; i < count; i++) {
        apply(&its, &edits[i]);
    }
    ltlm_sequence *sequence;
    ASSERT_INT(LTLM_OK, ltlm_sequence_create(world.models[its.wide], &sequence, &err));
    int32_t tokens[] = {1, 2, 3};
    run_generation(sequence, tokens, 3, 1);
    int32_t before = ltlm_sequence_length(sequence), status = load(sequence, &its);
    if (status == LTLM_OK) {
        go_on(sequence, &its);
    } else {
        ASSERT_INT(LTLM_E_INVALID_ARGUMENT, status);
        ASSERT(err.reason[0]);
        ASSERT_INT(before, ltlm_sequence_length(sequence));
        run_generation(sequence, tokens, 3, 1);
    }
    ASSERT_INT(LTLM_OK, ltlm_sequence_delete(sequence, &err));
    return status == LTLM_OK;
}

#ifndef LTLM_FUZZING

static void end_world(void)
{
    for (int32_t wide = 0; wide < 2; wide++) {
        ASSERT_INT(LTLM_OK, ltlm_model_delete(world.models[wide], &err));
        for (int32_t i = 0; i < BASES; i++) {
            free(world.bases[wide][i].bytes);
        }
    }
    ltlm_pool_delete(world.pool);
    tiny_delete(world.tiny);
}

TEST(edited_caches_are_refused_or_gone_on_from)
{
    run_random_edits(1000, 3);
    end_world();
}

TESTS(RUN(edited_caches_are_refused_or_gone_on_from))

#endif
