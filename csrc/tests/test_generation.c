/* One generation at a time, and what sequences do between them, on the fake executor. */
#include <math.h>

#include "generations.h"

/* ---- tokens and ends ---- */

TEST(greedy_tokens_follow_from_all_tokens_before)
{
    static const int32_t lengths[] = {1, 2, 31, 32, 33, 64, 200, 700};
    ltlm_model *model = new_model(0, 0);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        ltlm_sequence *sequence = new_sequence(model);
        text prompt = prompt_of((uint32_t)i, lengths[i]);
        ltlm_progress progress = run(sequence, &prompt, 40);
        ASSERT_INT(lengths[i], progress.prompt_tokens);
        ASSERT_INT(lengths[i], progress.prefilled_tokens);
        ASSERT_INT(0, progress.reused_tokens);
        ASSERT_INT(40, progress.generated_tokens);
        ASSERT(!progress.log_probabilities);
        ASSERT(0 < progress.started_ns && progress.started_ns <= progress.running_ns);
        ASSERT(progress.running_ns <= progress.first_token_ns);
        ASSERT(progress.first_token_ns <= progress.ended_ns);
        ASSERT_INT(lengths[i] + 39, ltlm_sequence_length(sequence)); /* the last was sampled, and not run */
        delete_sequence(sequence);
    }
    delete_model(model);
}

TEST(a_stop_token_ends_it_and_is_delivered)
{
    ltlm_model *model = new_model(0, 0);
    ltlm_sequence *sequence = new_sequence(model);
    text prompt = prompt_of(1, 10), expected = continued(&prompt, 5), all = prompt;
    int32_t stops[] = {-1, expected.tokens[14]};
    ltlm_generation_options options = greedy(-1);
    options.stop_tokens = stops;
    options.stop_count = 2;
    ltlm_generation *generation = start_with(sequence, &prompt, options);
    ASSERT_INT(LTLM_END_STOP, finish(generation, &all).end);
    assert_same(&expected, &all);
    ltlm_generation_delete(generation);
    delete_sequence(sequence);
    delete_model(model);
}

TEST(the_context_is_used_to_its_end)
{
    ltlm_model *model = new_model(0, 0);
    ltlm_sequence *sequence = new_sequence(model);
    for (int32_t room = 0; room < 3; room++) {
        text prompt = prompt_of(1, FAKE_CONTEXT - room), all = prompt;
        /* Its last token is run when the conversation goes on; there must be room for it. */
        text expected = continued(&prompt, room > 0 ? room : 1);
        ltlm_generation *generation = start(sequence, &prompt, -1);
        ASSERT_INT(LTLM_END_CONTEXT, finish(generation, &all).end);
        assert_same(&expected, &all);
        ASSERT_INT(FAKE_CONTEXT - (room > 0), ltlm_sequence_length(sequence));
        ltlm_generation_delete(generation);
    }
    delete_sequence(sequence);
    delete_model(model);
}

TEST(the_end_can_be_taken_again)
{
    ltlm_model *model = new_model(0, 0);
    ltlm_sequence *sequence = new_sequence(model);
    text prompt = prompt_of(1, 5), all = prompt;
    ltlm_generation *generation = start(sequence, &prompt, 3);
    finish(generation, &all);
    ltlm_progress progress = finish(generation, &all);
    ASSERT_INT(LTLM_END_LENGTH, progress.end);
    ASSERT_INT(0, progress.count);
    ASSERT_INT(8, all.count);
    ltlm_generation_cancel(generation); /* too late */
    ASSERT_INT(LTLM_END_LENGTH, finish(generation, &all).end);
    ltlm_generation_dispose(&generation, &err);
    ASSERT(!generation);
    ASSERT_INT(LTLM_OK, ltlm_generation_dispose(&generation, &err));
    delete_sequence(sequence);
    delete_model(model);
}

TEST(a_prefill_alone_makes_no_token)
{
    ltlm_model *model = new_model(0, 64);
    ltlm_sequence *sequence = new_sequence(model);
    text prompt = prompt_of(1, 150), all = {.count = 0};
    ltlm_generation *generation = start(sequence, &prompt, 0);
    ltlm_progress progress = finish(generation, &all);
    ASSERT_INT(LTLM_END_LENGTH, progress.end);
    ASSERT_INT(0, all.count);
    ASSERT_INT(150, progress.prompt_tokens);
    ASSERT_INT(0, progress.generated_tokens);
    ASSERT(progress.first_token_ns > 0);
    ltlm_generation_delete(generation);
    ASSERT_INT(150, ltlm_sequence_length(sequence));
    ASSERT_INT(149, run(sequence, &prompt, 5).reused_tokens); /* one has to be run again for its logits */
    delete_sequence(sequence);
    delete_model(model);
}

