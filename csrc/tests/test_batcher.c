/* Many generations at once, on the fake executor. */
#include "generations.h"

enum { MANY = 12 };

/* ---- together ---- */

static ltlm_generation_options sampled(uint64_t seed)
{
    ltlm_generation_options options = greedy(30);
    options.temperature = 1;
    options.top_k = 50;
    options.top_p = 0.9f;
    options.repetition_penalty = 1.1f;
    options.seed = seed;
    return options;
}

/* Prompts of very different lengths; options of every kind. */
static text prompt_number(int32_t i) { return prompt_of((uint32_t)i, 1 + i * i * 3); }
static ltlm_generation_options options_number(int32_t i)
{
    return i % 3 == 0 ? greedy(30) : sampled((uint64_t)i);
}

TEST(many_together_generate_what_each_does_alone)
{
    static const int32_t rows[] = {2, 7, 40, 512};
    static text alone[MANY];
    ltlm_model *model = new_model(0, 0);
    for (int32_t i = 0; i < MANY; i++) {
        ltlm_sequence *sequence = new_sequence(model);
        text prompt = alone[i] = prompt_number(i);
        ltlm_generation *generation = start_with(sequence, &prompt, options_number(i));
        finish(generation, &alone[i]);
        ltlm_generation_delete(generation);
        delete_sequence(sequence);
    }
    delete_model(model);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        ltlm_sequence *sequences[MANY];
        ltlm_generation *generations[MANY];
        model = new_model(0, rows[r]);
        fake_pause(); /* so that all are there before the first has gone far */
        for (int32_t i = 0; i < MANY; i++) {
            text prompt = prompt_number(i);
            sequences[i] = new_sequence(model);
            generations[i] = start_with(sequences[i], &prompt, options_number(i));
        }
        fake_resume();
        for (int32_t i = 0; i < MANY; i++) {
            text together = prompt_number(i);
            ASSERT_INT(LTLM_END_LENGTH, finish(generations[i], &together).end);
            assert_same(&alone[i], &together);
        }
        fake_counts counts = fake_count();
        ASSERT(counts.most_sequences >= (rows[r] < 7 ? 2 : 4)); /* they were together */
        ASSERT(counts.most_rows <= MANY + 64); /* those that decode do not wait for a large chunk */
        for (int32_t i = 0; i < MANY; i++) {
            ltlm_generation_delete(generations[i]);
            delete_sequence(sequences[i]);
        }
        delete_model(model);
    }
}

TEST(more_than_fit_a_pass_are_served_in_turn)
{
    enum { CROWD = 70 };
    ltlm_sequence *sequences[CROWD];
    ltlm_generation *generations[CROWD];
    ltlm_model *model = new_model(0, 0);
    for (int32_t i = 0; i < CROWD; i++) {
        text prompt = prompt_of((uint32_t)i, 3);
        sequences[i] = new_sequence(model);
        generations[i] = start(sequences[i], &prompt, 25);
    }
    for (int32_t i = 0; i < CROWD; i++) {
        text prompt = prompt_of((uint32_t)i, 3), expected = continued(&prompt, 25), all = prompt;
        finish(generations[i], &all);
        assert_same(&expected, &all);
        ltlm_generation_delete(generations[i]);
        delete_sequence(sequences[i]);
    }
    ASSERT(fake_count().most_sequences <= 32 + 64);
    delete_model(model);
}

TEST(decoding_goes_on_while_prompts_are_run_in_turn)
{
    ltlm_model *model = new_model(0, 0);
    ltlm_sequence *chat = new_sequence(model), *first = new_sequence(model), *second = new_sequence(model);
    text short_one = prompt_of(1, 5), long_one = prompt_of(2, 300), other = prompt_of(3, 300);
    ltlm_progress one, two, three;
    fake_pause();
    ltlm_generation *decoding = start(chat, &short_one, -1);
    fake_step(); /* its prompt is in */
    ltlm_generation *prompts[] = {start(first, &long_one, 1), start(second, &other, 1)};
    fake_step();
    for (int32_t i = 0; i < 4; i++) {
        fake_step();
        ASSERT_INT(2, fake_count().sequences);
        ASSERT_INT(65, fake_count().rows);
    }
    ltlm_generation_take(decoding, 1, 0, 0, &one);
    ltlm_generation_take(prompts[0], 1, 0, 0, &two);
    ltlm_generation_take(prompts[1], 1, 0, 0, &three);
    ASSERT_INT(6, one.generated_tokens);
    ASSERT_INT(128, two.prefilled_tokens);
    ASSERT_INT(128, three.prefilled_tokens);
    fake_resume();
    ltlm_generation_delete(decoding);
    for (int32_t i = 0; i < 2; i++) {
        wait_until_over(prompts[i]);
        ltlm_generation_delete(prompts[i]);
    }
    delete_sequence(chat);
    delete_sequence(first);
    delete_sequence(second);
    delete_model(model);
}

