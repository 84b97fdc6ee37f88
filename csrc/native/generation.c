#include "alloc.h"
#include "batcher.h"
#include "status.h"

/* ---- start ------------------------------------------------------------------------------------- */

static int32_t check(const ltlm_model *model, const int32_t *tokens, size_t count,
                     const ltlm_generation_options *options, ltlm_error *err)
{
    if (count == 0) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "there is no token to begin with");
    }
    if (count > (size_t)model->max_context) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "%zu tokens are too many: %d fit the context", count,
                          (int)model->max_context);
    }
    for (size_t i = 0; i < count; i++) {
        if (tokens[i] < 0 || tokens[i] >= model->vocabulary) {
            return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "token %zu is %d, not within 0 and %d", i,
                              (int)tokens[i], (int)model->vocabulary - 1);
        }
    }
    if (options->score_from < 0 || (size_t)options->score_from >= count) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "score_from is %d, not 0 or an index of %zu tokens",
                          (int)options->score_from, count);
    }
    if (options->shared < 0 || (size_t)options->shared > count) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "shared is %d, not within 0 and %zu",
                          (int)options->shared, count);
    }
    return ltlm__sampler_check(options, model->vocabulary, err);
}

/* A copy of `count` elements; NULL if there are none, or no memory. */
static void *copy(const void *elements, size_t count, size_t size, bool *failed)
{
    void *copied = count ? ltlm__calloc(count, size) : NULL;
    if (copied) {
        memcpy(copied, elements, count * size);
    }
    *failed |= count && !copied;
    return copied;
}

static void free_generation(ltlm_generation *generation)
{
    ltlm__free((void *)generation->options.stop_tokens);
    ltlm__free((void *)generation->options.suppressed);
    ltlm__free((void *)generation->options.bias_tokens);
    ltlm__free((void *)generation->options.biases);
    ltlm__free(generation->tokens);
    ltlm__free(generation->log_probabilities);
    ltlm__free(generation->alternatives);
    ltlm__free(generation->alternative_log_probabilities);
    ltlm__free(generation->mask);
    ltlm__free(generation->logits);
    ltlm__free(generation);
}

/* Tokens of prompt and reply together at most. */
static size_t most_tokens(const ltlm_model *model, size_t count, const ltlm_generation_options *options)
{
    size_t all = (size_t)model->max_context + 1; /* the last is sampled, but not run any more */
    if (options->score_from > 0 || options->max_tokens == 0) {
        return count;
    }
    bool is_limited = options->max_tokens > 0 && (size_t)options->max_tokens < all - count;
    return is_limited ? count + (size_t)options->max_tokens : all;
}

/* Room for what is told of each of `count` tokens. False: no memory. */
static bool make_room(ltlm_generation *generation, size_t count)
{
    const ltlm_generation_options *options = &generation->options;
    bool failed = false;
    if (options->log_probabilities || options->score_from > 0) {
        generation->log_probabilities = ltlm__calloc(count + 1, sizeof(float));
        failed |= !generation->log_probabilities;
    }
    if (options->alternatives > 0 && options->score_from == 0) {
        size_t all = (count + 1) * (size_t)options->alternatives;
        generation->alternatives = ltlm__calloc(all, sizeof(int32_t));
        generation->alternative_log_probabilities = ltlm__calloc(all, sizeof(float));
        failed |= !generation->alternatives || !generation->alternative_log_probabilities;
    }
    return !failed;
}

/* One that is in no list yet; NULL: no memory. */
static ltlm_generation *make(ltlm_sequence *sequence, const int32_t *tokens, size_t count,
                             const ltlm_generation_options *options)
{
    const ltlm_model *model = sequence->model;
    ltlm_generation *generation = ltlm__calloc(1, sizeof *generation);
    if (!generation) {
        return NULL;
    }
    bool failed = false, is_scored = options->score_from > 0;
    size_t most = most_tokens(model, count, options), words = ((size_t)model->vocabulary + 31) / 32;
    ltlm_generation_options *own = &generation->options;
    *own = *options;
    own->stop_tokens = copy(options->stop_tokens, options->stop_count, sizeof *own->stop_tokens, &failed);
    own->suppressed = copy(options->suppressed, options->suppressed_count, sizeof *own->suppressed, &failed);
    own->bias_tokens = copy(options->bias_tokens, options->bias_count, sizeof *own->bias_tokens, &failed);
    own->biases = copy(options->biases, options->bias_count, sizeof *own->biases, &failed);
    generation->sequence = sequence;
    generation->prompt = generation->count = (int32_t)count;
    generation->first_visible = is_scored ? options->score_from : (int32_t)count;
    generation->visible = generation->delivered = generation->first_visible;
    generation->tokens = ltlm__calloc(most, sizeof *tokens);
    failed |= !make_room(generation, most - (size_t)generation->first_visible);
    if (options->masked && !is_scored && options->max_tokens != 0) {
        generation->mask = ltlm__calloc(words, sizeof *generation->mask);
        failed |= !generation->mask;
    }
    if (options->keep_logits) {
        generation->logits = ltlm__calloc((size_t)model->vocabulary, sizeof(float));
        failed |= !generation->logits;
    }
    if (failed || !generation->tokens || !ltlm__cond_init(&generation->changed)) {
        free_generation(generation);
        return NULL;
    }
    memcpy(generation->tokens, tokens, count * sizeof *tokens);
    return generation;
}

