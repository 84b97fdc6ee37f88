#include "batcher.h"

#include <string.h>

#include "alloc.h"
#include "status.h"

/* A pass that others share is not aborted for a cancel if it takes no longer than this. */
#define SHORT_NS (12 * LTLM__NS_PER_MS)

/* ---- the list of those that run ---------------------------------------------------------------- */

static void append(ltlm_generation *generation)
{
    ltlm_model *model = generation->sequence->model;
    generation->next = NULL;
    generation->previous = model->last;
    *(model->last ? &model->last->next : &model->first) = generation;
    model->last = generation;
}

static void take_out(ltlm_generation *generation)
{
    ltlm_model *model = generation->sequence->model;
    *(generation->previous ? &generation->previous->next : &model->first) = generation->next;
    *(generation->next ? &generation->next->previous : &model->last) = generation->previous;
}

void ltlm__batcher_add(ltlm_generation *generation)
{
    append(generation);
    ltlm__cond_signal(&generation->sequence->model->work);
}

void ltlm__batcher_end(ltlm_generation *generation, int32_t end)
{
    ltlm_sequence *sequence = generation->sequence;
    take_out(generation);
    ltlm_kv_truncate(sequence->kv, ltlm_kv_length(sequence->kv)); /* gives back what was only reserved */
    sequence->running = NULL;
    generation->end = end;
    generation->ended_ns = ltlm__now_ns();
    ltlm__cond_broadcast(&generation->changed);
}

void ltlm__batcher_cancel(ltlm_generation *generation)
{
    ltlm__pass *pass = &generation->sequence->model->pass;
    if (generation->end != LTLM_RUNNING) {
        return;
    }
    generation->cancelled = true;
    if (!generation->in_pass) {
        ltlm__batcher_end(generation, LTLM_END_CANCELLED);
    } else if (!pass->is_short) {
        atomic_store(&pass->abort, true);
    }
}

/* ---- what is next ------------------------------------------------------------------------------ */

static bool is_scored(const ltlm_generation *generation) { return generation->options.score_from > 0; }

/* Whether the logits after token `i` are wanted. */
static bool is_wanted(const ltlm_generation *generation, int32_t i)
{
    if (is_scored(generation)) {
        return i + 1 >= generation->options.score_from && i + 1 < generation->prompt;
    }
    return i + 1 == generation->count && generation->options.max_tokens != 0;
}

/* Rows that could be run now. The last one of a masked generation waits for its mask. */
static int32_t pending(const ltlm_generation *generation)
{
    int32_t rows = generation->count - ltlm_kv_length(generation->sequence->kv);
    return rows - (generation->mask && !generation->has_mask ? 1 : 0);
}

/* One that has no prompt to run but its last token, if at all. */
static bool is_decoding(const ltlm_generation *generation)
{
    return generation->count - ltlm_kv_length(generation->sequence->kv) == 1;
}

/* Puts up to `rows` next rows of a generation into the pass, of which no more than `wanted` want logits. */
static void add_part(ltlm_model *model, ltlm_generation *generation, int32_t rows, int32_t wanted)
{
    ltlm__pass *pass = &model->pass;
    ltlm_kv *kv = generation->sequence->kv;
    int32_t length = ltlm_kv_length(kv), count = 0, wanteds = 0;
    rows = ltlm__lesser(rows, pending(generation));
    if (length < generation->options.shared) {
        /* A pass ends where the shared beginning ends. */
        rows = ltlm__lesser(rows, generation->options.shared - length);
    }
    while (count < rows) {
        bool is = is_wanted(generation, length + count);
        if (is && wanteds == wanted) {
            break;
        }
        int32_t row = pass->row_count + count;
        pass->tokens[row] = generation->tokens[length + count];
        pass->positions[row] = length + count;
        pass->sequences[row] = kv;
        pass->wanted[row] = is;
        wanteds += is;
        count++;
    }
    if (count == 0) {
        return;
    }
    int32_t status;
    do {
        status = ltlm_kv_reserve(kv, count, &generation->error);
    } while (status == LTLM_E_NO_MEMORY && ltlm__prefixes_drop(&model->prefixes));
    if (status != LTLM_OK) {
        ltlm__batcher_end(generation, LTLM_END_FAILED);
        return;
    }
    pass->parts[pass->part_count++] =
        (ltlm__part){generation, pass->row_count, count, pass->wanted_count, wanteds, -1};
    pass->row_count += count;
    pass->wanted_count += wanteds;
    generation->in_pass = true;
    if (generation->running_ns == 0) {
        generation->running_ns = ltlm__now_ns();
    }
}

