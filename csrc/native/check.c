#include "program.h"
#include "status.h"

/* Far above any model, far below what overflows or what only a damaged file would ask for. */
#define MAX_ITEMS 32768 /* steps, values, matrices, constants */
#define MAX_CACHES 1024
#define MAX_FLOATS ((size_t)1 << 26)
#define MAX_WIDTH (1 << 22) /* floats of a value */
#define MAX_MATRIX_ROWS (1 << 26)
#define MAX_HEADS 1024
#define MAX_HEAD_DIM 4096
#define MAX_POSITION (1 << 24) /* positions up to here are exact as floats */

#define REFUSE(err, ...) ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, __VA_ARGS__)

static bool is_within(uint64_t offset, uint64_t size, uint64_t end)
{
    return offset <= end && size <= end - offset;
}

static int32_t columns_multiple(int32_t format)
{
    switch (format) {
    case LTLM_INT4: return 2;
    case LTLM_INT2: return 4;
    case LTLM_INT4_BLOCK: return 32;
    default: return 1;
    }
}

static bool is_scale_count(const ltlm_matrix *matrix)
{
    switch (matrix->format) {
    case LTLM_FLOAT32: return matrix->scale_count == 0;
    case LTLM_INT4_BLOCK: return (int64_t)matrix->rows * (matrix->columns / 32) == matrix->scale_count;
    default: return matrix->scale_count == matrix->rows || matrix->scale_count == 1;
    }
}

static int32_t check_matrix(const ltlm_matrix *matrix, int i, uint64_t file_size, ltlm_error *err)
{
    if (matrix->format < LTLM_INT8 || matrix->format > LTLM_FLOAT32) {
        return REFUSE(err, "matrix %d has the unknown format %d", i, (int)matrix->format);
    }
    if (matrix->rows < 1 || matrix->rows > MAX_MATRIX_ROWS || matrix->columns < 1 ||
        matrix->columns > LTLM_MAX_COLUMNS) {
        return REFUSE(err, "matrix %d has %d rows of %d columns; up to %d of up to %d can be", i,
                      (int)matrix->rows, (int)matrix->columns, MAX_MATRIX_ROWS, LTLM_MAX_COLUMNS);
    }
    int32_t multiple = columns_multiple(matrix->format);
    if (matrix->columns % multiple != 0) {
        return REFUSE(err, "matrix %d has %d columns, not a multiple of %d as its format wants", i,
                      (int)matrix->columns, (int)multiple);
    }
    if (!is_scale_count(matrix)) {
        return REFUSE(err, "matrix %d, [%d, %d], has %d scales", i, (int)matrix->rows, (int)matrix->columns,
                      (int)matrix->scale_count);
    }
    if (!is_within(matrix->data, ltlm__matrix_bytes(matrix), file_size)) {
        return REFUSE(err, "the weights of matrix %d end beyond the file: %llu bytes at %llu of %llu", i,
                      (unsigned long long)ltlm__matrix_bytes(matrix), (unsigned long long)matrix->data,
                      (unsigned long long)file_size);
    }
    if (!is_within(matrix->scales, ltlm__scale_bytes(matrix), file_size) && matrix->scale_count > 0) {
        return REFUSE(err, "the scales of matrix %d end beyond the file: %llu bytes at %llu of %llu", i,
                      (unsigned long long)ltlm__scale_bytes(matrix), (unsigned long long)matrix->scales,
                      (unsigned long long)file_size);
    }
    return LTLM_OK;
}

static int32_t check_cache(const ltlm_cache *cache, int i, ltlm_error *err)
{
    if (cache->kv_heads < 1 || cache->kv_heads > MAX_HEADS) {
        return REFUSE(err, "cache %d has %d kv heads", i, (int)cache->kv_heads);
    }
    if (cache->head_dim < 8 || cache->head_dim > MAX_HEAD_DIM || cache->head_dim % 8 != 0) {
        return REFUSE(err, "cache %d has heads of %d; a multiple of 8 up to %d can be", i,
                      (int)cache->head_dim, MAX_HEAD_DIM);
    }
    if (cache->window < 0) {
        return REFUSE(err, "cache %d has a window of %d", i, (int)cache->window);
    }
    return LTLM_OK;
}

static int32_t check_constants(const ltlm_plan *plan, ltlm_error *err)
{
    for (size_t i = 0; i < plan->constant_count; i++) {
        const ltlm_constant *constant = &plan->constants[i];
        if (constant->width < 1 ||
            !is_within(constant->offset, (uint64_t)constant->width, plan->float_count)) {
            return REFUSE(err, "constant %d, %d floats from %llu on, is not within the %llu floats", (int)i,
                          (int)constant->width, (unsigned long long)constant->offset,
                          (unsigned long long)plan->float_count);
        }
    }
    return LTLM_OK;
}

static int32_t check_counts(const ltlm_plan *plan, ltlm_error *err)
{
    const struct {
        const char *name;
        size_t count, limit;
    } counts[] = {
        {"matrices", plan->matrix_count, MAX_ITEMS},    {"floats", plan->float_count, MAX_FLOATS},
        {"constants", plan->constant_count, MAX_ITEMS}, {"values", plan->value_count, MAX_ITEMS},
        {"caches", plan->cache_count, MAX_CACHES},      {"steps", plan->step_count, MAX_ITEMS},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        if (counts[i].count > counts[i].limit) {
            return REFUSE(err, "the plan has %llu %s; %llu can be", (unsigned long long)counts[i].count,
                          counts[i].name, (unsigned long long)counts[i].limit);
        }
    }
    if (plan->step_count == 0) {
        return REFUSE(err, "the plan has no steps");
    }
    if (plan->vocabulary < 1 || plan->vocabulary > MAX_WIDTH) {
        return REFUSE(err, "the plan has a vocabulary of %d tokens", (int)plan->vocabulary);
    }
    if (plan->max_context < 1 || plan->max_context > MAX_POSITION) {
        return REFUSE(err, "the plan has a context of %d positions; 1 to %d can be", (int)plan->max_context,
                      MAX_POSITION);
    }
    return LTLM_OK;
}

int32_t ltlm__plan_check(const ltlm_plan *plan, uint64_t file_size, ltlm_error *err)
{
    int32_t status = check_counts(plan, err);
    for (size_t i = 0; status == LTLM_OK && i < plan->matrix_count; i++) {
        status = check_matrix(&plan->matrices[i], (int)i, file_size, err);
    }
    for (size_t i = 0; status == LTLM_OK && i < plan->cache_count; i++) {
        status = check_cache(&plan->caches[i], (int)i, err);
    }
    for (size_t i = 0; status == LTLM_OK && i < plan->value_count; i++) {
        if (plan->widths[i] < 1 || plan->widths[i] > MAX_WIDTH) {
            status = REFUSE(err, "value %d has %d floats; 1 to %d can be", (int)i, (int)plan->widths[i],
                            MAX_WIDTH);
        }
    }
    if (status == LTLM_OK) {
        status = check_constants(plan, err);
    }
    return status == LTLM_OK ? ltlm__steps_check(plan, err) : status;
}
