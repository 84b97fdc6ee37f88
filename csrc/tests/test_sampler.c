/* From logits to tokens. Distributions are checked over many draws of one seed: the same every time. */
#include <math.h>

#include "native/sampler.h"
#include "testing.h"

enum { VOCABULARY = 1000, DRAWS = 4000 };

static ltlm_error err;
static float logits[VOCABULARY];
static uint32_t mask[(VOCABULARY + 31) / 32];

static ltlm_generation_options plain(void)
{
    return (ltlm_generation_options){.temperature = 1, .top_p = 1, .repetition_penalty = 1};
}

static ltlm__sampler *new_sampler(int32_t vocabulary)
{
    ltlm__sampler *sampler;
    ASSERT_INT(LTLM_OK, ltlm__sampler_create(ltlm_kernels_portable(), vocabulary, &sampler, &err));
    return sampler;
}

/* Logits between -3 and 3 that look random. */
static void scatter(void)
{
    for (uint32_t i = 0; i < VOCABULARY; i++) {
        logits[i] = (float)(i * 2654435761u >> 8) / (float)(1 << 24) * 6 - 3;
    }
}

static void allow_none(void) { memset(mask, 0, sizeof mask); }
static void allow(int32_t token) { mask[token / 32] |= UINT32_C(1) << (token % 32); }

/* What a sampler draws of a vocabulary after `tokens`, of which `prompt` are the prompt. */
static int32_t next_after(const ltlm_generation_options *options, const int32_t *tokens, size_t count,
                          size_t prompt, const uint32_t *allowed)
{
    ltlm__sampler *sampler = new_sampler(VOCABULARY);
    ltlm__sample sample = {options, logits, tokens, count, prompt, allowed};
    int32_t token = ltlm__sampler_next(sampler, &sample);
    ASSERT_INT(token, ltlm__sampler_next(sampler, &sample)); /* nothing is kept from one to the next */
    ltlm__sampler_delete(sampler);
    return token;
}

static int32_t next(const ltlm_generation_options *options) { return next_after(options, NULL, 0, 0, NULL); }

/* ---- distributions ---- */

/* Counts of many draws at as many positions. */
static void draw_many(const ltlm_generation_options *options, const uint32_t *allowed, int32_t *counts)
{
    ltlm__sampler *sampler = new_sampler(VOCABULARY);
    int32_t *tokens = calloc(DRAWS, sizeof *tokens);
    ASSERT(tokens);
    memset(counts, 0, VOCABULARY * sizeof *counts);
    for (size_t i = 0; i < DRAWS; i++) {
        ltlm__sample sample = {options, logits, tokens, i, i, allowed};
        int32_t token = ltlm__sampler_next(sampler, &sample);
        ASSERT(token >= 0 && token < VOCABULARY);
        counts[token]++;
    }
    free(tokens);
    ltlm__sampler_delete(sampler);
}

static int by_probability(const void *a, const void *b)
{
    double left = ((const double *)a)[0], right = ((const double *)b)[0];
    return left < right ? 1 : left > right ? -1 : 0;
}

/* The slow and obvious way: sort all, cut, normalise. */
static void expect(const ltlm_generation_options *options, double *probability)
{
    static double sorted[VOCABULARY][2];
    double total = 0, kept = 0;
    for (int32_t i = 0; i < VOCABULARY; i++) {
        sorted[i][0] = isnan(logits[i]) ? 0 : exp((double)logits[i] / (double)options->temperature);
        sorted[i][1] = i;
        probability[i] = 0;
    }
    qsort(sorted, VOCABULARY, sizeof *sorted, by_probability);
    int32_t count = options->top_k > 0 && options->top_k < VOCABULARY ? options->top_k : VOCABULARY;
    for (int32_t i = 0; i < count; i++) {
        total += sorted[i][0];
    }
    double before = 0;
    int32_t survivors = 0;
    for (int32_t i = 0; i < count && before < (double)options->top_p * total; i++) {
        before += sorted[i][0];
        survivors += sorted[i][0] >= (double)options->min_p * sorted[0][0];
    }
    for (int32_t i = 0; i < survivors; i++) {
        kept += sorted[i][0];
    }
    for (int32_t i = 0; i < survivors; i++) {
        probability[(int32_t)sorted[i][1]] = sorted[i][0] / kept;
    }
}

/* Nothing comes that may not, and the rest as often as it should: Pearson's statistic over the tokens that
 * are expected five times or more lies within five standard deviations of its mean. */
