/* From steps to phases, and from values to places. */
#include "alloc.h"
#include "program.h"
#include "status.h"

/* Floats of all that is alive at once, for one row: far above any model. */
#define MAX_ROW_FLOATS ((size_t)1 << 20)
#define GRAIN 16 /* floats: places begin at whole cache lines */

/* When a value is alive: in phases, and within a rows phase in steps. */
typedef struct {
    int32_t phase, last_phase; /* that writes it, that reads it last */
    int32_t step, last_step;
} life;

/* ---- phases ------------------------------------------------------------------------------------ */

typedef struct {
    ltlm_program *program;
    bool open;        /* the last phase is of rows and takes more steps */
    int32_t prepared; /* the value whose quantised rows are at hand; -1: none */
    int32_t format;   /* that it was quantised for */
} bundler;

static ltlm__phase *add_phase(bundler *b, int32_t kind, int32_t step)
{
    ltlm__phase *phase = &b->program->phases[b->program->phase_count++];
    *phase = (ltlm__phase){.kind = kind, .from = step, .to = step, .prepare = -1};
    return phase;
}

static ltlm__phase *rows_phase(bundler *b, int32_t step)
{
    ltlm__phase *phase =
        b->open ? &b->program->phases[b->program->phase_count - 1] : add_phase(b, LTLM__ROWS, step);
    b->open = true;
    return phase;
}

static void add_product(bundler *b, int32_t at)
{
    const ltlm_step *step = &b->program->plan.steps[at];
    const ltlm_matrix *matrix = &b->program->plan.matrices[step->matrix[0]];
    bool at_hand = b->prepared == step->in[0] && b->format == matrix->format;
    if (ltlm__is_quantised(matrix) && !at_hand) {
        rows_phase(b, at)->prepare = at;
        b->prepared = step->in[0];
        b->format = matrix->format;
    }
    b->open = false;
    add_phase(b, LTLM__PRODUCT, at)->to = at + 1;
}

static void bundle(ltlm_program *program)
{
    const ltlm_plan *plan = &program->plan;
    bundler b = {.program = program, .prepared = -1};
    int32_t tail = 0; /* the first step after the last KV_STORE */
    for (int32_t i = 0; i < (int32_t)plan->step_count; i++) {
        tail = plan->steps[i].op == LTLM_OP_KV_STORE ? i + 1 : tail;
    }
    for (int32_t i = 0; i < (int32_t)plan->step_count; i++) {
        if (i == tail) {
            program->tail = program->phase_count;
            b.open = false;
            b.prepared = -1;
        }
        if (plan->steps[i].op == LTLM_OP_LINEAR) {
            add_product(&b, i);
        } else if (plan->steps[i].op == LTLM_OP_ATTEND) {
            b.open = false;
            add_phase(&b, LTLM__ATTENTION, i)->to = i + 1;
        } else {
            rows_phase(&b, i)->to = i + 1;
        }
    }
}

/* ---- lives ------------------------------------------------------------------------------------- */

static void note_read(life *lives, int32_t operand, int32_t phase, int32_t step)
{
    if (operand >= 0 && operand != LTLM_NONE) {
        lives[operand].last_phase = phase;
        lives[operand].last_step = step;
    }
}

static int32_t inputs_of(const ltlm_step *step)
{
    switch (step->op) {
    case LTLM_OP_POSITION:
    case LTLM_OP_EMBED: return 0;
    case LTLM_OP_LINEAR:
    case LTLM_OP_ATTEND:
    case LTLM_OP_UNARY:
    case LTLM_OP_REDUCE:
    case LTLM_OP_SOFTMAX: return 1;
    case LTLM_OP_RMS_NORM:
    case LTLM_OP_GATE:
    case LTLM_OP_KV_STORE:
    case LTLM_OP_BINARY: return 2;
    case LTLM_OP_ROPE: return 3;
    default: break;
    }
    int32_t count = 1; /* COPY */
    while (count < 4 && step->in[count] != LTLM_NONE) {
        count++;
    }
    return count;
}

static int32_t outputs_of(const ltlm_step *step)
{
    return step->op == LTLM_OP_LINEAR ? step->count : step->op == LTLM_OP_KV_STORE ? 0 : 1;
}

static void find_lives(const ltlm_program *program, life *lives)
{
    const ltlm_plan *plan = &program->plan;
    for (int32_t p = 0; p < program->phase_count; p++) {
        const ltlm__phase *phase = &program->phases[p];
        for (int32_t i = phase->from; i < phase->to; i++) {
            const ltlm_step *step = &plan->steps[i];
            bool quantised =
                phase->kind == LTLM__PRODUCT && ltlm__is_quantised(&plan->matrices[step->matrix[0]]);
            for (int32_t j = 0; !quantised && j < inputs_of(step); j++) {
                note_read(lives, step->in[j], p, i);
            }
            for (int32_t j = 0; j < outputs_of(step); j++) {
                lives[step->out[j]] = (life){.phase = p, .last_phase = p, .step = i, .last_step = i};
            }
        }
        if (phase->prepare >= 0) {
            note_read(lives, plan->steps[phase->prepare].in[0], p, phase->to);
        }
    }
}

