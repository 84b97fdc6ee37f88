/* Weights are read from the mapped file, or from a copy of what products read: tables of embeddings stay in
 * the file, as only some of their rows are ever looked at. Scales and sums of rows are tables of our own. */
#include <math.h>
#include <stdatomic.h>

#include "alloc.h"
#include "program.h"
#include "status.h"

#define PART ((uint64_t)8 << 20)      /* bytes that a thread reads at once */
#define SUM_BYTES ((uint64_t)1 << 20) /* bytes that a thread sums at once */
#define PAGE ((uint64_t)4096)
/* How often a plan may refer to the same bytes: what is made of them stays in proportion to the file. */
#define MAX_SHARING 4

uint64_t ltlm__matrix_bytes(const ltlm_matrix *matrix)
{
    uint64_t elements = (uint64_t)matrix->rows * (uint64_t)matrix->columns;
    switch (matrix->format) {
    case LTLM_INT4:
    case LTLM_INT4_BLOCK: return elements / 2;
    case LTLM_INT2: return elements / 4;
    case LTLM_FLOAT32: return elements * sizeof(float);
    default: return elements;
    }
}

uint64_t ltlm__scale_bytes(const ltlm_matrix *matrix)
{
    return (uint64_t)matrix->scale_count *
           (matrix->format == LTLM_INT4_BLOCK ? sizeof(uint16_t) : sizeof(float));
}

bool ltlm__is_quantised(const ltlm_matrix *matrix)
{
    return matrix->format != LTLM_FLOAT32 && !matrix->float_activations;
}

int32_t ltlm__activation_format(const ltlm_matrix *matrix)
{
    return ltlm__is_quantised(matrix) ? matrix->format : LTLM_FLOAT32;
}

/* A range of the file that is copied, or of tables. */
typedef struct {
    uint64_t begin, end;
    size_t place; /* in the copy; congruent to `begin`, so that alignment stays */
} range;

typedef struct {
    const ltlm_plan *plan;
    ltlm__weight_set *set;
    const ltlm_kernels *kernels;
    int32_t fd;
    bool *multiplied; /* [matrix_count]: a LINEAR reads it */
    atomic_bool *has_least; /* [matrix_count]: ltlm_weights.has_least */
    range *ranges;    /* to be copied; [range_count], ascending, apart */
    size_t range_count;
    atomic_llong next;      /* unit of the present job */
    atomic_bool unread;     /* a part could not be read */
    atomic_llong bad_scale; /* matrix << 32 | row of the first that is not finite */
} loader;

/* ---- copy -------------------------------------------------------------------------------------- */

static int by_begin(const void *a, const void *b)
{
    uint64_t x = ((const range *)a)->begin, y = ((const range *)b)->begin;
    return (x > y) - (x < y);
}

/* What products read, each byte once. */
static void gather_ranges(loader *self)
{
    size_t count = 0;
    for (size_t i = 0; i < self->plan->matrix_count; i++) {
        const ltlm_matrix *matrix = &self->plan->matrices[i];
        if (self->multiplied[i]) {
            self->ranges[count++] =
                (range){.begin = matrix->data, .end = matrix->data + ltlm__matrix_bytes(matrix)};
            if (matrix->format == LTLM_INT4_BLOCK) {
                self->ranges[count++] =
                    (range){.begin = matrix->scales, .end = matrix->scales + ltlm__scale_bytes(matrix)};
            }
        }
    }
    qsort(self->ranges, count, sizeof *self->ranges, by_begin);
    for (size_t i = 0; i < count; i++) {
        range *last = self->range_count ? &self->ranges[self->range_count - 1] : NULL;
        if (last && self->ranges[i].begin <= last->end) {
            last->end = self->ranges[i].end > last->end ? self->ranges[i].end : last->end;
        } else {
            self->ranges[self->range_count++] = self->ranges[i];
        }
    }
}