static void check_distribution(const ltlm_generation_options *options)
{
    static double probability[VOCABULARY];
    static int32_t counts[VOCABULARY];
    expect(options, probability);
    draw_many(options, NULL, counts);
    double statistic = 0;
    int32_t cells = 0, support = 0;
    for (int32_t i = 0; i < VOCABULARY; i++) {
        double expected = probability[i] * DRAWS;
        ASSERT(counts[i] == 0 || expected > 0);
        support += expected > 0;
        if (expected >= 5) {
            statistic += (counts[i] - expected) * (counts[i] - expected) / expected;
            cells++;
        }
    }
    ASSERT(support >= 1);
    if (cells > 1) {
        ASSERT(fabs(statistic - (cells - 1)) < 5 * sqrt(2.0 * (cells - 1)) + 1);
    }
}

TEST(draws_follow_the_softmax)
{
    ltlm_generation_options options = plain();
    scatter();
    for (uint64_t seed = 0; seed < 3; seed++) {
        options.seed = seed;
        check_distribution(&options);
    }
}

TEST(draws_follow_the_temperature)
{
    static const float temperatures[] = {0.1f, 0.5f, 0.8f, 2, 100};
    ltlm_generation_options options = plain();
    scatter();
    for (size_t i = 0; i < sizeof temperatures / sizeof *temperatures; i++) {
        options.temperature = temperatures[i];
        check_distribution(&options);
    }
}

TEST(draws_follow_top_k_top_p_and_min_p)
{
    static const int32_t ks[] = {0, 2, 5, 40, 257, 999, 1000, INT32_MAX};
    static const float ps[] = {1, 0.95f, 0.5f, 0.01f}, mins[] = {0, 0.05f, 0.5f, 1};
    scatter();
    for (int i = 0; i < 8; i++) {
        for (int j = 0; j < 4; j++) {
            ltlm_generation_options options = plain();
            options.top_k = ks[i];
            options.top_p = ps[j];
            options.min_p = mins[(i + j) % 4];
            check_distribution(&options);
        }
    }
}

TEST(equal_logits_are_cut_in_the_order_of_tokens)
{
    static int32_t counts[VOCABULARY];
    ltlm_generation_options options = plain();
    for (int32_t i = 0; i < VOCABULARY; i++) {
        logits[i] = 1;
    }
    options.top_p = 0.0995f; /* of 1,000 equals: 100, by number of token */
    draw_many(&options, NULL, counts);
    for (int32_t i = 0; i < VOCABULARY; i++) {
        ASSERT(i < 100 ? counts[i] > 10 : counts[i] == 0);
    }
    options.top_p = 1;
    options.top_k = 7;
    draw_many(&options, NULL, counts);
    for (int32_t i = 0; i < VOCABULARY; i++) {
        ASSERT(i < 7 ? counts[i] > 400 : counts[i] == 0);
    }
}

TEST(a_seed_and_a_position_make_a_draw)
{
    ltlm_generation_options options = plain();
    static const int32_t tokens[64] = {0};
    scatter();
    int32_t differ_by_seed = 0, differ_by_position = 0;
    for (size_t i = 1; i < 64; i++) {
        options.seed = 7;
        int32_t first = next_after(&options, tokens, i, 0, NULL);
        ASSERT_INT(first, next_after(&options, tokens, i, i / 2, NULL));
        differ_by_position += first != next_after(&options, tokens, i - 1, 0, NULL);
        options.seed = 8;
        differ_by_seed += first != next_after(&options, tokens, i, 0, NULL);
    }
    ASSERT(differ_by_seed > 50 && differ_by_position > 50);
}

TEST(a_large_vocabulary_is_sampled)
{
    enum { LARGE = 262144 };
    float *values = malloc(LARGE * sizeof *values);
    ASSERT(values);
    for (uint32_t i = 0; i < LARGE; i++) {
        values[i] = (float)(i * 2654435761u >> 8) / (float)(1 << 24) * 20;
    }
    ltlm__sampler *sampler = new_sampler(LARGE);
    ltlm_generation_options options = plain();
    for (int i = 0; i < 8; i++) {
        options.top_k = i % 2 ? 64 : 0;
        options.top_p = i % 4 < 2 ? 0.9f : 1;
        options.seed = (uint64_t)i;
        ltlm__sample sample = {.options = &options, .logits = values};
        ASSERT(values[ltlm__sampler_next(sampler, &sample)] > (i % 2 ? 19.9f : 5));
    }
    ltlm__sampler_delete(sampler);
    free(values);
}