/* ---- log-probabilities ---- */

static double log_probability(const int32_t *tokens, int32_t count, int32_t next)
{
    float logits[FAKE_VOCABULARY];
    double total = 0;
    fake_logits(tokens, count, logits);
    for (int32_t i = 0; i < FAKE_VOCABULARY; i++) {
        total += exp((double)logits[i]);
    }
    return (double)logits[next] - log(total);
}

/* Takes all; each token's log-probability is that of the model after all before it. `all` begins with what
 * precedes. */
static ltlm_progress check_log_probabilities(ltlm_generation *generation, text *all)
{
    ltlm_progress progress;
    do {
        ASSERT_INT(LTLM_OK, ltlm_generation_take(generation, 1, 0, PATIENCE_MS, &progress));
        for (size_t i = 0; i < progress.count; i++) {
            double expected = log_probability(all->tokens, all->count, progress.tokens[i]);
            ASSERT(fabs(expected - (double)progress.log_probabilities[i]) < 1e-4);
            all->tokens[all->count++] = progress.tokens[i];
        }
    } while (progress.end == LTLM_RUNNING);
    return progress;
}

TEST(log_probabilities_come_with_the_tokens)
{
    ltlm_model *model = new_model(0, 0);
    ltlm_sequence *sequence = new_sequence(model);
    text prompt = prompt_of(1, 20), all = prompt;
    ltlm_generation_options options = greedy(30);
    options.temperature = 2; /* changes what is drawn, not what is told */
    options.repetition_penalty = 1.5f;
    options.log_probabilities = true;
    ltlm_generation *generation = start_with(sequence, &prompt, options);
    check_log_probabilities(generation, &all);
    ASSERT_INT(50, all.count);
    ltlm_generation_delete(generation);
    delete_sequence(sequence);
    delete_model(model);
}

TEST(alternatives_come_with_the_tokens)
{
    enum { MANY = 3 };
    ltlm_model *model = new_model(0, 0);
    ltlm_sequence *sequence = new_sequence(model);
    text prompt = prompt_of(1, 20), all = prompt;
    ltlm_generation_options options = greedy(30);
    options.log_probabilities = true;
    options.alternatives = MANY;
    ltlm_generation *generation = start_with(sequence, &prompt, options);
    ltlm_progress progress;
    do {
        ASSERT_INT(LTLM_OK, ltlm_generation_take(generation, 4, 5, PATIENCE_MS, &progress));
        for (size_t i = 0; i < progress.count; i++) {
            const int32_t *tokens = progress.alternatives + i * MANY;
            const float *told = progress.alternative_log_probabilities + i * MANY;
            ASSERT_INT(progress.tokens[i], tokens[0]); /* greedy: it is the likeliest */
            ASSERT(told[0] == progress.log_probabilities[i]);
            for (int32_t at = 0; at < MANY; at++) {
                double expected = log_probability(all.tokens, all.count, tokens[at]);
                ASSERT(fabs(expected - (double)told[at]) < 1e-4);
                ASSERT(at == 0 || (tokens[at] != tokens[at - 1] && told[at] <= told[at - 1]));
            }
            all.tokens[all.count++] = progress.tokens[i];
        }
    } while (progress.end == LTLM_RUNNING);
    ASSERT_INT(50, all.count);
    ltlm_generation_delete(generation);

    options.score_from = 10; /* nothing is sampled, so there is nothing beside it */
    generation = start_with(sequence, &prompt, options);
    ASSERT_INT(LTLM_OK, ltlm_generation_take(generation, 1, 0, PATIENCE_MS, &progress));
    ASSERT(progress.log_probabilities);
    ASSERT(!progress.alternatives);
    ltlm_generation_delete(generation);
    delete_sequence(sequence);
    delete_model(model);
}

TEST(a_prompt_is_scored)
{
    static const int32_t froms[] = {1, 2, 60, 119};
    ltlm_model *model = new_model(0, 50);
    for (size_t i = 0; i < 4; i++) {
        ltlm_sequence *sequence = new_sequence(model);
        text prompt = prompt_of(1, 120), all = prompt;
        ltlm_generation_options options = greedy(-1);
        options.score_from = froms[i];
        options.masked = true; /* nothing is sampled: no mask is waited for */
        ltlm_generation *generation = start_with(sequence, &prompt, options);
        all.count = froms[i];
        ltlm_progress progress = check_log_probabilities(generation, &all);
        assert_same(&prompt, &all);
        ASSERT_INT(LTLM_END_LENGTH, progress.end);
        ASSERT_INT(0, progress.generated_tokens);
        ASSERT_INT(120, progress.prompt_tokens);
        ltlm_generation_delete(generation);
        ASSERT_INT(120, ltlm_sequence_length(sequence));

        options.score_from = 100; /* again: all before what is scored is reused */
        generation = start_with(sequence, &prompt, options);
        all.count = 100;
        ASSERT_INT(99, check_log_probabilities(generation, &all).reused_tokens);
        ltlm_generation_delete(generation);
        delete_sequence(sequence);
    }
    delete_model(model);
}