TEST(a_masked_generation_holds_nobody_up)
{
    ltlm_model *model = new_model(0, 0);
    ltlm_sequence *masked = new_sequence(model), *free_one = new_sequence(model);
    text prompt = prompt_of(1, 40);
    ltlm_generation_options options = greedy(-1);
    options.masked = true;
    ltlm_generation *generation = start_with(masked, &prompt, options);
    run(free_one, &prompt, 50);
    ASSERT(!ltlm_generation_is_over(generation));
    ltlm_generation_cancel(generation);
    ASSERT(ltlm_generation_is_over(generation)); /* nothing of it was being computed */
    ltlm_generation_delete(generation);
    ASSERT_INT(39, ltlm_sequence_length(masked));
    delete_sequence(masked);
    delete_sequence(free_one);
    delete_model(model);
}

TEST(scoring_leaves_room_for_those_that_decode)
{
    ltlm_model *model = new_model(0, 0);
    ltlm_sequence *scored = new_sequence(model), *chat = new_sequence(model);
    text prompt = prompt_of(1, 400), short_one = prompt_of(2, 5);
    ltlm_generation_options options = greedy(0);
    options.score_from = 1;
    fake_pause();
    ltlm_generation *generation = start_with(scored, &prompt, options);
    fake_wait_for_run();
    ltlm_generation *other = start(chat, &short_one, 10);
    fake_step(); /* the first run wanted logits for as many rows as a run may */
    ASSERT_INT(2, fake_count().sequences);
    fake_resume();
    text all = short_one, expected = continued(&short_one, 10);
    finish(other, &all);
    assert_same(&expected, &all);
    all.count = 0;
    finish(generation, &all);
    ASSERT_INT(399, all.count);
    ASSERT_INT(0, memcmp(all.tokens, prompt.tokens + 1, 399 * sizeof(int32_t)));
    ltlm_generation_delete(generation);
    ltlm_generation_delete(other);
    delete_sequence(scored);
    delete_sequence(chat);
    delete_model(model);
}

/* ---- cancel ---- */

/* While everything stands still, a cancel is obeyed. */
static void cancelled_in_a_stopped_run(int32_t prompt_tokens, int32_t steps, int32_t length)
{
    ltlm_model *model = new_model(0, 64);
    ltlm_sequence *sequence = new_sequence(model);
    text prompt = prompt_of(1, prompt_tokens), all = prompt;
    fake_pause();
    ltlm_generation *generation = start(sequence, &prompt, -1);
    for (int32_t i = 0; i < steps; i++) {
        fake_step();
    }
    fake_wait_for_run();
    ltlm_generation_cancel(generation);
    ltlm_progress progress = finish(generation, &all); /* although nothing is resumed */
    ASSERT_INT(LTLM_END_CANCELLED, progress.end);
    ASSERT(progress.ended_ns > 0);
    ASSERT_INT(1, fake_count().aborted);
    ASSERT_INT(length, ltlm_sequence_length(sequence));
    fake_resume();
    ltlm_generation_delete(generation);
    ASSERT_INT(length < prompt_tokens ? length : prompt_tokens - 1, run(sequence, &prompt, 20).reused_tokens);
    delete_sequence(sequence);
    delete_model(model);
}

TEST(a_cancel_is_obeyed_in_prefill) { cancelled_in_a_stopped_run(300, 2, 128); }
TEST(a_cancel_is_obeyed_in_decode) { cancelled_in_a_stopped_run(10, 5, 14); }

TEST(an_aborted_run_is_made_again_for_the_others)
{
    ltlm_model *model = new_model(0, 0);
    ltlm_sequence *sequences[3];
    ltlm_generation *generations[3];
    fake_pause();
    for (int32_t i = 0; i < 3; i++) {
        text prompt = prompt_of((uint32_t)i, 100);
        sequences[i] = new_sequence(model);
        generations[i] = start(sequences[i], &prompt, 20);
    }
    fake_step();
    ltlm_generation_delete(generations[1]); /* comes back although the run stands still */
    ASSERT_INT(1, fake_count().aborted);
    fake_resume();
    for (int32_t i = 0; i < 3; i += 2) {
        text prompt = prompt_of((uint32_t)i, 100), expected = continued(&prompt, 20), all = prompt;
        ASSERT_INT(LTLM_END_LENGTH, finish(generations[i], &all).end);
        assert_same(&expected, &all);
        ltlm_generation_delete(generations[i]);
    }
    for (int32_t i = 0; i < 3; i++) {
        delete_sequence(sequences[i]);
    }
    delete_model(model);
}