/* ---- greedy ---- */

TEST(greedy_takes_the_best)
{
    ltlm_generation_options options = plain();
    scatter();
    logits[321] = 9;
    options.temperature = 0;
    ASSERT_INT(321, next(&options));
    options = plain();
    options.top_k = 1;
    ASSERT_INT(321, next(&options));
    options = plain();
    options.top_p = 1e-6f;
    ASSERT_INT(321, next(&options));
    options = plain();
    options.min_p = 1;
    ASSERT_INT(321, next(&options));
    options = plain();
    options.temperature = 1e-42f; /* denormal */
    ASSERT_INT(321, next(&options));
}

/* ---- penalties ---- */

static ltlm_generation_options greedy(void)
{
    ltlm_generation_options options = plain();
    options.temperature = 0;
    return options;
}

/* Logits of -1, but for a few. */
static void flat(void)
{
    for (int32_t i = 0; i < VOCABULARY; i++) {
        logits[i] = -1;
    }
}

TEST(repetition_divides_what_is_positive_and_multiplies_what_is_negative)
{
    static const int32_t tokens[] = {10, 10, 11, 12};
    ltlm_generation_options options = greedy();
    flat();
    logits[10] = 4;
    logits[20] = 2.1f;
    options.repetition_penalty = 2;
    ASSERT_INT(20, next_after(&options, tokens, 4, 2, NULL)); /* 4 / 2, once although it was there twice */
    logits[20] = 1.9f;
    ASSERT_INT(10, next_after(&options, tokens, 4, 2, NULL));
    flat();
    for (int32_t i = 0; i < VOCABULARY; i++) {
        logits[i] = -9;
    }
    logits[11] = -2;
    logits[30] = -3.9f;
    ASSERT_INT(30, next_after(&options, tokens, 4, 4, NULL)); /* -2 * 2, in the prompt too */
    logits[30] = -4.1f;
    ASSERT_INT(11, next_after(&options, tokens, 4, 4, NULL));
}

TEST(presence_and_frequency_look_at_the_reply)
{
    static const int32_t tokens[] = {10, 11, 11, 12};
    ltlm_generation_options options = greedy();
    flat();
    logits[10] = 2;
    logits[11] = 2;
    options.presence_penalty = 1;
    ASSERT_INT(10, next_after(&options, tokens, 4, 1, NULL)); /* 10 is prompt */
    logits[10] = 0.9f;
    ASSERT_INT(11, next_after(&options, tokens, 4, 1, NULL)); /* 2 - 1, once */
    options.presence_penalty = 0;
    options.frequency_penalty = 1;
    ASSERT_INT(10, next_after(&options, tokens, 4, 1, NULL)); /* 2 - 2 * 1 */
    logits[10] = -0.1f;
    ASSERT_INT(11, next_after(&options, tokens, 4, 1, NULL));
    options.frequency_penalty = -1; /* wanted */
    logits[10] = 3.9f;
    ASSERT_INT(11, next_after(&options, tokens, 4, 1, NULL));
}

TEST(no_ngram_comes_twice)
{
    static const int32_t tokens[] = {1, 2, 3, 9, 1, 2};
    ltlm_generation_options options = greedy();
    flat();
    logits[3] = 5;
    logits[2] = 4;
    options.no_repeat_ngram = 3;
    ASSERT_INT(2, next_after(&options, tokens, 6, 3, NULL)); /* 1 2 3 was there */
    ASSERT_INT(3, next_after(&options, tokens, 5, 3, NULL));
    ASSERT_INT(3, next_after(&options, tokens, 2, 2, NULL));
    ASSERT_INT(3, next_after(&options, tokens, 0, 0, NULL));
    options.no_repeat_ngram = 1;
    logits[500] = 3;
    ASSERT_INT(500, next_after(&options, tokens, 6, 3, NULL));
    options.no_repeat_ngram = 7;
    ASSERT_INT(3, next_after(&options, tokens, 6, 3, NULL));
}

TEST(biases_suppressed_tokens_and_mask)
{
    static const int32_t biased[] = {40, 41}, suppressed[] = {50, 999};
    static const float biases[] = {3, -100};
    ltlm_generation_options options = greedy();
    flat();
    logits[41] = 50;
    logits[50] = 40;
    options.bias_tokens = biased;
    options.biases = biases;
    options.bias_count = 2;
    options.suppressed = suppressed;
    options.suppressed_count = 2;
    ASSERT_INT(40, next(&options));
    allow_none();
    allow(41);
    allow(50);
    allow(998);
    ASSERT_INT(998, next_after(&options, NULL, 0, 0, mask));
}