/* ---- what is kept and shared ---- */

TEST(a_conversation_goes_on_where_it_was)
{
    ltlm_model *model = new_model(0, 0);
    ltlm_sequence *sequence = new_sequence(model);
    text prompt = prompt_of(1, 50);
    for (int32_t turn = 0; turn < 5; turn++) {
        int32_t before = ltlm_sequence_length(sequence);
        ltlm_progress progress = run(sequence, &prompt, 20);
        ASSERT_INT(before, progress.reused_tokens);
        ASSERT_INT(prompt.count - before, progress.prompt_tokens);
        prompt = continued(&prompt, 20);
        for (int32_t i = 0; i < 30; i++) {
            prompt.tokens[prompt.count++] = turn * 40 + i;
        }
    }
    run(sequence, &prompt, 20);
    prompt.tokens[prompt.count - 10] ^= 1; /* another turn from there on */
    ASSERT_INT(prompt.count - 10, run(sequence, &prompt, 3).reused_tokens);
    ASSERT_INT(prompt.count + 2, ltlm_sequence_length(sequence));
    delete_sequence(sequence);
    delete_model(model);
}

TEST(a_shared_beginning_outlives_who_computed_it)
{
    ltlm_model *model = new_model(0, 0);
    text prompt = prompt_of(1, 100), other = prompt_of(1, 100);
    other.tokens[80] ^= 1;
    ltlm_generation_options options = greedy(3);
    options.shared = 70;
    for (int32_t i = 0; i < 2; i++) {
        ltlm_sequence *sequence = new_sequence(model);
        text *mine = i == 0 ? &prompt : &other, all = *mine, expected = continued(mine, 3);
        ltlm_generation *generation = start_with(sequence, mine, options);
        ltlm_progress progress = finish(generation, &all);
        assert_same(&expected, &all);
        ASSERT_INT(i == 0 ? 0 : 70, progress.reused_tokens);
        ltlm_generation_delete(generation);
        delete_sequence(sequence);
    }
    options.shared = 101;
    ltlm_sequence *sequence = new_sequence(model);
    ltlm_generation *none;
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT,
               ltlm_generation_start(sequence, prompt.tokens, 100, &options, &none, &err));
    delete_sequence(sequence);
    delete_model(model); /* frees what is kept */
}

TEST(the_longest_kept_beginning_is_found)
{
    ltlm_model *model = new_model(0, 0);
    const int32_t shared[] = {20, 90, 40};
    for (int32_t i = 0; i < 4; i++) {
        ltlm_sequence *sequence = new_sequence(model);
        text prompt = prompt_of(1, 100), all = prompt;
        ltlm_generation_options options = greedy(2);
        if (i < 3) {
            prompt.tokens[shared[i]] ^= 1; /* from there on it is another one */
            options.shared = shared[i];
        }
        ltlm_generation *generation = start_with(sequence, &prompt, options);
        ltlm_progress progress = finish(generation, &all);
        ASSERT(i < 3 || progress.reused_tokens == 90);
        ltlm_generation_delete(generation);
        delete_sequence(sequence);
    }
    delete_model(model);
}

TEST(kept_beginnings_make_room_for_what_runs)
{
    ltlm_model *model = new_model(0, 0);
    ltlm_model_facts facts;
    ltlm_model_describe(model, &facts);
    delete_model(model);
    model = new_model(224 * facts.cache_bytes_a_token, 0);
    for (uint32_t seed = 1; seed < 12; seed++) {
        ltlm_sequence *sequence = new_sequence(model);
        text prompt = prompt_of(seed, 150), all = prompt;
        ltlm_generation_options options = greedy(2);
        options.shared = 140;
        ltlm_generation *generation = start_with(sequence, &prompt, options);
        ASSERT_INT(LTLM_END_LENGTH, finish(generation, &all).end);
        ltlm_generation_delete(generation);
        delete_sequence(sequence);
    }
    delete_model(model);
}