/* Those that decode; some room is left if there are prompts, whose last rows want logits too. */
static void add_decoding(ltlm_model *model)
{
    ltlm__pass *pass = &model->pass;
    int32_t most = ltlm__lesser(model->max_rows, LTLM__MAX_WANTED);
    for (ltlm_generation *each = model->first; each; each = each->next) {
        if (!is_decoding(each)) {
            most = ltlm__lesser(model->max_rows - 1, LTLM__MAX_WANTED - LTLM__MAX_WANTED / 4);
            break;
        }
    }
    for (ltlm_generation *each = model->first, *next; each && pass->row_count < most; each = next) {
        next = each->next;
        if (is_decoding(each)) {
            add_part(model, each, 1, 1);
        }
    }
    pass->decodes = pass->row_count > 0;
}

/* Chunks of prompts: large ones, unless somebody waits for its next token. */
static void add_prompts(ltlm_model *model)
{
    ltlm__pass *pass = &model->pass;
    int32_t before = pass->row_count;
    int32_t end = pass->decodes ? ltlm__lesser(model->max_rows, before + LTLM__SMALL_CHUNK) : model->max_rows;
    for (ltlm_generation *each = model->first, *next; each && pass->row_count < end; each = next) {
        next = each->next;
        if (!is_decoding(each)) {
            add_part(model, each, end - pass->row_count, LTLM__MAX_WANTED - pass->wanted_count);
        }
    }
    pass->prefills = pass->row_count > before;
}

/* Fills the next pass. Who is served goes to the end of the list, so that all are in turn. */
static void gather(ltlm_model *model)
{
    ltlm__pass *pass = &model->pass;
    pass->part_count = pass->row_count = pass->wanted_count = 0;
    add_decoding(model);
    add_prompts(model);
    pass->is_short =
        !pass->prefills && pass->part_count > 1 && model->decode_ns > 0 && model->decode_ns < SHORT_NS;
    atomic_store(&pass->abort, false);
    for (int32_t i = 0; i < pass->part_count; i++) {
        take_out(pass->parts[i].generation);
        append(pass->parts[i].generation);
    }
}

/* ---- a pass, without the mutex ----------------------------------------------------------------- */

/* What is told of the next token of a generation, besides which it is. */
static void note(ltlm_model *model, ltlm_generation *generation, const float *logits, int32_t token)
{
    int32_t at = generation->count - generation->first_visible, many = generation->options.alternatives;
    if (generation->log_probabilities) {
        generation->log_probabilities[at] = ltlm__sampler_log_probability(model->sampler, logits, token);
    }
    if (generation->alternatives) {
        ltlm__sampler_likeliest(model->sampler, logits, many, generation->alternatives + at * many,
                                generation->alternative_log_probabilities + at * many);
    }
    if (generation->logits) {
        memcpy(generation->logits, logits, (size_t)model->vocabulary * sizeof *logits);
    }
}

/* Tokens that follow from the logits of a part. */
static void use_logits(ltlm_model *model, ltlm__part *part, const float *logits)
{
    ltlm_generation *generation = part->generation;
    if (is_scored(generation)) {
        for (int32_t i = 0; i < part->rows; i++) {
            int32_t token = model->pass.positions[part->row + i] + 1; /* the one that the logits are of */
            if (model->pass.wanted[part->row + i]) {
                generation->log_probabilities[token - generation->first_visible] =
                    ltlm__sampler_log_probability(model->sampler, logits, generation->tokens[token]);
                logits += model->vocabulary;
            }
        }
    } else if (part->wanteds > 0) {
        ltlm__sample sample = {&generation->options, logits, generation->tokens, (size_t)generation->count,
                               (size_t)generation->prompt, generation->mask};
        part->token = ltlm__sampler_next(model->sampler, &sample);
        note(model, generation, logits, part->token);
    }
}

static int32_t compute(ltlm_model *model)
{
    ltlm__pass *pass = &model->pass;
    ltlm_rows rows = {
        .rows = pass->row_count,
        .threads = ltlm_executor_worthwhile_threads(model->executor, pass->row_count, pass->wanted_count),
        .tokens = pass->tokens,
        .positions = pass->positions,
        .sequences = pass->sequences,
        .wanted = pass->wanted,
        .abort = &pass->abort,
    };
    const float *logits = NULL;
    int64_t began = ltlm__now_ns();
    int32_t status = ltlm_executor_run(model->executor, &rows, &logits);
    if (status != LTLM_OK) {
        return status;
    }
    if (!pass->prefills) {
        model->decode_ns = ltlm__now_ns() - began;
    }
    for (int32_t i = 0; i < pass->part_count; i++) {
        ltlm__part *part = &pass->parts[i];
        if (part->wanteds > 0) {
            use_logits(model, part, logits + (size_t)part->wanted * (size_t)model->vocabulary);
        }
    }
    return LTLM_OK;
}

