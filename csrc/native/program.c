#include "program.h"

#include "alloc.h"
#include "status.h"

/* A copy of `count` things; NULL when memory is out. Never NULL for none. */
static void *copy_of(const void *from, size_t count, size_t size)
{
    void *copy = ltlm__calloc(count + 1, size);
    if (copy && count > 0) {
        memcpy(copy, from, count * size);
    }
    return copy;
}

static bool copy_plan(ltlm_plan *to, const ltlm_plan *from)
{
    *to = *from;
    to->matrices = copy_of(from->matrices, from->matrix_count, sizeof *from->matrices);
    to->floats = copy_of(from->floats, from->float_count, sizeof *from->floats);
    to->constants = copy_of(from->constants, from->constant_count, sizeof *from->constants);
    to->widths = copy_of(from->widths, from->value_count, sizeof *from->widths);
    to->caches = copy_of(from->caches, from->cache_count, sizeof *from->caches);
    to->steps = copy_of(from->steps, from->step_count, sizeof *from->steps);
    return to->matrices && to->floats && to->constants && to->widths && to->caches && to->steps;
}

static void free_plan(ltlm_plan *plan)
{
    ltlm__free((void *)plan->matrices);
    ltlm__free((void *)plan->floats);
    ltlm__free((void *)plan->constants);
    ltlm__free((void *)plan->widths);
    ltlm__free((void *)plan->caches);
    ltlm__free((void *)plan->steps);
}

int32_t ltlm_program_create(const ltlm_plan *plan, int32_t fd, uint64_t file_size, int32_t weight_place,
                            const ltlm_kernels *kernels, ltlm_pool *pool, ltlm_program **out, ltlm_error *err)
{
    *out = NULL;
    int32_t status = ltlm__plan_check(plan, file_size, err);
    if (status != LTLM_OK) {
        return status;
    }
    ltlm_program *program = ltlm__calloc(1, sizeof *program);
    if (!program) {
        return ltlm__fail_no_memory(err);
    }
    program->kernels = kernels;
    status = copy_plan(&program->plan, plan) ? ltlm__phases_make(program, err) : ltlm__fail_no_memory(err);
    if (status == LTLM_OK) {
        status = ltlm__weights_load(&program->plan, fd, file_size, weight_place, kernels, pool,
                                    &program->weights, err);
    }
    if (status != LTLM_OK) {
        ltlm_program_delete(program);
        return status;
    }
    *out = program;
    return ltlm__succeed(err);
}

void ltlm_program_delete(ltlm_program *program)
{
    if (!program) {
        return;
    }
    ltlm__weights_unload(&program->weights);
    ltlm__free(program->phases);
    ltlm__free(program->places);
    ltlm__free(program->crossing);
    free_plan(&program->plan);
    ltlm__free(program);
}

const ltlm_cache *ltlm_program_caches(const ltlm_program *program, size_t *count)
{
    *count = program->plan.cache_count;
    return program->plan.caches;
}

const ltlm_kernels *ltlm_program_kernels(const ltlm_program *program) { return program->kernels; }
int32_t ltlm_program_vocabulary(const ltlm_program *program) { return program->plan.vocabulary; }
int32_t ltlm_program_max_context(const ltlm_program *program) { return program->plan.max_context; }

size_t ltlm_program_weight_bytes(const ltlm_program *program)
{
    return program->weights.copy.size + program->weights.tables.size;
}