TEST(logits_are_kept_if_that_is_wanted)
{
    ltlm_model *model = new_model(0, 0);
    ltlm_sequence *sequence = new_sequence(model);
    text prompt = prompt_of(1, 20), all = prompt;
    ltlm_generation_options options = greedy(2);
    float logits[FAKE_VOCABULARY];
    ltlm_generation *generation = start_with(sequence, &prompt, options);
    finish(generation, &all);
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_generation_logits(generation, logits, FAKE_VOCABULARY, &err));
    ltlm_generation_delete(generation);
    options.keep_logits = true;
    all = prompt;
    generation = start_with(sequence, &prompt, options);
    finish(generation, &all);
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_generation_logits(generation, logits, 3, &err));
    ASSERT_INT(LTLM_OK, ltlm_generation_logits(generation, logits, FAKE_VOCABULARY, &err));
    int32_t best = 0;
    for (int32_t i = 1; i < FAKE_VOCABULARY; i++) {
        best = logits[i] > logits[best] ? i : best;
    }
    ASSERT_INT(all.tokens[all.count - 1], best);
    ltlm_generation_delete(generation);
    delete_sequence(sequence);
    delete_model(model);
}

TEST(what_any_sequence_holds_is_shared)
{
    ltlm_model *model = new_model(0, 0);
    ltlm_sequence *first = new_sequence(model), *second = new_sequence(model), *third = new_sequence(model);
    ltlm_model_facts before, after;
    text prompt = prompt_of(1, 100), other = prompt_of(1, 110);
    run(first, &prompt, 10);
    ltlm_model_describe(model, &before);
    other.tokens[70] ^= 1;
    ASSERT_INT(70, run(second, &other, 10).reused_tokens);
    ltlm_model_describe(model, &after);
    ASSERT_INT(0, before.cache_bytes % before.cache_bytes_a_token);
    ASSERT_INT(before.cache_bytes + 64 * before.cache_bytes_a_token, after.cache_bytes); /* two of four */
    text again = prompt_of(1, 105); /* the longest is the first's 100, not the second's 70 */
    ASSERT_INT(100, run(third, &again, 10).reused_tokens);
    delete_sequence(first);
    again = continued(&again, 10);
    ASSERT_INT(114, run(third, &again, 10).reused_tokens); /* its own: pages outlive who made them */
    delete_sequence(second);
    delete_sequence(third);
    ltlm_model_describe(model, &after);
    ASSERT_INT(0, after.cache_bytes);
    ASSERT_STR("portable", after.kernels);
    ASSERT_INT(12345, after.weight_bytes);
    delete_model(model);
}

TEST(what_a_running_generation_holds_is_shared_too)
{
    ltlm_model *model = new_model(0, 0);
    ltlm_sequence *first = new_sequence(model), *second = new_sequence(model);
    text prompt = prompt_of(1, 50), expected = continued(&prompt, 30), all = prompt, theirs = prompt;
    fake_pause();
    ltlm_generation *donor = start(first, &prompt, 30);
    fake_step(); /* the prompt is in; the next run is stopped, in the middle of a page that is shared now */
    ltlm_generation *generation = start(second, &prompt, 30);
    fake_resume();
    ASSERT_INT(49, finish(generation, &all).reused_tokens);
    finish(donor, &theirs);
    assert_same(&expected, &all);
    assert_same(&expected, &theirs);
    ltlm_generation_delete(donor);
    ltlm_generation_delete(generation);
    delete_sequence(first);
    delete_sequence(second);
    delete_model(model);
}

TEST(a_failed_turn_can_be_taken_back_to_its_beginning_although_windows_slide)
{
    ltlm_model *model = new_model(0, 0);
    ltlm_sequence *sequence = new_sequence(model);
    text prompt = prompt_of(1, 300);
    int32_t kept;
    run(sequence, &prompt, 10);
    text next = continued(&prompt, 10), longer = prompt_of(9, 200);
    int32_t before = ltlm_sequence_length(sequence);
    memcpy(next.tokens + next.count, longer.tokens, 200 * sizeof(int32_t));
    next.count += 200;
    run(sequence, &next, 10); /* lets go of what positions from `before` on do not look at */
    ASSERT_INT(LTLM_OK, ltlm_sequence_rewind(sequence, before, &kept, &err));
    ASSERT_INT(before, kept);
    ASSERT_INT(before, ltlm_sequence_length(sequence));
    run(sequence, &next, 10);
    ASSERT_INT(LTLM_OK, ltlm_sequence_rewind(sequence, before - 50, &kept, &err));
    ASSERT_INT(0, kept); /* the window is gone: all has to be run again */
    ASSERT_INT(0, run(sequence, &prompt, 10).reused_tokens);
    delete_sequence(sequence);
    delete_model(model);
}