TEST(a_mask_is_never_broken)
{
    static const int32_t suppressed[] = {70, 71};
    static int32_t counts[VOCABULARY];
    ltlm_generation_options options = plain();
    scatter();
    options.suppressed = suppressed;
    options.suppressed_count = 2;
    allow_none();
    allow(70);
    allow(71);
    logits[70] = 1;
    logits[71] = 2;
    ASSERT_INT(71, next_after(&options, NULL, 0, 0, mask)); /* nothing is left: suppression gives way */
    allow(999);
    allow(0);
    for (int32_t k = 0; k < 4; k += 3) {
        options.top_k = k;
        draw_many(&options, mask, counts);
        ASSERT_INT(DRAWS, counts[0] + counts[999]);
        ASSERT(counts[0] > 10 && counts[999] > 10);
    }
}

/* ---- bad logits ---- */

TEST(nan_and_infinity_do_no_harm)
{
    ltlm_generation_options options = plain();
    for (int32_t k = 0; k < 3; k++) {
        static const float bad[] = {NAN, -INFINITY};
        options.top_k = k * 5;
        options.top_p = k == 2 ? 0.5f : 1;
        for (int b = 0; b < 2; b++) {
            for (int32_t i = 0; i < VOCABULARY; i++) {
                logits[i] = bad[b];
            }
            ASSERT_INT(0, next(&options));
            allow_none();
            allow(77);
            allow(78);
            ASSERT_INT(77, next_after(&options, NULL, 0, 0, mask));
            logits[78] = -5;
            ASSERT_INT(78, next(&options));
            ASSERT_INT(78, next_after(&options, NULL, 0, 0, mask));
            logits[79] = INFINITY;
            ASSERT_INT(79, next(&options));
        }
    }
    scatter();
    for (int32_t i = 0; i < VOCABULARY; i += 3) {
        logits[i] = NAN;
    }
    options = plain();
    check_distribution(&options);
    options.top_k = 30;
    check_distribution(&options);
}

/* ---- log-probabilities ---- */

TEST(log_probabilities_are_those_of_the_model)
{
    ltlm__sampler *sampler = new_sampler(VOCABULARY);
    scatter();
    double total = 0;
    for (int32_t i = 0; i < VOCABULARY; i++) {
        total += exp((double)logits[i]);
    }
    for (int32_t i = 0; i < VOCABULARY; i += 7) {
        double expected = (double)logits[i] - log(total);
        ASSERT(fabs(expected - (double)ltlm__sampler_log_probability(sampler, logits, i)) < 1e-4);
    }
    ltlm__sampler_delete(sampler);
}

TEST(a_certain_token_has_a_log_probability_of_0)
{
    ltlm__sampler *sampler = new_sampler(VOCABULARY);
    for (int32_t i = 0; i < VOCABULARY; i++) {
        logits[i] = i == 5 ? 90 : -90;
    }
    ASSERT(ltlm__sampler_log_probability(sampler, logits, 5) <= 0);
    ASSERT(ltlm__sampler_log_probability(sampler, logits, 5) > -1e-5f);
    ltlm__sampler_delete(sampler);
}

/* The likeliest tokens, found by looking for each of them. */
static void check_likeliest(int32_t count)
{
    ltlm__sampler *sampler = new_sampler(VOCABULARY);
    int32_t tokens[LTLM_MOST_ALTERNATIVES];
    float told[LTLM_MOST_ALTERNATIVES];
    bool taken[VOCABULARY] = {false};
    ltlm__sampler_likeliest(sampler, logits, count, tokens, told);
    for (int32_t i = 0; i < count; i++) {
        int32_t best = -1;
        for (int32_t token = 0; token < VOCABULARY; token++) {
            bool is_one = !taken[token] && logits[token] > -INFINITY;
            best = is_one && (best < 0 || logits[token] > logits[best]) ? token : best;
        }
        ASSERT_INT(best, tokens[i]);
        if (best < 0) {
            ASSERT(told[i] == -INFINITY);
            continue;
        }
        ASSERT(told[i] == ltlm__sampler_log_probability(sampler, logits, best));
        taken[best] = true;
    }
    ltlm__sampler_delete(sampler);
}