static void read_parts(void *context, int32_t thread)
{
    (void)thread;
    loader *self = context;
    long long passed = 0, unit = atomic_fetch_add(&self->next, 1);
    for (size_t i = 0; i < self->range_count; i++) {
        const range *each = &self->ranges[i];
        long long parts = (long long)((each->end - each->begin + PART - 1) / PART);
        for (; unit - passed < parts; unit = atomic_fetch_add(&self->next, 1)) {
            uint64_t from = each->begin + (uint64_t)(unit - passed) * PART;
            uint64_t to = each->end - from < PART ? each->end : from + PART;
            if (!ltlm__file_read(self->fd, from, self->set->copy.bytes + each->place + (from - each->begin),
                                 (size_t)(to - from))) {
                atomic_store(&self->unread, true);
            }
            ltlm__file_forget(self->fd, from / PAGE * PAGE, (size_t)(to - from / PAGE * PAGE));
        }
        passed += parts;
    }
}

/* Copies if there is memory; otherwise weights are read from the map. */
static int32_t copy_ranges(loader *self, ltlm_pool *pool, ltlm_error *err)
{
    self->ranges = ltlm__calloc(2 * self->plan->matrix_count + 1, sizeof *self->ranges);
    if (!self->ranges) {
        return ltlm__fail_no_memory(err);
    }
    gather_ranges(self);
    uint64_t size = 0;
    for (size_t i = 0; i < self->range_count; i++) {
        range *each = &self->ranges[i];
        size = (size + LTLM_ALIGN - 1) / LTLM_ALIGN * LTLM_ALIGN + each->begin % LTLM_ALIGN;
        each->place = (size_t)size;
        size += each->end - each->begin;
    }
    if (size > SIZE_MAX / 2 || !ltlm__huge_alloc(&self->set->copy, (size_t)size)) {
        return LTLM_OK;
    }
    ltlm_pool_run(pool, ltlm_pool_threads(pool), read_parts, self);
    if (atomic_load(&self->unread)) {
        return ltlm__fail(err, LTLM_E_ENGINE, "the weights cannot be read from the model file");
    }
    return LTLM_OK;
}

/* Where `offset` of the file is read from. */
static const uint8_t *locate(const loader *self, uint64_t offset, bool multiplied)
{
    if (self->set->copy.bytes && multiplied) {
        size_t low = 0, high = self->range_count; /* the last range that begins at or before */
        while (high - low > 1) {
            size_t middle = (low + high) / 2;
            *(self->ranges[middle].begin <= offset ? &low : &high) = middle;
        }
        return self->set->copy.bytes + self->ranges[low].place + (offset - self->ranges[low].begin);
    }
    return self->set->map + offset;
}

/* ---- scales and sums --------------------------------------------------------------------------- */

static size_t aligned(uint64_t size) { return (size_t)((size + LTLM_ALIGN - 1) / LTLM_ALIGN * LTLM_ALIGN); }

/* One scale a row is copied; block scales are an eighth of the weights and stay where they are. */
static bool copies_scales(const ltlm_matrix *matrix)
{
    return matrix->format != LTLM_FLOAT32 && matrix->format != LTLM_INT4_BLOCK;
}

/* Gives each matrix its places in `tables`, of which NULL only measures. The size. A place has 4 bytes for
 * each row. */
static size_t place_tables(const loader *self, uint8_t *tables)
{
    size_t size = 0;
    for (size_t i = 0; i < self->plan->matrix_count; i++) {
        const ltlm_matrix *matrix = &self->plan->matrices[i];
        ltlm_weights *item = &self->set->items[i];
        size_t table = aligned((uint64_t)matrix->rows * sizeof(float));
        bool summed = self->multiplied[i] && ltlm__is_quantised(matrix);
        if (copies_scales(matrix)) {
            item->scales = tables ? tables + size : NULL;
            size += table;
        }
        if (summed && copies_scales(matrix)) {
            item->sums = tables ? (const int32_t *)(const void *)(tables + size) : NULL;
            size += table;
        } else if (summed && self->kernels->sum_blocks) {
            item->block_sums = tables ? (const float *)(const void *)(tables + size) : NULL;
            size += table;
        }
    }
    return size;
}