TEST(a_sequence_shares_nothing_that_takes_its_own_beginning_away)
{
    ltlm_model *model = new_model(0, 0);
    ltlm_sequence *far = new_sequence(model), *near = new_sequence(model);
    text prompt = prompt_of(1, 300), shorter = prompt_of(1, 100), longer = prompt_of(1, 320);
    int32_t kept;
    run(near, &shorter, 5);
    run(far, &prompt, 5);
    run(far, &longer, 5); /* its window is at 300 now */
    ASSERT_INT(100, run(near, &longer, 5).reused_tokens); /* 320 would leave nothing to go back to */
    ASSERT_INT(LTLM_OK, ltlm_sequence_rewind(near, 100, &kept, &err));
    ASSERT_INT(100, kept);
    delete_sequence(near);
    near = new_sequence(model);
    ASSERT_INT(319, run(near, &longer, 5).reused_tokens); /* an empty one has nothing to lose */
    delete_sequence(near);
    delete_sequence(far);
    delete_model(model);
}

TEST(forks_and_rewinds_go_their_own_ways)
{
    ltlm_model *model = new_model(0, 0);
    ltlm_sequence *sequence = new_sequence(model), *fork;
    text prompt = prompt_of(1, 77);
    int32_t kept;
    run(sequence, &prompt, 10);
    ASSERT_INT(LTLM_OK, ltlm_sequence_fork(sequence, &fork, &err));
    ASSERT_INT(86, ltlm_sequence_length(fork));
    text one = continued(&prompt, 10), other = one;
    one.tokens[one.count++] = 7;
    other.tokens[other.count++] = 8;
    ASSERT_INT(86, run(sequence, &one, 50).reused_tokens);
    ASSERT_INT(87, run(fork, &other, 50).reused_tokens); /* one more by now: the other has run it */
    ASSERT_INT(LTLM_OK, ltlm_sequence_rewind(sequence, 100, &kept, &err));
    ASSERT_INT(100, kept);
    ASSERT_INT(LTLM_OK, ltlm_sequence_rewind(sequence, 1000, &kept, &err));
    ASSERT_INT(100, kept);
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_sequence_rewind(sequence, -1, &kept, &err));
    run(sequence, &one, 10);
    delete_sequence(sequence);
    run(fork, &other, 20);
    delete_sequence(fork);
    delete_model(model);
}

TEST(a_saved_sequence_goes_on_in_another_model)
{
    ltlm_model *model = new_model(0, 0), *other = new_model(0, 0);
    ltlm_sequence *sequence = new_sequence(model), *loaded = new_sequence(other);
    text prompt = prompt_of(1, 300), short_one = prompt_of(3, 10);
    run(sequence, &prompt, 10);
    run(loaded, &short_one, 3);
    size_t size = ltlm_sequence_saved_bytes(sequence);
    uint8_t *bytes = malloc(size);
    ASSERT(bytes);
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_sequence_save(sequence, bytes, size - 1, &err));
    ASSERT_INT(LTLM_OK, ltlm_sequence_save(sequence, bytes, size, &err));
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_sequence_load(loaded, bytes, size - 1, &err));
    ASSERT_INT(12, ltlm_sequence_length(loaded));
    ASSERT_INT(LTLM_OK, ltlm_sequence_load(loaded, bytes, size, &err));
    ASSERT_INT(309, ltlm_sequence_length(loaded));
    prompt = continued(&prompt, 10);
    ASSERT_INT(309, run(loaded, &prompt, 10).reused_tokens);

    int32_t strange = FAKE_VOCABULARY; /* no token; the first follows 40 + 2 * 12 + 2 * 4 bytes */
    memcpy(bytes + 72, &strange, sizeof strange);
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_sequence_load(loaded, bytes, size, &err));
    ASSERT_IN("token 0", err.reason);
    free(bytes);
    delete_sequence(sequence);
    delete_sequence(loaded);
    delete_model(model);
    delete_model(other);
}

/* ---- taking ---- */

TEST(a_take_times_out_and_tells_the_progress)
{
    ltlm_model *model = new_model(0, 64);
    ltlm_sequence *sequence = new_sequence(model);
    text prompt = prompt_of(1, 200), all = prompt, expected = continued(&prompt, 5);
    ltlm_progress progress;
    fake_pause();
    ltlm_generation *generation = start(sequence, &prompt, 5);
    fake_step();
    fake_step();
    ASSERT_INT(LTLM_E_TIMED_OUT, ltlm_generation_take(generation, 1, 0, 0, &progress));
    ASSERT_INT(128, progress.prefilled_tokens);
    ASSERT_INT(200, progress.prompt_tokens);
    ASSERT_INT(LTLM_RUNNING, progress.end);
    ASSERT_INT(0, progress.count);
    ASSERT_INT(128, ltlm_sequence_length(sequence));
    fake_resume();
    finish(generation, &all);
    assert_same(&expected, &all);
    ltlm_generation_delete(generation);
    delete_sequence(sequence);
    delete_model(model);
}

