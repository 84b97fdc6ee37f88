/* Plans that are nearly right, over weights and scales of any kind: refused, or loaded and run. */
#define TINY_SIZES HIDDEN = 32, FEED = 64, HEADS = 4, HEAD = 8, VOCABULARY = 48

#include "fake_memory.h"
#include "fuzzing.h"
#include "native/native.h"
#include "native/program.h"
#include "tiny_model.h"

enum {
    MOST_STEPS = 256,
    MOST_FLOATS = 1 << 15, /* of a row, and positions: more is only checked, as it takes long */
    PATIENCE_MS = 50000
};

/* What an edit does. */
typedef enum {
    SET,        /* word = value */
    SMALL,      /* word = value & 255, less 32: an operand, likely */
    ADD,        /* word += value & 255, less 128 */
    LIKE,       /* word = the same word of item `value` */
    BECOME,     /* the item becomes item `value` */
    INSERT,     /* a copy of step `value`, with new outputs, before the item */
    REMOVE,     /* the step */
    EVERYWHERE, /* each number of a shape that is `item` becomes value & 0x1ff */
    SCALE,      /* scale `value` of matrix `item`, or with word & 32 all, is a bad float */
    WEIGHTS,    /* of matrix `item` are random, or with word & 32 all bytes `value` */
    FLOAT,      /* float `value` of the constants is a bad one */
    CHOICE,     /* of kernels and the like, and what is generated */
    KINDS
} kind;

typedef struct {
    tiny_model *m;
    ltlm_model_options options;
    ltlm_generation_options generation;
    int32_t prompt, threads;
} job;

static void *words_of(tiny_model *m, uint8_t table, size_t *count, size_t *size)
{
    switch (table % 8) {
    case 1: return *count = m->plan.matrix_count, *size = sizeof(ltlm_matrix), m->matrices;
    case 2: return *count = m->plan.value_count, *size = sizeof(int32_t), m->widths;
    case 3: return *count = m->plan.cache_count, *size = sizeof(ltlm_cache), m->caches;
    case 4: return *count = m->plan.constant_count, *size = sizeof(ltlm_constant), m->constants;
    case 5: return *count = 1, *size = 3 * sizeof(int32_t), &m->plan.logits;
    default: return *count = m->plan.step_count, *size = sizeof(ltlm_step), m->steps;
    }
}

static void edit_word(tiny_model *m, const edit *e)
{
    size_t count, size;
    int32_t *words = words_of(m, e->table, &count, &size), *item, *other, *word;
    if (count == 0) {
        return;
    }
    size_t length = size / sizeof(int32_t);
    item = words + e->item % count * length;
    other = words + (uint32_t)e->value % count * length;
    word = item + e->word % length;
    switch (e->kind % KINDS) {
    case SET: *word = e->value; break;
    case SMALL: *word = (e->value & 255) - 32; break;
    case ADD: *word = (int32_t)((uint32_t)*word + (uint32_t)(e->value & 255) - 128u); break;
    case LIKE: *word = other[e->word % length]; break;
    default: memmove(item, other, size); break;
    }
}

static int32_t fresh_value(tiny_model *m, int32_t like)
{
    if (like < 0 || (size_t)like >= m->plan.value_count ||
        m->plan.value_count == sizeof m->widths / sizeof *m->widths) {
        return like;
    }
    return tiny_value(m, m->widths[like]);
}

static void insert_step(tiny_model *m, const edit *e)
{
    ltlm_plan *plan = &m->plan;
    if (plan->step_count == 0 || plan->step_count == MOST_STEPS) {
        return;
    }
    ltlm_step copy = m->steps[(uint32_t)e->value % plan->step_count];
    for (int32_t i = 0; i < 4; i++) {
        copy.out[i] = fresh_value(m, copy.out[i]);
    }
    if (copy.op == LTLM_OP_KV_STORE && copy.cache >= 0 && (size_t)copy.cache < plan->cache_count &&
        plan->cache_count < sizeof m->caches / sizeof *m->caches) {
        m->caches[plan->cache_count] = m->caches[copy.cache];
        copy.cache = (int32_t)plan->cache_count++;
    }
    size_t at = e->item % (plan->step_count + 1);
    memmove(&m->steps[at + 1], &m->steps[at], (plan->step_count++ - at) * sizeof copy);
    m->steps[at] = copy;
}

static void remove_step(tiny_model *m, const edit *e)
{
    if (m->plan.step_count > 0) {
        size_t at = e->item % m->plan.step_count;
        memmove(&m->steps[at], &m->steps[at + 1], (--m->plan.step_count - at) * sizeof *m->steps);
    }
}

static void replace(int32_t *numbers, size_t count, int32_t from, int32_t to)
{
    for (size_t i = 0; i < count; i++) {
        numbers[i] = numbers[i] == from ? to : numbers[i];
    }
}

