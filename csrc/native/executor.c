#include "executor.h"

#include "alloc.h"
#include "run.h"
#include "status.h"

#define MAX_ROWS 65536
/* A thread takes at most that much of a product at once, so that an abort is noticed within a millisecond or
 * so, and weights of at least the grain, so that it costs little to take it. */
#define MOST_BYTES ((int64_t)512 << 10)
#define GRAIN_BYTES ((int64_t)16 << 10)
#define MOST_PRODUCTS ((int64_t)32 << 20) /* of a weight and an activation */
#define MOST_ROWS 16                      /* of a rows phase, at once */
/* What one thread reads and multiplies, and what each thread should have to do in a phase. */
#define BYTES_A_NS 16
#define PRODUCTS_A_NS 64
#define PHASE_NS 4000

/* ---- rows -------------------------------------------------------------------------------------- */

static void prepare_row(const ltlm__hand *hand, const ltlm_step *product, int32_t row)
{
    const ltlm_executor *executor = hand->executor;
    const ltlm_matrix *matrix = &executor->program->plan.matrices[product->matrix[0]];
    ltlm_activations activations = {
        .rows = hand->stage->rows,
        .columns = matrix->columns,
        .floats = ltlm__value_at(hand, product->in[0], row), /* this row's: so there is no way to the next */
        .stride = 0,
        .bytes = executor->bytes.bytes,
        .quantised = executor->quantised,
    };
    executor->program->kernels->prepare(matrix->format, &activations, row);
}

static void do_rows(const ltlm__hand *hand, const ltlm__phase *phase)
{
    const ltlm_step *steps = hand->executor->program->plan.steps;
    int32_t block = hand->stage->rows / (4 * hand->executor->threads);
    block = block < 1 ? 1 : block > MOST_ROWS ? MOST_ROWS : block;
    for (ltlm__units rows; ltlm__take(hand, block, &rows); ltlm__finish(hand, &rows)) {
        for (int32_t row = rows.from; row < rows.to; row++) {
            ltlm__row_steps(hand, phase->from, phase->to, row);
            if (phase->prepare >= 0) {
                prepare_row(hand, &steps[phase->prepare], row);
            }
        }
    }
}

/* ---- products ---------------------------------------------------------------------------------- */

/* How a LINEAR is shared out: its weight rows, matrix after matrix, in grains. */
typedef struct {
    int32_t grain;       /* weight rows */
    int32_t ends[4];     /* grains up to the end of each matrix */
    int32_t count, most; /* grains; in all, and at once */
} portions;

static portions portion(const ltlm__hand *hand, const ltlm_step *step)
{
    const ltlm_program *program = hand->executor->program;
    const ltlm_matrix *first = &program->plan.matrices[step->matrix[0]];
    int64_t row_bytes = (int64_t)(ltlm__matrix_bytes(first) / (uint64_t)first->rows);
    int64_t row_step = program->kernels->row_step;
    int64_t grain = (GRAIN_BYTES + row_bytes) / (row_bytes + 1) + row_step - 1;
    portions result = {.grain = (int32_t)(grain / row_step * row_step)};
    for (int32_t i = 0; i < step->count; i++) {
        int32_t rows = program->plan.matrices[step->matrix[i]].rows;
        result.count += (int32_t)(((int64_t)rows + result.grain - 1) / result.grain);
        result.ends[i] = result.count;
    }
    int64_t by_bytes = MOST_BYTES / (result.grain * row_bytes + 1);
    int64_t by_work = MOST_PRODUCTS / ((int64_t)result.grain * first->columns * hand->stage->rows);
    int64_t most = by_bytes < by_work ? by_bytes : by_work;
    result.most = most < 1 ? 1 : (int32_t)most;
    return result;
}

/* How many grains to take when `taken` are: large portions first and small ones at the end, so that the
 * threads end together even if one is held up. */
static int32_t portion_after(const ltlm__hand *hand, const portions *all, int32_t taken)
{
    int32_t share = (all->count - taken) / (4 * hand->executor->threads);
    return share < 1 ? 1 : share > all->most ? all->most : share;
}