TEST(a_take_lingers_for_more)
{
    ltlm_model *model = new_model(0, 0);
    ltlm_sequence *sequence = new_sequence(model);
    text prompt = prompt_of(1, 10);
    ltlm_progress progress;
    ltlm_generation *generation = start(sequence, &prompt, 50);
    ASSERT_INT(LTLM_OK, ltlm_generation_take(generation, 30, PATIENCE_MS, PATIENCE_MS, &progress));
    ASSERT(progress.count >= 30);
    const int32_t *tokens = progress.tokens;
    size_t before = progress.count;
    text expected = continued(&prompt, 50);
    wait_until_over(generation);
    ASSERT_INT(0, memcmp(tokens, expected.tokens + 10, before * sizeof *tokens));
    ltlm_generation_delete(generation);
    generation = start(sequence, &prompt, 5); /* the end is news, whatever is wanted */
    ASSERT_INT(LTLM_OK, ltlm_generation_take(generation, 30, PATIENCE_MS, PATIENCE_MS, &progress));
    ASSERT_INT(5, progress.count);
    ASSERT_INT(LTLM_END_LENGTH, progress.end);
    ltlm_generation_delete(generation);
    delete_sequence(sequence);
    delete_model(model);
}

/* ---- masks ---- */

static void allow(uint32_t *bits, int32_t token) { bits[token / 32] |= UINT32_C(1) << (token % 32); }

TEST(a_masked_generation_waits_for_each_mask)
{
    ltlm_model *model = new_model(0, 64);
    ltlm_sequence *sequence = new_sequence(model);
    text prompt = prompt_of(1, 150);
    ltlm_progress progress;
    ltlm_generation_options options = greedy(4);
    options.masked = true;
    ltlm_generation *generation = start_with(sequence, &prompt, options);
    ASSERT_INT(LTLM_OK, ltlm_generation_take(generation, 1, 0, PATIENCE_MS, &progress));
    for (int32_t i = 0; i < 4; i++) {
        uint32_t bits[(FAKE_VOCABULARY + 31) / 32] = {0};
        allow(bits, 100 + i);
        ASSERT(progress.needs_mask);
        ASSERT_INT(LTLM_OK, ltlm_generation_mask(generation, bits, sizeof bits / sizeof *bits, &err));
        ASSERT_INT(LTLM_OK, ltlm_generation_take(generation, 1, 0, PATIENCE_MS, &progress));
        ASSERT_INT(1, progress.count);
        ASSERT_INT(100 + i, progress.tokens[0]);
    }
    ASSERT(!progress.needs_mask);
    ASSERT_INT(LTLM_END_LENGTH, progress.end);
    ltlm_generation_delete(generation);
    delete_sequence(sequence);
    delete_model(model);
}

TEST(masks_that_cannot_be_are_refused)
{
    enum { WORDS = (FAKE_VOCABULARY + 31) / 32 };
    ltlm_model *model = new_model(0, 0);
    ltlm_sequence *sequence = new_sequence(model);
    text prompt = prompt_of(1, 10), all = prompt;
    uint32_t bits[WORDS] = {0};
    bits[WORDS - 1] = ~((UINT32_C(1) << FAKE_VOCABULARY % 32) - 1); /* tokens that are none */
    ltlm_generation_options options = greedy(1);
    options.masked = true;
    ltlm_generation *generation = start_with(sequence, &prompt, options);
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_generation_mask(generation, bits, WORDS, &err));
    ASSERT_IN("no token", err.reason);
    bits[0] = 1;
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_generation_mask(generation, bits, WORDS - 1, &err));
    fake_pause();
    ASSERT_INT(LTLM_OK, ltlm_generation_mask(generation, bits, WORDS, &err));
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_generation_mask(generation, bits, WORDS, &err));
    ASSERT_IN("does not wait", err.reason);
    fake_resume();
    ASSERT_INT(LTLM_END_LENGTH, finish(generation, &all).end);
    ASSERT_INT(0, all.tokens[10]);
    ASSERT_INT(LTLM_E_ENDED, ltlm_generation_mask(generation, bits, WORDS, &err));
    ltlm_generation_delete(generation);
    delete_sequence(sequence);
    delete_model(model);
}