/* ---- after a pass ------------------------------------------------------------------------------ */

static bool is_stop(const ltlm_generation *generation, int32_t token)
{
    for (size_t i = 0; i < generation->options.stop_count; i++) {
        if (generation->options.stop_tokens[i] == token) {
            return true;
        }
    }
    return false;
}

/* How a generation ends with its latest token; LTLM_RUNNING: it does not. */
static int32_t end_after(const ltlm_generation *generation, int32_t token)
{
    int32_t most = generation->options.max_tokens;
    if (is_stop(generation, token)) {
        return LTLM_END_STOP;
    }
    if (most >= 0 && generation->count - generation->prompt >= most) {
        return LTLM_END_LENGTH;
    }
    /* This token is run when the conversation goes on; then there must be room for one more. */
    bool is_full = generation->count >= generation->sequence->model->max_context;
    return is_full ? LTLM_END_CONTEXT : LTLM_RUNNING;
}

static void wake_consumer(ltlm_generation *generation)
{
    if (generation->awaited > 0 && ltlm__has_news(generation, generation->awaited)) {
        ltlm__cond_broadcast(&generation->changed);
    }
}

/* Its rows were computed. */
static void advance(ltlm__part *part)
{
    ltlm_generation *generation = part->generation;
    ltlm_kv *kv = generation->sequence->kv;
    ltlm_kv_commit(kv, generation->tokens + ltlm_kv_length(kv), part->rows);
    int32_t length = ltlm_kv_length(kv), end = LTLM_RUNNING;
    if (length == generation->options.shared) {
        ltlm_model *model = generation->sequence->model;
        ltlm__prefixes_keep(&model->prefixes, model->store, kv);
    }
    generation->prefilled = ltlm__lesser(length, generation->prompt) - generation->reused;
    if (generation->cancelled) {
        end = LTLM_END_CANCELLED;
    } else if (part->token >= 0) {
        generation->tokens[generation->count++] = part->token;
        generation->visible = generation->count;
        generation->has_mask = false;
        end = end_after(generation, part->token);
    } else if (is_scored(generation)) {
        int32_t scored = ltlm__lesser(length + 1, generation->prompt);
        generation->visible = scored > generation->visible ? scored : generation->visible;
    }
    if (generation->first_token_ns == 0 && length >= generation->prompt) {
        generation->first_token_ns = ltlm__now_ns();
    }
    if (end == LTLM_RUNNING && length == generation->count) {
        end = LTLM_END_LENGTH; /* nothing was to be sampled: all of the prompt is there */
    }
    if (end != LTLM_RUNNING) {
        ltlm__batcher_end(generation, end);
    } else {
        wake_consumer(generation);
    }
}

static void settle(ltlm_model *model, int32_t status)
{
    ltlm__pass *pass = &model->pass;
    for (int32_t i = 0; i < pass->part_count; i++) {
        ltlm__part *part = &pass->parts[i];
        ltlm_generation *generation = part->generation;
        generation->in_pass = false;
        if (status == LTLM_OK) {
            advance(part);
        } else if (generation->cancelled) {
            ltlm__batcher_end(generation, LTLM_END_CANCELLED);
        } else if (status != LTLM_E_CANCELLED) {
            ltlm__fail(&generation->error, status, "the pass failed: %s", ltlm_status_name(status));
            ltlm__batcher_end(generation, LTLM_END_FAILED);
        }
    }
    pass->part_count = 0;
}

void ltlm__batcher_run(void *argument)
{
    ltlm_model *model = argument;
    ltlm__mutex_lock(&model->mutex);
    while (!model->stops) {
        gather(model);
        if (model->pass.part_count == 0) {
            ltlm__cond_wait(&model->work, &model->mutex, LTLM__FOREVER);
            continue;
        }
        ltlm__mutex_unlock(&model->mutex);
        int32_t status = compute(model);
        ltlm__mutex_lock(&model->mutex);
        settle(model, status);
    }
    ltlm__mutex_unlock(&model->mutex);
}