/* ---- places ------------------------------------------------------------------------------------ */

/* Places in use, by offset. Lives are counted in whatever unit the caller counts them. */
typedef struct {
    size_t offset, size;
    int32_t last;
} taken;

typedef struct {
    taken *items;
    size_t count, size; /* size: of all that ever was */
} shelf;

/* The lowest gap at time `now` that `size` floats fit in, taken until after `last`. */
static size_t take_place(shelf *self, size_t size, int32_t now, int32_t last)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->count; i++) {
        if (self->items[i].last >= now) {
            self->items[kept++] = self->items[i];
        }
    }
    size_t at = 0, offset = 0;
    while (at < kept && self->items[at].offset - offset < size) {
        offset = self->items[at].offset + self->items[at].size;
        at++;
    }
    memmove(&self->items[at + 1], &self->items[at], (kept - at) * sizeof *self->items);
    self->items[at] = (taken){.offset = offset, .size = size, .last = last};
    self->count = kept + 1;
    self->size = offset + size > self->size ? offset + size : self->size;
    return offset;
}

/* Whole cache lines; and not a multiple of 1 KiB, so that one column of many rows is not all in one cache
 * set. */
static int32_t stride_of(int32_t width)
{
    int32_t stride = (width + GRAIN - 1) / GRAIN * GRAIN;
    return stride % 256 == 0 ? stride + GRAIN : stride;
}

static void place_value(ltlm_program *program, const life *its, int32_t value, shelf *shelves)
{
    ltlm__place *place = &program->places[value];
    const ltlm__phase *phase = &program->phases[its->phase];
    *place = (ltlm__place){.stride = stride_of(program->plan.widths[value])};
    if (value == program->plan.logits) {
        place->home = LTLM__LOGITS;
        place->stride = program->plan.vocabulary;
        return;
    }
    if (phase->kind == LTLM__ROWS && its->last_phase == its->phase) {
        place->home = LTLM__SCRATCH;
        place->offset = take_place(&shelves[LTLM__SCRATCH], (size_t)place->stride, its->step, its->last_step);
        return;
    }
    place->home = its->phase < program->tail ? LTLM__EARLY : LTLM__LATE;
    place->offset = take_place(&shelves[place->home], (size_t)place->stride, its->phase, its->last_phase);
    if (place->home == LTLM__EARLY && its->last_phase >= program->tail) {
        program->crossing[program->crossing_count++] = value;
    }
}

static void place_values(ltlm_program *program, const life *lives, shelf *shelves)
{
    for (int32_t p = 0; p < program->phase_count; p++) {
        for (int32_t i = program->phases[p].from; i < program->phases[p].to; i++) {
            const ltlm_step *step = &program->plan.steps[i];
            for (int32_t j = 0; j < outputs_of(step); j++) {
                place_value(program, &lives[step->out[j]], step->out[j], shelves);
            }
        }
    }
    for (int32_t home = 0; home < LTLM__HOMES; home++) {
        program->floats[home] = shelves[home].size;
    }
    program->floats[LTLM__LOGITS] = (size_t)program->plan.vocabulary;
}

int32_t ltlm__phases_make(ltlm_program *program, ltlm_error *err)
{
    size_t steps = program->plan.step_count, values = program->plan.value_count;
    program->phases = ltlm__calloc(2 * steps, sizeof *program->phases);
    program->places = ltlm__calloc(values, sizeof *program->places);
    program->crossing = ltlm__calloc(values, sizeof *program->crossing);
    life *lives = ltlm__calloc(values, sizeof *lives);
    taken *items = ltlm__calloc((values + 1) * LTLM__HOMES, sizeof *items);
    int32_t status = ltlm__succeed(err);
    if (!program->phases || !program->places || !program->crossing || !lives || !items) {
        status = ltlm__fail_no_memory(err);
    } else {
        shelf shelves[LTLM__HOMES];
        for (int32_t home = 0; home < LTLM__HOMES; home++) {
            shelves[home] = (shelf){.items = items + (size_t)home * (values + 1)};
        }
        bundle(program);
        find_lives(program, lives);
        place_values(program, lives, shelves);
        for (int32_t home = 0; home < LTLM__LOGITS; home++) {
            if (program->floats[home] > MAX_ROW_FLOATS) {
                status =
                    ltlm__fail(err, LTLM_E_INVALID_ARGUMENT,
                               "the values of one row take %llu floats at once; %llu can be",
                               (unsigned long long)program->floats[home], (unsigned long long)MAX_ROW_FLOATS);
            }
        }
    }
    ltlm__free(lives);
    ltlm__free(items);
    return status;
}