/* With the mutex held. */
static int32_t start(ltlm_generation *generation, ltlm_error *err)
{
    ltlm_sequence *sequence = generation->sequence;
    if (sequence->running) {
        return ltlm__fail(err, LTLM_E_BUSY, "a generation runs on the sequence");
    }
    /* Run again, for their logits: the last token, or all from the one before the first that is scored. */
    int32_t most = generation->options.score_from > 0 ? generation->options.score_from : generation->prompt;
    int32_t status =
        ltlm__sequence_share(sequence, generation->tokens, most - 1, &generation->reused, err);
    if (status != LTLM_OK) {
        return status;
    }
    sequence->running = generation;
    sequence->generations++;
    ltlm__batcher_add(generation);
    return LTLM_OK;
}

int32_t ltlm_generation_start(ltlm_sequence *sequence, const int32_t *tokens, size_t count,
                              const ltlm_generation_options *options, ltlm_generation **out, ltlm_error *err)
{
    ltlm_model *model = sequence->model;
    int64_t now = ltlm__now_ns();
    *out = NULL;
    int32_t status = check(model, tokens, count, options, err);
    if (status != LTLM_OK) {
        return status;
    }
    ltlm_generation *generation = make(sequence, tokens, count, options);
    if (!generation) {
        return ltlm__fail_no_memory(err);
    }
    generation->started_ns = now;
    ltlm__mutex_lock(&model->mutex);
    status = start(generation, err);
    ltlm__mutex_unlock(&model->mutex);
    if (status != LTLM_OK) {
        ltlm__cond_destroy(&generation->changed);
        free_generation(generation);
        return status;
    }
    *out = generation;
    return LTLM_OK;
}

/* ---- take -------------------------------------------------------------------------------------- */

static int64_t deadline_after(int32_t milliseconds)
{
    return milliseconds < 0 ? LTLM__FOREVER : ltlm__now_ns() + milliseconds * LTLM__NS_PER_MS;
}

static void wait_for_news(ltlm_generation *generation, int32_t want, int64_t deadline_ns)
{
    ltlm_model *model = generation->sequence->model;
    bool in_time = true;
    generation->awaited = want;
    while (in_time && !ltlm__has_news(generation, want)) {
        in_time = ltlm__cond_wait(&generation->changed, &model->mutex, deadline_ns);
    }
    generation->awaited = 0;
}

static void describe(const ltlm_generation *generation, ltlm_progress *out)
{
    out->needs_mask = ltlm__needs_mask(generation);
    out->prompt_tokens = generation->prompt - generation->reused;
    out->reused_tokens = generation->reused;
    out->generated_tokens = generation->count - generation->prompt;
    out->prefilled_tokens = generation->prefilled;
    out->started_ns = generation->started_ns;
    out->running_ns = generation->running_ns;
    out->first_token_ns = generation->first_token_ns;
    out->ended_ns = generation->ended_ns;
}

static void deliver(ltlm_generation *generation, ltlm_progress *out)
{
    int32_t from = generation->delivered - generation->first_visible;
    out->tokens = generation->tokens + generation->delivered;
    out->log_probabilities = generation->log_probabilities ? generation->log_probabilities + from : NULL;
    if (generation->alternatives) {
        out->alternatives = generation->alternatives + from * generation->options.alternatives;
        out->alternative_log_probabilities =
            generation->alternative_log_probabilities + from * generation->options.alternatives;
    }
    out->count = (size_t)(generation->visible - generation->delivered);
    generation->delivered = generation->visible;
    out->end = generation->end;
    if (out->end == LTLM_END_FAILED) {
        out->error = generation->error;
    }
}