/* What is `from` wide is `to` wide. */
static void resize(tiny_model *m, int32_t from, int32_t to)
{
    replace(m->widths, m->plan.value_count, from, to);
    replace((int32_t *)m->caches, m->plan.cache_count * sizeof(ltlm_cache) / sizeof(int32_t), from, to);
    for (size_t i = 0; i < m->plan.constant_count; i++) {
        replace(&m->constants[i].width, 1, from, to);
    }
    for (size_t i = 0; i < m->plan.matrix_count; i++) {
        ltlm_matrix *matrix = &m->matrices[i];
        replace(&matrix->rows, 2, from, to);
        replace(&matrix->scale_count, 1, from, to);
        if (matrix->format == LTLM_INT4_BLOCK) {
            matrix->scale_count = (int32_t)((uint32_t)matrix->rows * (uint32_t)(matrix->columns / 32));
        }
    }
    for (size_t i = 0; i < m->plan.step_count; i++) {
        replace(m->steps[i].shape, 4, from, to);
        replace(m->steps[i].stride_a, 4, from, to);
        replace(m->steps[i].stride_b, 4, from, to);
    }
    replace(&m->plan.vocabulary, 1, from, to);
}

static void put(tiny_model *m, uint64_t at, const void *bytes, size_t size)
{
    if (at <= m->file_size && size <= m->file_size - at) {
        memcpy(m->file + at, bytes, size);
    }
}

static void edit_scales(tiny_model *m, const edit *e)
{
    const ltlm_matrix *matrix = &m->matrices[e->item % m->plan.matrix_count];
    if (matrix->scale_count < 1) {
        return;
    }
    bool half = matrix->format == LTLM_INT4_BLOCK;
    float bad = fuzz_float(e->word);
    uint16_t bad_half = (uint16_t)(isfinite(bad) ? e->value : 0x7c00);
    uint32_t all = (uint32_t)matrix->scale_count, first = (uint32_t)e->value % all;
    for (uint32_t i = e->word & 32 ? 0 : first; i < all && i < m->file_size; i++) {
        put(m, matrix->scales + (uint64_t)i * (half ? 2 : 4), half ? (void *)&bad_half : (void *)&bad,
            half ? 2 : 4);
        if (!(e->word & 32)) {
            return;
        }
    }
}

static void edit_weights(tiny_model *m, const edit *e)
{
    const ltlm_matrix *matrix = &m->matrices[e->item % m->plan.matrix_count];
    uint32_t random = (uint32_t)e->value;
    for (uint64_t i = 0; i < m->file_size; i++) {
        uint64_t at = matrix->data + i;
        random = random * 1664525u + 1013904223u;
        uint8_t byte = (uint8_t)(e->word & 32 ? (uint32_t)e->value : random >> 24);
        if (at >= m->file_size || at >= matrix->scales) {
            return;
        }
        put(m, at, &byte, 1);
    }
}

static void choose(job *self, const edit *e)
{
    ltlm_generation_options *o = &self->generation;
    float share = (float)(e->value & 0xff) / 255.0f;
    switch (e->item % 13) {
    case 0: self->options.kernels = e->word & 1 ? NULL : "portable"; break;
    case 1: self->options.copy_weights = e->word & 1; break;
    case 2: self->options.wide_cache = e->word & 1; break;
    case 3: self->options.max_rows = e->value; break;
    case 4: self->options.cache_limit = (uint64_t)(uint32_t)e->value; break;
    case 5: self->prompt = 1 + e->word % 48; break;
    case 6: o->temperature = fuzz_float(e->word); break;
    case 7: o->top_k = e->value; break;
    case 8: o->top_p = share; break;
    case 9: o->min_p = share; break;
    case 10: o->repetition_penalty = fuzz_float(e->word); break;
    case 11: o->no_repeat_ngram = e->value % 4; break;
    default: self->threads = 1 + e->word % 3; break;
    }
}

static void apply(job *self, const edit *e)
{
    tiny_model *m = self->m;
    switch (e->kind % KINDS) {
    case INSERT: insert_step(m, e); break;
    case REMOVE: remove_step(m, e); break;
    case EVERYWHERE: resize(m, e->item, e->value & 0x1ff); break;
    case SCALE: edit_scales(m, e); break;
    case WEIGHTS: edit_weights(m, e); break;
    case FLOAT:
        m->floats[(uint32_t)e->value % (sizeof m->floats / sizeof *m->floats)] = fuzz_float(e->word);
        break;
    case CHOICE: choose(self, e); break;
    default: edit_word(m, e); break;
    }
}