TEST(one_that_is_not_in_the_run_is_cancelled_without_disturbing_it)
{
    ltlm_model *model = new_model(0, 64);
    ltlm_sequence *first = new_sequence(model), *second = new_sequence(model);
    text prompt = prompt_of(1, 64), other = prompt_of(2, 64), all = prompt;
    fake_pause();
    ltlm_generation *running = start(first, &prompt, 3);
    fake_wait_for_run();
    ltlm_generation *waiting = start(second, &other, 3);
    ltlm_generation_cancel(waiting);
    ASSERT(ltlm_generation_is_over(waiting));
    ltlm_generation_delete(waiting);
    delete_sequence(second);
    fake_resume();
    ASSERT_INT(LTLM_END_LENGTH, finish(running, &all).end);
    ASSERT_INT(0, fake_count().aborted);
    ltlm_generation_delete(running);
    delete_sequence(first);
    delete_model(model);
}

/* ---- failures ---- */

TEST(one_that_finds_no_memory_fails_alone)
{
    ltlm_model *model = new_model(0, 0);
    ltlm_model_facts facts;
    ltlm_model_describe(model, &facts);
    delete_model(model);
    uint64_t page = facts.cache_bytes_a_token * 32;
    model = new_model(10 * page, 0);
    ltlm_sequence *large = new_sequence(model), *small = new_sequence(model);
    text begun = prompt_of(1, 30), prompt = prompt_of(1, 320), all = prompt, other = prompt_of(2, 10);
    run(large, &begun, 1);
    fake_pause();
    ltlm_generation *generation = start(small, &other, 20); /* one page */
    fake_wait_for_run();
    ltlm_generation *failing = start(large, &prompt, 40);
    fake_resume();
    ltlm_progress progress = finish(failing, &all);
    ASSERT_INT(LTLM_END_FAILED, progress.end);
    ASSERT_INT(LTLM_E_NO_MEMORY, progress.error.status);
    ASSERT_IN("bytes needed", progress.error.reason);
    ASSERT_IN("allowed", progress.error.reason);
    text expected = continued(&other, 20), theirs = other;
    ASSERT_INT(LTLM_END_LENGTH, finish(generation, &theirs).end);
    assert_same(&expected, &theirs);
    ltlm_generation_delete(failing);
    ltlm_generation_delete(generation);
    delete_sequence(small);
    ltlm_model_describe(model, &facts);
    ASSERT(facts.cache_bytes <= 10 * page);
    text fits = prompt_of(1, 280);
    run(large, &fits, 20); /* there is room again, and it lacks nothing */
    delete_sequence(large);
    delete_model(model);
}

TEST(a_run_that_fails_ends_those_in_it)
{
    ltlm_model *model = new_model(0, 0);
    ltlm_sequence *sequence = new_sequence(model);
    text prompt = prompt_of(1, 20), all = prompt;
    fake_fail_next(LTLM_E_NO_MEMORY);
    ltlm_generation *generation = start(sequence, &prompt, 5);
    ltlm_progress progress = finish(generation, &all);
    ASSERT_INT(LTLM_END_FAILED, progress.end);
    ASSERT_INT(LTLM_E_NO_MEMORY, progress.error.status);
    ASSERT_IN("NO_MEMORY", progress.error.reason);
    ltlm_generation_delete(generation);
    ASSERT_INT(0, ltlm_sequence_length(sequence));
    ASSERT_INT(0, run(sequence, &prompt, 5).reused_tokens);
    delete_sequence(sequence);
    delete_model(model);
}

/* ---- threads ---- */

typedef struct {
    ltlm_model *model;
    uint32_t seed;
    int32_t rounds;
    pthread_t thread;
} user;

static uint32_t roll(user *self, uint32_t sides)
{
    self->seed = self->seed * 1664525u + 1013904223u;
    return (self->seed >> 10) % sides;
}

