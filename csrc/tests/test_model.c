/* All of the engine together: the tiny model, the pool, the pages, the batcher and the sampler. */
#include "native/native.h"
#include "tiny_model.h"

enum { PATIENCE_MS = 50000, MANY = 6 };

static ltlm_error err;

typedef struct {
    tiny_model *tiny;
    ltlm_pool *pool;
    ltlm_model *model;
} engine;

static engine open_engine(const char *kernels, bool wide, int32_t max_rows)
{
    engine self = {.tiny = tiny_create()};
    ltlm_model_options options = {.fd = self.tiny->fd,
                                  .file_size = self.tiny->file_size,
                                  .kernels = kernels,
                                  .wide_cache = wide,
                                  .max_rows = max_rows};
    ASSERT_INT(LTLM_OK, ltlm_pool_create(3, &self.pool, &err));
    ASSERT_INT(LTLM_OK, ltlm_model_create(self.pool, &self.tiny->plan, &options, &self.model, &err));
    return self;
}

static void close_engine(engine *self)
{
    ASSERT_INT(LTLM_OK, ltlm_model_delete(self->model, &err));
    ltlm_pool_delete(self->pool);
    tiny_delete(self->tiny);
}

static ltlm_sequence *new_sequence(engine *self)
{
    ltlm_sequence *sequence;
    ASSERT_INT(LTLM_OK, ltlm_sequence_create(self->model, &sequence, &err));
    return sequence;
}

typedef struct {
    int32_t tokens[CONTEXT + 1];
    float log_probabilities[CONTEXT + 1];
    int32_t count;
    int32_t reused;
} reply;

/* Prompts of equal `seed` begin alike. */
static ltlm_generation *start(ltlm_sequence *sequence, uint32_t seed, int32_t count, int32_t most)
{
    int32_t prompt[CONTEXT];
    for (int32_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        prompt[i] = (int32_t)(seed >> 8) % VOCABULARY;
    }
    ltlm_generation_options options = {.max_tokens = most,
                                       .temperature = 1,
                                       .top_p = 0.95f,
                                       .seed = seed,
                                       .repetition_penalty = 1,
                                       .log_probabilities = true};
    ltlm_generation *generation;
    ASSERT_INT(LTLM_OK,
               ltlm_generation_start(sequence, prompt, (size_t)count, &options, &generation, &err));
    return generation;
}

/* Takes all that comes, and deletes it. */
static reply finish(ltlm_generation *generation)
{
    reply all = {.count = 0};
    ltlm_progress progress;
    do {
        ASSERT_INT(LTLM_OK, ltlm_generation_take(generation, 1, 0, PATIENCE_MS, &progress));
        for (size_t i = 0; i < progress.count; i++) {
            all.tokens[all.count] = progress.tokens[i];
            all.log_probabilities[all.count++] = progress.log_probabilities[i];
        }
    } while (progress.end == LTLM_RUNNING);
    ASSERT_INT(LTLM_END_LENGTH, progress.end);
    all.reused = progress.reused_tokens;
    ltlm_generation_delete(generation);
    return all;
}

static void assert_same(const reply *expected, const reply *actual)
{
    ASSERT_INT(expected->count, actual->count);
    for (int32_t i = 0; i < expected->count; i++) {
        ASSERT_INT(expected->tokens[i], actual->tokens[i]);
        ASSERT(expected->log_probabilities[i] == actual->log_probabilities[i]); /* to the last bit */
    }
}

/* Six prompts of three kinds, so that some share a beginning. */
static ltlm_generation *start_number(ltlm_sequence *sequence, int32_t i)
{
    return start(sequence, (uint32_t)i % 3, 10 + i * 9, 20);
}