/* Grains from..to of matrix i, counted from its first. */
static void multiply(const ltlm__hand *hand, const ltlm_step *step, int32_t i,
                     const ltlm_activations *activations, int64_t from, int64_t to)
{
    const ltlm_program *program = hand->executor->program;
    const ltlm_weights *weights = &program->weights.items[step->matrix[i]];
    const ltlm_plan *plan = &program->plan;
    const float *bias =
        step->bias[i] == LTLM_NONE ? NULL : plan->floats + plan->constants[~step->bias[i]].offset;
    program->kernels->multiply(
        weights, activations, (int32_t)from, to < weights->rows ? (int32_t)to : weights->rows, bias,
        ltlm__value_at(hand, step->out[i], 0), (size_t)program->places[step->out[i]].stride, hand->scratch);
}

static void do_product(const ltlm__hand *hand, const ltlm_step *step)
{
    const ltlm_executor *executor = hand->executor;
    const ltlm_program *program = executor->program;
    const ltlm_matrix *first = &program->plan.matrices[step->matrix[0]];
    bool quantised = ltlm__is_quantised(first);
    ltlm_activations activations = {
        .rows = hand->stage->rows,
        .columns = first->columns,
        .floats = quantised ? NULL : ltlm__value_at(hand, step->in[0], 0),
        .stride = quantised ? 0 : (size_t)program->places[step->in[0]].stride,
        .bytes = executor->bytes.bytes,
        .quantised = executor->quantised,
    };
    portions all = portion(hand, step);
    ltlm__units grains = {0};
    while (ltlm__take(hand, portion_after(hand, &all, grains.to), &grains)) {
        int32_t begin = 0;
        for (int32_t i = 0; i < step->count; begin = all.ends[i++]) {
            int32_t low = grains.from > begin ? grains.from : begin;
            int32_t high = grains.to < all.ends[i] ? grains.to : all.ends[i];
            if (low < high) {
                multiply(hand, step, i, &activations, (int64_t)(low - begin) * all.grain,
                         (int64_t)(high - begin) * all.grain);
            }
        }
        ltlm__finish(hand, &grains);
    }
}

/* ---- a run ------------------------------------------------------------------------------------- */

/* Moves what the tail reads of the wanted rows to the front. One value is moved by one thread, in ascending
 * order: a row never moves onto one that has yet to move. */
static void move_wanted(const ltlm__hand *hand)
{
    const ltlm_program *program = hand->executor->program;
    const ltlm__stage *late = &hand->executor->late;
    for (ltlm__units one; ltlm__take(hand, 1, &one); ltlm__finish(hand, &one)) {
        int32_t value = program->crossing[one.from];
        size_t bytes = (size_t)program->plan.widths[value] * sizeof(float);
        for (int32_t row = 0; row < late->rows; row++) {
            if (late->index[row] != row) {
                memcpy(ltlm__value_at(hand, value, row), ltlm__value_at(hand, value, late->index[row]),
                       bytes);
            }
        }
    }
}

/* Sets what the hand knows of its turn. */
static void look_up_turn(ltlm__hand *hand)
{
    const ltlm_executor *executor = hand->executor;
    const ltlm_program *program = executor->program;
    hand->stage = hand->turn < program->tail ? &executor->early : &executor->late;
    if (executor->moves && hand->turn == program->tail) {
        hand->phase = NULL;
        hand->units = program->crossing_count;
        return;
    }
    hand->phase = &program->phases[hand->turn - (executor->moves && hand->turn > program->tail ? 1 : 0)];
    const ltlm_step *step = &program->plan.steps[hand->phase->from];
    switch (hand->phase->kind) {
    case LTLM__ROWS: hand->units = hand->stage->rows; break;
    case LTLM__PRODUCT: hand->units = portion(hand, step).count; break;
    default: hand->units = ltlm__attend_units(hand, step); break;
    }
}

static void do_turn(const ltlm__hand *hand)
{
    if (!hand->phase) {
        move_wanted(hand);
        return;
    }
    const ltlm_step *step = &hand->executor->program->plan.steps[hand->phase->from];
    switch (hand->phase->kind) {
    case LTLM__ROWS: do_rows(hand, hand->phase); break;
    case LTLM__PRODUCT: do_product(hand, step); break;
    default: ltlm__attend(hand, step); break;
    }
}

static void run_thread(void *context, int32_t thread)
{
    ltlm_executor *executor = context;
    ltlm__hand hand = {
        .executor = executor,
        .scratch = executor->homes[LTLM__SCRATCH].bytes + (size_t)thread * executor->scratch_bytes,
        .turn = -1,
    };
    while (ltlm__await_turn(executor, &hand.turn)) {
        look_up_turn(&hand);
        do_turn(&hand);
    }
}