/* Takes some or all of a generation, and cancels it now and then. What came is what had to come. */
static void consume(user *self, ltlm_sequence *sequence, const text *prompt)
{
    int32_t most = 1 + (int32_t)roll(self, 30), left = roll(self, 3) ? FAKE_CONTEXT : (int32_t)roll(self, 10);
    text all = *prompt, expected = continued(prompt, most);
    ltlm_generation *generation = start(sequence, prompt, most);
    ltlm_progress progress = {.end = LTLM_RUNNING};
    while (progress.end == LTLM_RUNNING && left > 0) {
        ltlm_generation_take(generation, 1 + (int32_t)roll(self, 4), 1, (int32_t)roll(self, 3), &progress);
        for (size_t i = 0; i < progress.count; i++, left--) {
            all.tokens[all.count++] = progress.tokens[i];
        }
    }
    if (roll(self, 2)) {
        ltlm_generation_cancel(generation);
    }
    ASSERT(all.count <= expected.count);
    ASSERT_INT(0, memcmp(all.tokens, expected.tokens, (size_t)all.count * sizeof(int32_t)));
    ASSERT(progress.end != LTLM_END_LENGTH || all.count == expected.count);
    ltlm_generation_delete(generation);
}

static void *use(void *argument)
{
    user *self = argument;
    ltlm_sequence *sequence = new_sequence(self->model), *other = new_sequence(self->model);
    for (int32_t round = 0; round < self->rounds; round++) {
        /* Prompts of three families, so that they share. */
        text prompt = prompt_of(roll(self, 3), 1 + (int32_t)roll(self, 200));
        ltlm_error error;
        int32_t kept;
        consume(self, roll(self, 2) ? sequence : other, &prompt);
        switch (roll(self, 5)) {
        case 0:
            ltlm_sequence_delete(other, &error);
            ASSERT_INT(LTLM_OK, ltlm_sequence_fork(sequence, &other, &error));
            break;
        case 1:
            ltlm_sequence_rewind(other, (int32_t)roll(self, 200), &kept, &error);
            break;
        case 2: {
            size_t size = ltlm_sequence_saved_bytes(sequence);
            uint8_t *bytes = malloc(size);
            ASSERT(bytes);
            ASSERT_INT(LTLM_OK, ltlm_sequence_save(sequence, bytes, size, &error));
            ASSERT_INT(LTLM_OK, ltlm_sequence_load(other, bytes, size, &error));
            free(bytes);
            break;
        }
        default:
            break;
        }
    }
    ltlm_sequence_delete(sequence, NULL);
    ltlm_sequence_delete(other, NULL);
    return NULL;
}

TEST(many_users_at_once_disturb_nobody)
{
    user users[4];
    ltlm_model *model = new_model(0, 48);
    for (uint32_t i = 0; i < 4; i++) {
        users[i] = (user){.model = model, .seed = i + 1, .rounds = 60};
        ASSERT_INT(0, pthread_create(&users[i].thread, NULL, use, &users[i]));
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(users[i].thread, NULL);
    }
    ltlm_model_facts facts;
    ltlm_model_describe(model, &facts);
    ASSERT_INT(0, facts.cache_bytes);
    delete_model(model);
}

static void *cancel_from_elsewhere(void *argument)
{
    ltlm_generation_cancel(argument);
    return NULL;
}

TEST(a_cancel_wakes_a_consumer_that_waits)
{
    ltlm_model *model = new_model(0, 0);
    ltlm_sequence *sequence = new_sequence(model);
    text prompt = prompt_of(1, 100), all = prompt;
    pthread_t thread;
    fake_pause();
    ltlm_generation *generation = start(sequence, &prompt, 5);
    ASSERT_INT(0, pthread_create(&thread, NULL, cancel_from_elsewhere, generation));
    ASSERT_INT(LTLM_END_CANCELLED, finish(generation, &all).end);
    pthread_join(thread, NULL);
    fake_resume();
    ltlm_generation_delete(generation);
    delete_sequence(sequence);
    delete_model(model);
}

TESTS(RUN(many_together_generate_what_each_does_alone)                       //
      RUN(more_than_fit_a_pass_are_served_in_turn)                           //
      RUN(decoding_goes_on_while_prompts_are_run_in_turn)                    //
      RUN(a_masked_generation_holds_nobody_up)                               //
      RUN(scoring_leaves_room_for_those_that_decode)                         //
      RUN(a_cancel_is_obeyed_in_prefill)                                     //
      RUN(a_cancel_is_obeyed_in_decode)                                      //
      RUN(an_aborted_run_is_made_again_for_the_others)                       //
      RUN(one_that_is_not_in_the_run_is_cancelled_without_disturbing_it)     //
      RUN(one_that_finds_no_memory_fails_alone)                              //
      RUN(a_run_that_fails_ends_those_in_it)                                 //
      RUN(many_users_at_once_disturb_nobody)                                 //
      RUN(a_cancel_wakes_a_consumer_that_waits))