static void note_bad_scale(loader *self, size_t matrix, int32_t row)
{
    long long seen = atomic_load(&self->bad_scale), mine = (long long)matrix << 32 | row;
    while (mine < seen && !atomic_compare_exchange_weak(&self->bad_scale, &seen, mine)) {
    }
}

/* Takes the scales of rows from..to, one each. */
static void copy_scales(loader *self, size_t i, int32_t from, int32_t to)
{
    const ltlm_matrix *matrix = &self->plan->matrices[i];
    const uint8_t *file = self->set->map + matrix->scales;
    float *table = (float *)self->set->items[i].scales;
    for (int32_t row = from; row < to; row++) {
        memcpy(&table[row], file + (matrix->scale_count == 1 ? 0 : (size_t)row) * sizeof(float),
               sizeof(float));
        if (!isfinite(table[row])) {
            note_bad_scale(self, i, row);
        }
    }
}

/* Looks at the scales of the blocks of rows from..to. */
static void check_block_scales(loader *self, size_t i, int32_t from, int32_t to)
{
    const ltlm_weights *item = &self->set->items[i];
    size_t blocks = (size_t)item->columns / 32;
    for (size_t at = (size_t)from * blocks; at < (size_t)to * blocks; at++) {
        uint16_t bits;
        memcpy(&bits, (const uint8_t *)item->scales + at * sizeof bits, sizeof bits);
        if ((bits & 0x7c00) == 0x7c00) {
            note_bad_scale(self, i, (int32_t)(at / blocks));
        }
    }
}

static void fill_tables(void *context, int32_t thread)
{
    (void)thread;
    loader *self = context;
    long long passed = 0, unit = atomic_fetch_add(&self->next, 1);
    for (size_t i = 0; i < self->plan->matrix_count; i++) {
        const ltlm_matrix *matrix = &self->plan->matrices[i];
        const ltlm_weights *item = &self->set->items[i];
        if (matrix->format == LTLM_FLOAT32) {
            continue;
        }
        int64_t step = (int64_t)(SUM_BYTES / (ltlm__matrix_bytes(matrix) / (uint64_t)matrix->rows + 1)) + 1;
        step = (step + self->kernels->row_step - 1) / self->kernels->row_step * self->kernels->row_step;
        long long parts = (matrix->rows + step - 1) / step;
        for (; unit - passed < parts; unit = atomic_fetch_add(&self->next, 1)) {
            int64_t from = (unit - passed) * step;
            int64_t to = from + step < matrix->rows ? from + step : matrix->rows;
            (copies_scales(matrix) ? copy_scales : check_block_scales)(self, i, (int32_t)from, (int32_t)to);
            if (item->sums) {
                if (self->kernels->sum_weights(item, (int32_t)from, (int32_t)to, (int32_t *)item->sums)) {
                    atomic_store(&self->has_least[i], true);
                }
            } else if (item->block_sums) {
                self->kernels->sum_blocks(item, (int32_t)from, (int32_t)to, (float *)item->block_sums);
            }
        }
        passed += parts;
    }
}

static int32_t make_tables(loader *self, ltlm_pool *pool, ltlm_error *err)
{
    for (size_t i = 0; i < self->plan->matrix_count; i++) {
        const ltlm_matrix *matrix = &self->plan->matrices[i];
        self->set->items[i] = (ltlm_weights){
            .format = matrix->format,
            .rows = matrix->rows,
            .columns = matrix->columns,
            .float_activations = !ltlm__is_quantised(matrix),
            .data = locate(self, matrix->data, self->multiplied[i]),
        };
        if (matrix->format == LTLM_INT4_BLOCK) {
            self->set->items[i].scales = locate(self, matrix->scales, self->multiplied[i]);
        }
    }
    if (!ltlm__huge_alloc(&self->set->tables, place_tables(self, NULL))) {
        return ltlm__fail_no_memory(err);
    }
    place_tables(self, self->set->tables.bytes);
    atomic_store(&self->next, 0);
    atomic_store(&self->bad_scale, INT64_MAX);
    ltlm_pool_run(pool, ltlm_pool_threads(pool), fill_tables, self);
    for (size_t i = 0; i < self->plan->matrix_count; i++) {
        self->set->items[i].has_least = atomic_load(&self->has_least[i]);
    }
    long long bad = atomic_load(&self->bad_scale);
    if (bad != INT64_MAX) {
        return ltlm__fail(err, LTLM_E_ENGINE, "matrix %d: a scale of row %d is not finite", (int)(bad >> 32),
                          (int)(bad & INT32_MAX));
    }
    return LTLM_OK;
}