/* ---- what is refused ---- */

static void refused(ltlm_sequence *sequence, const int32_t *tokens, size_t count,
                    ltlm_generation_options options, const char *why)
{
    ltlm_generation *generation;
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT,
               ltlm_generation_start(sequence, tokens, count, &options, &generation, &err));
    ASSERT(!generation);
    ASSERT_IN(why, err.reason);
}

TEST(what_cannot_be_generated_is_refused)
{
    ltlm_model *model = new_model(0, 0);
    ltlm_sequence *sequence = new_sequence(model);
    text prompt = prompt_of(1, FAKE_CONTEXT + 1);
    ltlm_generation_options options = greedy(1);
    refused(sequence, prompt.tokens, 0, options, "no token");
    refused(sequence, prompt.tokens, FAKE_CONTEXT + 1, options, "1001 tokens are too many: 1000");
    prompt.tokens[3] = FAKE_VOCABULARY;
    refused(sequence, prompt.tokens, 10, options, "token 3 is 500, not within 0 and 499");
    prompt.tokens[3] = -1;
    refused(sequence, prompt.tokens, 10, options, "token 3 is -1");
    options.score_from = 3;
    refused(sequence, prompt.tokens, 3, options, "score_from is 3");
    options.score_from = -1;
    refused(sequence, prompt.tokens, 3, options, "score_from");
    options = greedy(1);
    options.top_p = 0;
    refused(sequence, prompt.tokens, 3, options, "top_p");
    prompt = prompt_of(1, 20);
    run(sequence, &prompt, 5);
    delete_sequence(sequence);
    delete_model(model);
}

TEST(models_that_cannot_be_are_refused)
{
    ltlm_model *model;
    ltlm_model_options options = {.kernels = "none such"};
    ASSERT_INT(LTLM_E_UNSUPPORTED, ltlm_model_create(NULL, fake_plan(), &options, &model, &err));
    ASSERT_IN("none such", err.reason);
    ASSERT(!model);
    options = (ltlm_model_options){.max_rows = 1};
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_model_create(NULL, fake_plan(), &options, &model, &err));
    ASSERT_IN("max_rows", err.reason);
}

TEST(what_is_in_use_cannot_be_changed_or_deleted)
{
    ltlm_model *model = new_model(0, 0);
    ltlm_sequence *sequence = new_sequence(model), *fork = sequence;
    text prompt = prompt_of(1, 10), all = prompt;
    int32_t kept;
    uint8_t byte;
    ltlm_generation *second;
    ltlm_generation_options options = greedy(1);
    ASSERT_INT(LTLM_E_BUSY, ltlm_model_delete(model, &err));
    fake_pause();
    ltlm_generation *generation = start(sequence, &prompt, 1);
    fake_wait_for_run();
    ASSERT_INT(LTLM_E_BUSY, ltlm_sequence_fork(sequence, &fork, &err));
    ASSERT(!fork);
    ASSERT_INT(LTLM_E_BUSY, ltlm_sequence_rewind(sequence, 0, &kept, &err));
    ASSERT_INT(LTLM_E_BUSY, ltlm_sequence_save(sequence, &byte, 1, &err));
    ASSERT_INT(LTLM_E_BUSY, ltlm_sequence_load(sequence, &byte, 1, &err));
    ASSERT_INT(LTLM_E_BUSY, ltlm_generation_start(sequence, prompt.tokens, 3, &options, &second, &err));
    ASSERT_INT(LTLM_E_BUSY, ltlm_sequence_delete(sequence, &err));
    ltlm_sequence *kept_handle = sequence;
    ASSERT_INT(LTLM_E_BUSY, ltlm_sequence_dispose(&kept_handle, &err));
    ASSERT(kept_handle == sequence);
    fake_resume();
    finish(generation, &all);
    ASSERT_INT(LTLM_E_BUSY, ltlm_sequence_delete(sequence, &err)); /* its generation exists */
    ASSERT_INT(LTLM_OK, ltlm_sequence_rewind(sequence, 3, &kept, &err)); /* but runs no more */
    second = start(sequence, &prompt, 1);
    finish(second, &all);
    ltlm_generation_delete(generation);
    ltlm_generation_delete(second);
    ltlm_sequence_dispose(&sequence, &err);
    ASSERT(!sequence);
    ltlm_model_dispose(&model, &err);
    ASSERT(!model);
    ASSERT_INT(LTLM_OK, ltlm_model_dispose(&model, &err));
    ASSERT_INT(LTLM_OK, ltlm_sequence_dispose(&sequence, &err));
    ltlm_generation_delete(NULL);
}