static void check_together(const char *kernels, bool wide, int32_t max_rows)
{
    reply alone[MANY];
    engine self = open_engine(kernels, wide, 0);
    for (int32_t i = 0; i < MANY; i++) {
        ltlm_sequence *sequence = new_sequence(&self);
        alone[i] = finish(start_number(sequence, i));
        ASSERT_INT(0, alone[i].reused);
        ASSERT_INT(LTLM_OK, ltlm_sequence_delete(sequence, &err));
    }
    close_engine(&self);

    self = open_engine(kernels, wide, max_rows);
    ltlm_sequence *sequences[MANY];
    ltlm_generation *generations[MANY];
    for (int32_t i = 0; i < MANY; i++) {
        sequences[i] = new_sequence(&self);
        generations[i] = start_number(sequences[i], i);
    }
    for (int32_t i = 0; i < MANY; i++) {
        reply together = finish(generations[i]);
        assert_same(&alone[i], &together);
    }
    for (int32_t i = 0; i < MANY; i++) {
        ltlm_sequence *sequence = new_sequence(&self);
        reply again = finish(start_number(sequence, i));
        ASSERT_INT(10 + i * 9 - 1, again.reused); /* what others hold */
        assert_same(&alone[i], &again);
        ASSERT_INT(LTLM_OK, ltlm_sequence_delete(sequence, &err));
    }
    for (int32_t i = 0; i < MANY; i++) {
        ASSERT_INT(LTLM_OK, ltlm_sequence_delete(sequences[i], &err));
    }
    close_engine(&self);
}

TEST(together_shared_and_in_chunks_the_same_bits_come_out)
{
    check_together("portable", false, 0);
    check_together("portable", true, 5);
}

TEST(the_same_bits_come_out_of_the_best_kernels)
{
    check_together(NULL, false, 0);
    check_together(NULL, false, 7);
    check_together(NULL, true, 12);
}

TEST(a_saved_sequence_goes_on_with_the_same_bits)
{
    engine self = open_engine(NULL, false, 0), other = open_engine(NULL, false, 0);
    ltlm_sequence *sequence = new_sequence(&self), *loaded = new_sequence(&other);
    finish(start(sequence, 1, 40, 5));
    size_t size = ltlm_sequence_saved_bytes(sequence);
    uint8_t *bytes = malloc(size);
    ASSERT(bytes);
    ASSERT_INT(LTLM_OK, ltlm_sequence_save(sequence, bytes, size, &err));
    ASSERT_INT(LTLM_OK, ltlm_sequence_load(loaded, bytes, size, &err));
    free(bytes);
    reply expected = finish(start(sequence, 1, 50, 20)), actual = finish(start(loaded, 1, 50, 20));
    ASSERT(actual.reused >= 40);
    assert_same(&expected, &actual);
    ASSERT_INT(LTLM_OK, ltlm_sequence_delete(sequence, &err));
    ASSERT_INT(LTLM_OK, ltlm_sequence_delete(loaded, &err));
    close_engine(&self);
    close_engine(&other);
}

TEST(a_cancel_in_the_middle_leaves_a_beginning_to_go_on_from)
{
    engine self = open_engine(NULL, false, 4);
    for (int32_t taken = 0; taken < 12; taken += 3) {
        ltlm_sequence *sequence = new_sequence(&self), *fresh = new_sequence(&self);
        ltlm_generation *generation = start(sequence, 2, 60, 30);
        ltlm_progress progress = {.count = 0};
        for (int32_t left = taken; left > 0; left -= (int32_t)progress.count) {
            ASSERT_INT(LTLM_OK, ltlm_generation_take(generation, 1, 0, PATIENCE_MS, &progress));
        }
        ltlm_generation_delete(generation);
        ASSERT(ltlm_sequence_length(sequence) <= 89);
        reply actual = finish(start(sequence, 2, 60, 30));
        ASSERT_INT(LTLM_OK, ltlm_sequence_delete(sequence, &err));
        reply expected = finish(start(fresh, 2, 60, 30));
        assert_same(&expected, &actual);
        ASSERT_INT(0, expected.reused);
        ASSERT_INT(LTLM_OK, ltlm_sequence_delete(fresh, &err));
    }
    close_engine(&self);
}

TEST(a_plan_that_is_refused_leaves_nothing)
{
    engine self = open_engine(NULL, false, 0);
    ltlm_model_options options = {.fd = self.tiny->fd, .file_size = self.tiny->file_size / 2};
    ltlm_model *model;
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT,
               ltlm_model_create(self.pool, &self.tiny->plan, &options, &model, &err));
    ASSERT(!model && err.reason[0]);
    close_engine(&self);
}

TESTS(RUN(together_shared_and_in_chunks_the_same_bits_come_out)      //
      RUN(the_same_bits_come_out_of_the_best_kernels)                //
      RUN(a_saved_sequence_goes_on_with_the_same_bits)               //
      RUN(a_cancel_in_the_middle_leaves_a_beginning_to_go_on_from)   //
      RUN(a_plan_that_is_refused_leaves_nothing))