int32_t ltlm_generation_take(ltlm_generation *generation, int32_t want, int32_t linger_ms, int32_t timeout_ms,
                             ltlm_progress *out)
{
    ltlm_model *model = generation->sequence->model;
    out->tokens = NULL;
    out->log_probabilities = NULL;
    out->alternatives = NULL;
    out->alternative_log_probabilities = NULL;
    out->count = 0;
    out->end = LTLM_RUNNING;
    ltlm__succeed(&out->error); /* not a memset: it alone is 2 KiB */
    ltlm__mutex_lock(&model->mutex);
    wait_for_news(generation, 1, deadline_after(timeout_ms));
    if (generation->visible > generation->delivered && linger_ms > 0) {
        wait_for_news(generation, want, deadline_after(linger_ms));
    }
    bool has_news = ltlm__has_news(generation, 1);
    if (has_news) {
        deliver(generation, out);
    }
    describe(generation, out);
    ltlm__mutex_unlock(&model->mutex);
    return has_news ? LTLM_OK : LTLM_E_TIMED_OUT;
}

/* ---- the rest ---------------------------------------------------------------------------------- */

static bool allows_any(const uint32_t *bits, int32_t vocabulary)
{
    int32_t whole = vocabulary / 32;
    for (int32_t i = 0; i < whole; i++) {
        if (bits[i] != 0) {
            return true;
        }
    }
    return vocabulary % 32 != 0 && (bits[whole] & ((UINT32_C(1) << vocabulary % 32) - 1)) != 0;
}

int32_t ltlm_generation_mask(ltlm_generation *generation, const uint32_t *bits, size_t words, ltlm_error *err)
{
    ltlm_model *model = generation->sequence->model;
    size_t expected = ((size_t)model->vocabulary + 31) / 32;
    if (words != expected) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "the mask has %zu words, not %zu", words, expected);
    }
    if (!allows_any(bits, model->vocabulary)) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "the mask allows no token");
    }
    int32_t status = LTLM_OK;
    ltlm__mutex_lock(&model->mutex);
    if (generation->end != LTLM_RUNNING) {
        status = ltlm__fail(err, LTLM_E_ENDED, "the generation is over");
    } else if (!ltlm__needs_mask(generation)) {
        status = ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "the generation does not wait for a mask");
    } else {
        memcpy(generation->mask, bits, words * sizeof *bits);
        generation->has_mask = true;
        ltlm__cond_signal(&model->work);
        ltlm__succeed(err);
    }
    ltlm__mutex_unlock(&model->mutex);
    return status;
}

int32_t ltlm_generation_logits(ltlm_generation *generation, float *out, size_t count, ltlm_error *err)
{
    const char *problem = NULL;
    if (!generation->logits) {
        problem = "the generation does not keep logits";
    } else if (count != (size_t)generation->sequence->model->vocabulary) {
        problem = "there are as many logits as the vocabulary has tokens";
    } else if (!ltlm_generation_is_over(generation) || generation->count == generation->prompt) {
        problem = "the generation is not over, or has chosen no token";
    }
    if (problem) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "%s", problem);
    }
    memcpy(out, generation->logits, count * sizeof *out);
    return ltlm__succeed(err);
}

void ltlm_generation_cancel(ltlm_generation *generation)
{
    ltlm_model *model = generation->sequence->model;
    ltlm__mutex_lock(&model->mutex);
    ltlm__batcher_cancel(generation);
    ltlm__mutex_unlock(&model->mutex);
}

bool ltlm_generation_is_over(ltlm_generation *generation)
{
    ltlm_model *model = generation->sequence->model;
    ltlm__mutex_lock(&model->mutex);
    bool is_over = generation->end != LTLM_RUNNING;
    ltlm__mutex_unlock(&model->mutex);
    return is_over;
}

void ltlm_generation_delete(ltlm_generation *generation)
{
    if (!generation) {
        return;
    }
    ltlm_model *model = generation->sequence->model;
    ltlm__mutex_lock(&model->mutex);
    ltlm__batcher_cancel(generation);
    while (generation->end == LTLM_RUNNING) {
        ltlm__cond_wait(&generation->changed, &model->mutex, LTLM__FOREVER);
    }
    generation->sequence->generations--;
    ltlm__mutex_unlock(&model->mutex);
    ltlm__cond_destroy(&generation->changed);
    free_generation(generation);
}

int32_t ltlm_generation_dispose(ltlm_generation **generation, ltlm_error *err)
{
    ltlm_generation_delete(*generation);
    *generation = NULL;
    return ltlm__succeed(err);
}