/* ---- all --------------------------------------------------------------------------------------- */

static int32_t map_file(loader *self, uint64_t file_size, ltlm_error *err)
{
    int64_t actual = ltlm__file_size(self->fd);
    if (actual < 0 || (uint64_t)actual < file_size) {
        return ltlm__fail(err, LTLM_E_ENGINE, "the model file has %lld bytes, not %llu: it is cut off",
                          (long long)actual, (unsigned long long)file_size);
    }
    uint64_t claimed = 0;
    for (size_t i = 0; i < self->plan->matrix_count; i++) {
        claimed += ltlm__matrix_bytes(&self->plan->matrices[i]); /* each at most the file's size */
        if (claimed / MAX_SHARING > file_size) {
            return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT,
                              "the matrices up to %d take more than %d times the bytes of the file", (int)i,
                              MAX_SHARING);
        }
    }
    if (file_size == 0) {
        return LTLM_OK; /* and no matrix lies in it */
    }
    self->set->map = file_size <= SIZE_MAX / 2 ? ltlm__file_map(self->fd, (size_t)file_size) : NULL;
    self->set->map_size = (size_t)file_size;
    return self->set->map
               ? LTLM_OK
               : ltlm__fail(err, LTLM_E_NO_MEMORY, "the system does not map %llu bytes of the model file",
                            (unsigned long long)file_size);
}

static void mark_multiplied(loader *self)
{
    for (size_t i = 0; i < self->plan->step_count; i++) {
        const ltlm_step *step = &self->plan->steps[i];
        for (int32_t j = 0; step->op == LTLM_OP_LINEAR && j < step->count; j++) {
            self->multiplied[step->matrix[j]] = true;
        }
    }
}

int32_t ltlm__weights_load(const ltlm_plan *plan, int32_t fd, uint64_t file_size, int32_t place,
                           const ltlm_kernels *kernels, ltlm_pool *pool, ltlm__weight_set *out,
                           ltlm_error *err)
{
    loader self = {.plan = plan, .set = out, .kernels = kernels, .fd = fd};
    out->items = ltlm__calloc(plan->matrix_count + 1, sizeof *out->items);
    self.multiplied = ltlm__calloc(plan->matrix_count + 1, sizeof *self.multiplied);
    self.has_least = ltlm__calloc(plan->matrix_count + 1, sizeof *self.has_least);
    int32_t status = LTLM_OK;
    if (!out->items || !self.multiplied || !self.has_least) {
        status = ltlm__fail_no_memory(err);
    }
    if (status == LTLM_OK) {
        mark_multiplied(&self);
        status = map_file(&self, file_size, err);
    }
    if (status == LTLM_OK && place == LTLM_WEIGHTS_COPIED) {
        status = copy_ranges(&self, pool, err);
    }
    if (status == LTLM_OK) {
        status = make_tables(&self, pool, err);
    }
    ltlm__free(self.ranges);
    ltlm__free(self.multiplied);
    ltlm__free(self.has_least);
    return status;
}

void ltlm__weights_unload(ltlm__weight_set *weights)
{
    ltlm__free(weights->items);
    ltlm__file_unmap(weights->map, weights->map_size);
    ltlm__huge_free(&weights->copy);
    ltlm__huge_free(&weights->tables);
    *weights = (ltlm__weight_set){0};
}