static int64_t cost(const ltlm_rows *rows, const ltlm__stage *stage, const ltlm__span *span)
{
    return (int64_t)(rows->positions[stage->index[span->first + span->count - 1]] + 1) * span->count;
}

static void find_spans(const ltlm_rows *rows, ltlm__stage *stage)
{
    stage->span_count = 0;
    for (int32_t from = 0, to; from < stage->rows; from = to) {
        const ltlm_kv *sequence = rows->sequences[stage->index[from]];
        for (to = from + 1; to < stage->rows && rows->sequences[stage->index[to]] == sequence; to++) {
        }
        ltlm__span span = {.first = from, .count = to - from};
        int32_t at = stage->span_count++;
        for (; at > 0 && cost(rows, stage, &stage->spans[at - 1]) < cost(rows, stage, &span); at--) {
            stage->spans[at] = stage->spans[at - 1];
        }
        stage->spans[at] = span;
    }
}

static bool set_stages(ltlm_executor *executor, const ltlm_rows *rows)
{
    executor->early.rows = rows->rows;
    executor->late.rows = 0;
    for (int32_t i = 0; i < rows->rows; i++) {
        executor->early.index[i] = i;
        if (rows->wanted[i]) {
            if (executor->late.rows == executor->max_wanted) {
                return false;
            }
            executor->late.index[executor->late.rows++] = i;
        }
    }
    find_spans(rows, &executor->early);
    find_spans(rows, &executor->late);
    return true;
}

int32_t ltlm_executor_worthwhile_threads(const ltlm_executor *executor, int32_t rows, int32_t wanted)
{
    const ltlm_program *program = executor->program;
    int32_t phases = wanted > 0 ? program->phase_count : program->tail;
    int32_t most = ltlm_pool_threads(executor->pool);
    double work = 0; /* nanoseconds of one thread, roughly */
    for (int32_t p = 0; p < phases; p++) {
        const ltlm_step *step = &program->plan.steps[program->phases[p].from];
        double each = p < program->tail ? rows : wanted;
        for (int32_t i = 0; program->phases[p].kind == LTLM__PRODUCT && i < step->count; i++) {
            const ltlm_matrix *matrix = &program->plan.matrices[step->matrix[i]];
            work += (double)ltlm__matrix_bytes(matrix) / BYTES_A_NS +
                    (double)matrix->rows * matrix->columns * each / PRODUCTS_A_NS;
        }
    }
    double threads = work / (PHASE_NS * phases);
    return threads < 1 ? 1 : threads < most ? (int32_t)threads : most;
}

int32_t ltlm_executor_run(ltlm_executor *executor, const ltlm_rows *rows, const float **logits)
{
    *logits = NULL;
    if (rows->rows < 1 || rows->rows > executor->max_rows || rows->threads < 1 ||
        !set_stages(executor, rows)) {
        return LTLM_E_INVALID_ARGUMENT;
    }
    const ltlm_program *program = executor->program;
    int32_t phases = executor->late.rows > 0 ? program->phase_count : program->tail;
    executor->rows = rows;
    int32_t most = ltlm_pool_threads(executor->pool);
    executor->threads = rows->threads < most ? rows->threads : most;
    executor->moves = executor->late.rows > 0 && executor->late.rows < executor->early.rows &&
                      program->crossing_count > 0;
    ltlm__begin_run(executor, phases + executor->moves);
    ltlm_pool_run(executor->pool, executor->threads, run_thread, executor);
    if (atomic_load(&executor->progress.aborted)) {
        return LTLM_E_CANCELLED;
    }
    *logits = (const float *)(const void *)executor->homes[LTLM__LOGITS].bytes;
    return LTLM_OK;
}

/* ---- life -------------------------------------------------------------------------------------- */

static size_t greater(size_t a, size_t b) { return a > b ? a : b; }

/* Bytes of quantised activations, and of scratch for products, that the greatest LINEAR needs with any number
 * of rows. */
