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
    int32_t rows = hand->stage->rows, block = rows / (4 * hand->team);
    block = block < 1 ? 1 : block > MOST_ROWS ? MOST_ROWS : block;
    for (int32_t from; (from = ltlm__take(hand, block)) < rows;) {
        int32_t to = rows - from < block ? rows : from + block;
        for (int32_t row = from; row < to; row++) {
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

/* Large portions first and small ones at the end, so that the threads end together even if one is held up. */
static int32_t portion_now(const ltlm__hand *hand, const portions *all)
{
    int32_t taken =
        atomic_load_explicit(&hand->executor->counters[hand->turn & 1].next, memory_order_relaxed);
    int32_t share = (all->count - taken) / (4 * hand->team);
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
    for (;;) {
        int32_t count = portion_now(hand, &all), from = ltlm__take(hand, count);
        if (from >= all.count) {
            return;
        }
        int32_t to = all.count - from < count ? all.count : from + count, begin = 0;
        for (int32_t i = 0; i < step->count; begin = all.ends[i++]) {
            int32_t low = from > begin ? from : begin, high = to < all.ends[i] ? to : all.ends[i];
            if (low < high) {
                multiply(hand, step, i, &activations, (int64_t)(low - begin) * all.grain,
                         (int64_t)(high - begin) * all.grain);
            }
        }
    }
}

/* ---- a run ------------------------------------------------------------------------------------- */

/* Moves what the tail reads of the wanted rows to the front. One value is moved by one thread, in ascending
 * order: a row never moves onto one that has yet to move. */
static void move_wanted(const ltlm__hand *hand)
{
    const ltlm_program *program = hand->executor->program;
    const ltlm__stage *late = &hand->executor->late;
    for (int32_t i; (i = ltlm__take(hand, 1)) < program->crossing_count;) {
        int32_t value = program->crossing[i];
        size_t bytes = (size_t)program->plan.widths[value] * sizeof(float);
        for (int32_t row = 0; row < late->rows; row++) {
            if (late->index[row] != row) {
                memcpy(ltlm__value_at(hand, value, row), ltlm__value_at(hand, value, late->index[row]),
                       bytes);
            }
        }
    }
}

static void do_phase(const ltlm__hand *hand, const ltlm__phase *phase)
{
    const ltlm_step *step = &hand->executor->program->plan.steps[phase->from];
    switch (phase->kind) {
    case LTLM__ROWS: do_rows(hand, phase); break;
    case LTLM__PRODUCT: do_product(hand, step); break;
    default: ltlm__attend(hand, step); break;
    }
}

/* Readies the counter of the next turn: nobody looks at it any more since the last turn ended. */
static void begin_turn(const ltlm__hand *hand, int32_t thread)
{
    if (thread == 0) {
        atomic_store_explicit(&hand->executor->counters[(hand->turn + 1) & 1].next, 0, memory_order_relaxed);
    }
}

/* Meets the others. False if any of them saw the abort flag in this turn: then all leave. One that is at its
 * next turn already may have seen it there; that does not count yet. */
static bool end_turn(ltlm__hand *hand, ltlm_team *team)
{
    ltlm_team_wait(team);
    return atomic_load_explicit(&hand->executor->stopped_at, memory_order_relaxed) > hand->turn++;
}

static void run_thread(void *context, int32_t thread, ltlm_team *team)
{
    ltlm_executor *executor = context;
    const ltlm_program *program = executor->program;
    ltlm__hand hand = {
        .executor = executor,
        .stage = &executor->early,
        .team = ltlm_team_size(team),
        .scratch = executor->homes[LTLM__SCRATCH].bytes + (size_t)thread * executor->scratch_bytes,
    };
    int32_t end = executor->late.rows > 0 ? program->phase_count : program->tail;
    for (int32_t p = 0; p < end; p++) {
        if (p == program->tail) {
            if (executor->late.rows < executor->early.rows && program->crossing_count > 0) {
                begin_turn(&hand, thread);
                move_wanted(&hand);
                if (!end_turn(&hand, team)) {
                    return;
                }
            }
            hand.stage = &executor->late;
        }
        begin_turn(&hand, thread);
        do_phase(&hand, &program->phases[p]);
        if (!end_turn(&hand, team)) {
            return;
        }
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

int32_t ltlm_executor_run(ltlm_executor *executor, const ltlm_rows *rows, const float **logits)
{
    *logits = NULL;
    if (rows->rows < 1 || rows->rows > executor->max_rows || !set_stages(executor, rows)) {
        return LTLM_E_INVALID_ARGUMENT;
    }
    executor->rows = rows;
    atomic_store(&executor->counters[0].next, 0);
    atomic_store(&executor->stopped_at, INT32_MAX);
    ltlm_pool_run(executor->pool, run_thread, executor);
    if (atomic_load(&executor->stopped_at) != INT32_MAX) {
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
    executor->max_rows = max_rows;
    executor->max_wanted = max_wanted;
    if (!alloc_buffers(executor)) {
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