/* ---- memory ---- */

TEST(memory_may_run_out_while_a_model_is_made)
{
    ltlm_model_options options = {.kernels = "portable"};
    for (int successes = 0;; successes++) {
        ltlm_model *model;
        fake_reset();
        test_alloc_fail_after(successes);
        int32_t status = ltlm_model_create(NULL, fake_plan(), &options, &model, &err);
        bool failed = test_alloc_has_failed();
        test_alloc_fail_after(-1);
        ASSERT_INT(failed ? LTLM_E_NO_MEMORY : LTLM_OK, status);
        ASSERT((status == LTLM_OK) == (model != NULL));
        ltlm_model_delete(model, &err);
        ASSERT_INT(0, test_alloc_live());
        if (!failed) {
            ASSERT(successes > 10);
            return;
        }
    }
}

TEST(memory_may_run_out_while_one_starts)
{
    ltlm_model *model = new_model(0, 0);
    ltlm_sequence *donor = new_sequence(model), *sequence = new_sequence(model);
    text prompt = prompt_of(1, 40), begun = prompt_of(1, 10);
    int32_t tokens[] = {1, 2};
    float biases[] = {0, 0};
    run(sequence, &begun, 1);
    run(donor, &prompt, 1);
    ltlm_generation_options options = greedy(0);
    options.stop_tokens = options.suppressed = options.bias_tokens = tokens;
    options.stop_count = options.suppressed_count = options.bias_count = 2;
    options.biases = biases;
    options.log_probabilities = true;
    options.alternatives = 2;
    options.max_tokens = 1;
    options.masked = true; /* so that nothing runs to its end meanwhile */
    int live = test_alloc_live();
    for (int successes = 0;; successes++) {
        ltlm_generation *generation;
        test_alloc_fail_after(successes);
        int32_t status = ltlm_generation_start(sequence, prompt.tokens, 40, &options, &generation, &err);
        bool failed = test_alloc_has_failed();
        if (status != LTLM_OK) {
            test_alloc_fail_after(-1);
            ASSERT(failed);
            ASSERT_INT(LTLM_E_NO_MEMORY, status);
            ASSERT_INT(LTLM_E_NO_MEMORY, err.status);
            ASSERT(!generation);
            ASSERT_INT(10, ltlm_sequence_length(sequence));
            ASSERT_INT(live, test_alloc_live());
            continue;
        }
        test_alloc_fail_after(-1);
        ASSERT(successes >= 10);
        ltlm_generation_delete(generation);
        break;
    }
    run(sequence, &prompt, 10);
    delete_sequence(sequence);
    delete_sequence(donor);
    delete_model(model);
}

TESTS(RUN(greedy_tokens_follow_from_all_tokens_before)                               //
      RUN(a_stop_token_ends_it_and_is_delivered)                                     //
      RUN(the_context_is_used_to_its_end)                                            //
      RUN(the_end_can_be_taken_again)                                                //
      RUN(a_prefill_alone_makes_no_token)                                            //
      RUN(log_probabilities_come_with_the_tokens)                                    //
      RUN(alternatives_come_with_the_tokens)                                         //
      RUN(a_prompt_is_scored)                                                        //
      RUN(a_conversation_goes_on_where_it_was)                                       //
      RUN(a_shared_beginning_outlives_who_computed_it)                               //
      RUN(the_longest_kept_beginning_is_found)
      RUN(kept_beginnings_make_room_for_what_runs)                                   //
      RUN(logits_are_kept_if_that_is_wanted)                                         //
      RUN(what_any_sequence_holds_is_shared)                                         //
      RUN(what_a_running_generation_holds_is_shared_too)                             //
      RUN(a_failed_turn_can_be_taken_back_to_its_beginning_although_windows_slide)   //
      RUN(a_sequence_shares_nothing_that_takes_its_own_beginning_away)               //
      RUN(forks_and_rewinds_go_their_own_ways)                                       //
      RUN(a_saved_sequence_goes_on_in_another_model)                                 //
      RUN(a_take_times_out_and_tells_the_progress)                                   //
      RUN(a_take_lingers_for_more)                                                   //
      RUN(a_masked_generation_waits_for_each_mask)                                   //
      RUN(masks_that_cannot_be_are_refused)                                          //
      RUN(what_cannot_be_generated_is_refused)                                       //
      RUN(models_that_cannot_be_are_refused)                                         //
      RUN(what_is_in_use_cannot_be_changed_or_deleted)                               //
      RUN(memory_may_run_out_while_a_model_is_made)                                  //
      RUN(memory_may_run_out_while_one_starts))