static void measure_products(const ltlm_program *program, int32_t max_rows, size_t *activations,
                             size_t *scratch)
{
    for (size_t i = 0; i < program->plan.step_count; i++) {
        if (program->plan.steps[i].op != LTLM_OP_LINEAR) {
            continue;
        }
        const ltlm_matrix *matrix = &program->plan.matrices[program->plan.steps[i].matrix[0]];
        int32_t format = ltlm__activation_format(matrix);
        *scratch = greater(*scratch, program->kernels->multiply_scratch(format, matrix->columns));
        for (int32_t rows = 1; rows <= max_rows; rows++) { /* the layout, and so the size, depends on them */
            *activations =
                greater(*activations, program->kernels->activation_bytes(format, rows, matrix->columns));
        }
    }
}

static bool alloc_stage(ltlm__stage *stage, int32_t rows)
{
    stage->index = ltlm__calloc((size_t)rows, sizeof *stage->index);
    stage->spans = ltlm__calloc((size_t)rows, sizeof *stage->spans);
    return stage->index && stage->spans;
}

static bool alloc_buffers(ltlm_executor *executor)
{
    const ltlm_program *program = executor->program;
    size_t activations = LTLM_ALIGN, scratch = program->floats[LTLM__SCRATCH] * sizeof(float);
    measure_products(program, executor->max_rows, &activations, &scratch);
    scratch = greater(scratch, ltlm__attend_scratch(program));
    /* Two cache lines between threads: the prefetcher fetches pairs. */
    executor->scratch_bytes = (scratch + LTLM_ALIGN - 1) / LTLM_ALIGN * LTLM_ALIGN + (size_t)2 * LTLM_ALIGN;
    executor->home_rows[LTLM__EARLY] = executor->max_rows;
    executor->home_rows[LTLM__LATE] = executor->home_rows[LTLM__LOGITS] = executor->max_wanted;
    for (int32_t home = 0; home < LTLM__HOMES; home++) {
        uint64_t bytes =
            (uint64_t)program->floats[home] * sizeof(float) * (uint64_t)executor->home_rows[home];
        if (home == LTLM__SCRATCH) {
            bytes = (uint64_t)executor->scratch_bytes * (uint64_t)ltlm_pool_threads(executor->pool);
        }
        if (bytes > SIZE_MAX / 2 || !ltlm__huge_alloc(&executor->homes[home], (size_t)bytes + LTLM_ALIGN)) {
            return false;
        }
    }
    executor->quantised = ltlm__calloc((size_t)executor->max_rows, sizeof *executor->quantised);
    return executor->quantised && ltlm__huge_alloc(&executor->bytes, activations) &&
           alloc_stage(&executor->early, executor->max_rows) &&
           alloc_stage(&executor->late, executor->max_wanted);
}

int32_t ltlm_executor_create(const ltlm_program *program, ltlm_kv_store *store, ltlm_pool *pool,
                             int32_t max_rows, int32_t max_wanted, ltlm_executor **out, ltlm_error *err)
{
    *out = NULL;
    if (max_rows < 1 || max_rows > MAX_ROWS || max_wanted < 1 || max_wanted > max_rows) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT,
                          "an executor of %d rows, of which %d are wanted, cannot be", (int)max_rows,
                          (int)max_wanted);
    }
    ltlm_executor *executor = ltlm__calloc(1, sizeof *executor);
    if (!executor) {
        return ltlm__fail_no_memory(err);
    }
    executor->program = program;
    executor->store = store;
    executor->pool = pool;
    executor->wide = ltlm_kv_store_is_wide(store);
    executor->can_wait = ltlm__bell_init(&executor->progress.begun);
    executor->max_rows = max_rows;
    executor->max_wanted = max_wanted;
    if (!executor->can_wait || !alloc_buffers(executor)) {
        ltlm_executor_delete(executor);
        return ltlm__fail_no_memory(err);
    }
    *out = executor;
    return ltlm__succeed(err);
}

void ltlm_executor_delete(ltlm_executor *executor)
{
    if (!executor) {
        return;
    }
    if (executor->can_wait) {
        ltlm__bell_destroy(&executor->progress.begun);
    }
    for (int32_t home = 0; home < LTLM__HOMES; home++) {
        ltlm__huge_free(&executor->homes[home]);
    }
    ltlm__huge_free(&executor->bytes);
    ltlm__free(executor->quantised);
    ltlm__free(executor->early.index);
    ltlm__free(executor->early.spans);
    ltlm__free(executor->late.index);
    ltlm__free(executor->late.spans);
    ltlm__free(executor);
}