/* bools are read as bools: another byte in one is nothing that a plan can hold. */
static void mend_bools(tiny_model *m)
{
    for (size_t i = 0; i < m->plan.matrix_count; i++) {
        uint8_t byte;
        memcpy(&byte, &m->matrices[i].float_activations, 1);
        m->matrices[i].float_activations = byte & 1;
    }
}

static bool is_small(const job *self)
{
    int64_t floats = 0;
    for (size_t i = 0; i < self->m->plan.value_count; i++) {
        floats += self->m->widths[i];
    }
    return floats <= MOST_FLOATS && self->m->plan.max_context <= MOST_FLOATS && self->options.max_rows <= 64;
}

/* Takes all tokens of a generation. */
static void finish(ltlm_generation *generation, int32_t vocabulary)
{
    ltlm_progress progress;
    do {
        ASSERT_INT(LTLM_OK, ltlm_generation_take(generation, 1, 0, PATIENCE_MS, &progress));
        for (size_t i = 0; i < progress.count; i++) {
            ASSERT(progress.tokens[i] >= 0 && progress.tokens[i] < vocabulary);
        }
    } while (progress.end == LTLM_RUNNING);
    ASSERT(progress.end == LTLM_END_LENGTH || progress.end == LTLM_END_CONTEXT ||
           (progress.end == LTLM_END_FAILED && progress.error.reason[0]));
    ltlm_generation_delete(generation);
}

static void generate(const job *self, ltlm_model *model)
{
    int32_t tokens[64], vocabulary = self->m->plan.vocabulary;
    ltlm_error err;
    ltlm_sequence *sequence;
    ltlm_generation *generation;
    ASSERT_INT(LTLM_OK, ltlm_sequence_create(model, &sequence, &err));
    for (int32_t i = 0; i < self->prompt; i++) {
        tokens[i] = i * 7 % vocabulary;
    }
    for (int32_t turn = 1; turn <= 2; turn++) { /* the second goes on from the middle of the first */
        tokens[self->prompt / 2] = turn % vocabulary;
        int32_t status = ltlm_generation_start(sequence, tokens, (size_t)self->prompt, &self->generation,
                                               &generation, &err);
        ASSERT(status == LTLM_OK || (status == LTLM_E_INVALID_ARGUMENT && err.reason[0]));
        if (status == LTLM_OK) {
            finish(generation, vocabulary);
        }
    }
    ASSERT_INT(LTLM_OK, ltlm_sequence_delete(sequence, &err));
}

/* Whether it was loaded. */
static bool run_job(job *self)
{
    ltlm_error err;
    ltlm_pool *pool;
    ltlm_model *model;
    if (!is_small(self)) {
        (void)ltlm__plan_check(&self->m->plan, self->options.file_size, &err);
        return false;
    }
    ASSERT_INT(LTLM_OK, ltlm_pool_create(self->threads, &pool, &err));
    int32_t status = ltlm_model_create(pool, &self->m->plan, &self->options, &model, &err);
    if (status == LTLM_OK) {
        generate(self, model);
        ASSERT_INT(LTLM_OK, ltlm_model_delete(model, &err));
    } else {
        ASSERT(!model && err.reason[0]);
        ASSERT(status == LTLM_E_INVALID_ARGUMENT || status == LTLM_E_ENGINE || status == LTLM_E_NO_MEMORY);
    }
    ltlm_pool_delete(pool);
    return status == LTLM_OK;
}

static bool run_edits(const edit *edits, size_t count)
{
    static tiny_model *whole, *edited;
    if (!whole) {
        whole = tiny_create();
        edited = malloc(sizeof *edited);
        ASSERT(edited);
        edited->file = malloc(whole->file_size);
        ASSERT(edited->file);
    }
    uint8_t *file = edited->file;
    *edited = *whole;
    edited->file = memcpy(file, whole->file, whole->file_size);
    edited->plan.matrices = edited->matrices;
    edited->plan.floats = edited->floats;
    edited->plan.constants = edited->constants;
    edited->plan.widths = edited->widths;
    edited->plan.caches = edited->caches;
    edited->plan.steps = edited->steps;
    job self = {
        .m = edited,
        .options = {.kernels = "portable", .max_rows = 6, .file_size = edited->file_size},
        .generation = {.max_tokens = 2, .top_p = 1, .repetition_penalty = 1, .log_probabilities = true},
        .prompt = 4,
        .threads = 1,
    };
    for (size_t i = 0; i < count; i++) {
        apply(&self, &edits[i]);
    }
    mend_bools(edited);
    fake_file(edited->file, edited->file_size);
    return run_job(&self);
}

#ifndef LTLM_FUZZING

TEST(edited_plans_are_refused_or_run) { run_random_edits(400, 3); }

TESTS(RUN(edited_plans_are_refused_or_run))

#endif