TEST(the_likeliest_tokens_come_in_their_order)
{
    scatter();
    check_likeliest(1);
    check_likeliest(7);
    check_likeliest(LTLM_MOST_ALTERNATIVES);
    for (int32_t i = 0; i < VOCABULARY; i++) {
        logits[i] = (float)(i % 300); /* equal ones: the first comes first */
    }
    check_likeliest(LTLM_MOST_ALTERNATIVES);
    for (int32_t i = 0; i < VOCABULARY; i++) {
        logits[i] = i % 400 == 3 ? (float)i / 1000 : -INFINITY; /* there are three */
    }
    check_likeliest(LTLM_MOST_ALTERNATIVES);
}

/* ---- options ---- */

static void refused(ltlm_generation_options options, const char *why)
{
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm__sampler_check(&options, VOCABULARY, &err));
    ASSERT_IN(why, err.reason);
}

TEST(options_out_of_range_are_refused_by_name)
{
    static const int32_t tokens[] = {0, VOCABULARY}, below[] = {-1};
    static const float infinite[] = {0, INFINITY};
    ltlm_generation_options good = plain();
    ASSERT_INT(LTLM_OK, ltlm__sampler_check(&good, VOCABULARY, &err));
#define REFUSED(why, ...)                          \
    do {                                           \
        ltlm_generation_options options = plain(); \
        __VA_ARGS__;                               \
        refused(options, why);                     \
    } while (0)
    REFUSED("temperature", options.temperature = -1);
    REFUSED("temperature", options.temperature = NAN);
    REFUSED("temperature", options.temperature = INFINITY);
    REFUSED("top_k", options.top_k = -1);
    REFUSED("top_p", options.top_p = 0);
    REFUSED("top_p", options.top_p = 1.5f);
    REFUSED("top_p", options.top_p = NAN);
    REFUSED("min_p", options.min_p = -0.1f);
    REFUSED("min_p", options.min_p = 1.1f);
    REFUSED("repetition_penalty", options.repetition_penalty = 0);
    REFUSED("repetition_penalty", options.repetition_penalty = INFINITY);
    REFUSED("presence_penalty", options.presence_penalty = NAN);
    REFUSED("frequency_penalty", options.frequency_penalty = -INFINITY);
    REFUSED("no_repeat_ngram", options.no_repeat_ngram = -2);
    REFUSED("alternatives", options.alternatives = -1);
    REFUSED("alternatives", options.alternatives = LTLM_MOST_ALTERNATIVES + 1);
    REFUSED("suppressed token is not within 0 and 999", options.suppressed = tokens,
            options.suppressed_count = 2);
    REFUSED("suppressed token", options.suppressed = below, options.suppressed_count = 1);
    REFUSED("biased token", options.bias_tokens = tokens + 1, options.biases = infinite,
            options.bias_count = 1);
    REFUSED("bias is not finite", options.bias_tokens = tokens, options.biases = infinite,
            options.bias_count = 2);
}

TEST(memory_may_run_out)
{
    for (int successes = 0; successes < 4; successes++) {
        ltlm__sampler *sampler;
        test_alloc_fail_after(successes);
        ASSERT_INT(LTLM_E_NO_MEMORY, ltlm__sampler_create(ltlm_kernels_portable(), 100, &sampler, &err));
        test_alloc_fail_after(-1);
        ASSERT(!sampler);
    }
}

TESTS(RUN(draws_follow_the_softmax)                                                //
      RUN(draws_follow_the_temperature)                                            //
      RUN(draws_follow_top_k_top_p_and_min_p)                                      //
      RUN(equal_logits_are_cut_in_the_order_of_tokens)                             //
      RUN(a_seed_and_a_position_make_a_draw)                                       //
      RUN(a_large_vocabulary_is_sampled)                                           //
      RUN(greedy_takes_the_best)                                                   //
      RUN(repetition_divides_what_is_positive_and_multiplies_what_is_negative)     //
      RUN(presence_and_frequency_look_at_the_reply)                                //
      RUN(no_ngram_comes_twice)                                                    //
      RUN(biases_suppressed_tokens_and_mask)                                       //
      RUN(a_mask_is_never_broken)                                                  //
      RUN(nan_and_infinity_do_no_harm)                                             //
      RUN(log_probabilities_are_those_of_the_model)                                //
      RUN(a_certain_token_has_a_log_probability_of_0)                              //
      RUN(the_likeliest_tokens_come_in_their_order)                                //
      RUN(options_out_of_range_are_refused_by_name)                                //
      RUN(memory_may_run_out))
