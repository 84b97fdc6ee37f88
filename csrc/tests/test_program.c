/* Plans that are loaded, and plans that are refused. */
#include <sys/stat.h>

#include "native/program.h"
#include "tiny_model.h"

static int32_t create(tiny_model *m, int32_t place, int32_t threads, ltlm_program **program, ltlm_error *err)
{
    ltlm_pool *pool;
    ASSERT_INT(LTLM_OK, ltlm_pool_create(threads, &pool, err));
    int32_t status = ltlm_program_create(&m->plan, m->fd, m->file_size, place, ltlm_kernels_portable(), pool,
                                         program, err);
    ltlm_pool_delete(pool);
    return status;
}

static void expect_refusal(tiny_model *m, int32_t expected, const char *reason)
{
    ltlm_program *program;
    ltlm_error err;
    int32_t status = create(m, LTLM_WEIGHTS_MAPPED, 1, &program, &err);
    if (status != expected) {
        test_failed(__FILE__, __LINE__, "not refused: %s", reason);
    }
    ASSERT(!program);
    ASSERT_IN(reason, err.reason);
    tiny_delete(m);
}

/* A model in which one thing is wrong. */
#define REFUSED_WITH(status, reason, ...)    \
    do {                                     \
        tiny_model *m = tiny_create();       \
        __VA_ARGS__;                         \
        expect_refusal(m, status, reason);   \
    } while (0)
#define REFUSED(reason, ...) REFUSED_WITH(LTLM_E_INVALID_ARGUMENT, reason, __VA_ARGS__)
/* And it is the file. */
#define DAMAGED(reason, ...) REFUSED_WITH(LTLM_E_ENGINE, reason, __VA_ARGS__)

static ltlm_step *first(tiny_model *m, int32_t op)
{
    for (size_t i = 0; i < m->plan.step_count; i++) {
        if (m->steps[i].op == op) {
            return &m->steps[i];
        }
    }
    test_failed(__FILE__, __LINE__, "no step of op %d", (int)op);
}

static ltlm_step *last(tiny_model *m) { return &m->steps[m->plan.step_count - 1]; }

static ltlm_matrix *matrix_of(tiny_model *m, int32_t format)
{
    for (size_t i = 0; i < m->plan.matrix_count; i++) {
        if (m->matrices[i].format == format) {
            return &m->matrices[i];
        }
    }
    test_failed(__FILE__, __LINE__, "no matrix of format %d", (int)format);
}

/* ---- loaded ---- */

TEST(a_plan_is_loaded_from_the_map_and_as_a_copy)
{
    tiny_model *m = tiny_create();
    for (int32_t place = LTLM_WEIGHTS_MAPPED; place <= LTLM_WEIGHTS_COPIED; place++) {
        ltlm_program *program;
        ltlm_error err;
        ASSERT_INT(LTLM_OK, create(m, place, 2, &program, &err));
        size_t caches;
        ltlm_program_caches(program, &caches);
        ASSERT_INT(2, caches);
        ASSERT_INT(VOCABULARY, ltlm_program_vocabulary(program));
        ASSERT_INT(CONTEXT, ltlm_program_max_context(program));
        for (size_t i = 0; i < m->plan.matrix_count; i++) {
            const ltlm_weights *item = &program->weights.items[i];
            const uint8_t *map = program->weights.map;
            bool mapped = item->data >= map && item->data < map + m->file_size;
            ASSERT(memcmp(m->file + m->matrices[i].data, item->data, ltlm__matrix_bytes(&m->matrices[i])) ==
                   0);
            ASSERT_INT(place == LTLM_WEIGHTS_MAPPED || i == 0, mapped); /* 0 is the table of embeddings */
        }
        ltlm_program_delete(program);
    }
    tiny_delete(m);
}

TEST(scales_and_sums_are_those_of_the_rows)
{
    tiny_model *m = tiny_create();
    ltlm_matrix *matrix = matrix_of(m, LTLM_INT8);
    ltlm_matrix *shared = matrix + 1; /* one scale for all rows */
    shared->scale_count = 1;
    ltlm_program *program;
    ltlm_error err;
    ASSERT_INT(LTLM_OK, create(m, LTLM_WEIGHTS_MAPPED, 2, &program, &err));
    const ltlm_weights *item = &program->weights.items[matrix - m->matrices];
    for (int32_t row = 0; row < matrix->rows; row++) {
        int32_t sum = 0;
        for (int32_t i = 0; i < matrix->columns; i++) {
            sum += (int8_t)m->file[matrix->data + (size_t)(row * matrix->columns + i)];
        }
        ASSERT_INT(sum, item->sums[row]);
        ASSERT(memcmp((const float *)item->scales + row, m->file + matrix->scales + (size_t)row * 4, 4) == 0);
    }
    item = &program->weights.items[shared - m->matrices];
    ASSERT(memcmp((const float *)item->scales + shared->rows - 1, m->file + shared->scales, 4) == 0);
    ASSERT(!program->weights.items[0].sums); /* nothing multiplies with the table of embeddings */
    ltlm_program_delete(program);
    tiny_delete(m);
}

TEST(phases_are_as_few_as_can_be)
{
    tiny_model *m = tiny_create();
    ltlm_program *program;
    ltlm_error err;
    ASSERT_INT(LTLM_OK, create(m, LTLM_WEIGHTS_MAPPED, 1, &program, &err));
    /* A layer: rows, q k v, rows, attend, rows, o, rows, gate and up, rows, down. At the end rows, and
     * logits. */
    ASSERT_INT(3 * 10 + 2, program->phase_count);
    ASSERT_INT(10 + 3, program->tail);
    /* What crosses is the residual, the query, and the two rows of angles. */
    ASSERT_INT(4, program->crossing_count);
    /* What a product reads needs no place in which all rows have room. */
    const ltlm__phase *product = &program->phases[1];
    ASSERT_INT(LTLM__SCRATCH, program->places[program->plan.steps[product->from].in[0]].home);
    ltlm_program_delete(program);
    tiny_delete(m);
}

TEST(places_are_used_again)
{
    tiny_model *m = tiny_create();
    ltlm_program *program;
    ltlm_error err;
    ASSERT_INT(LTLM_OK, create(m, LTLM_WEIGHTS_MAPPED, 1, &program, &err));
    size_t total = 0;
    for (size_t i = 0; i < m->plan.value_count; i++) {
        total += (size_t)program->places[i].stride;
    }
    for (int32_t home = LTLM__SCRATCH; home < LTLM__LOGITS; home++) {
        ASSERT(program->floats[home] > 0);
        ASSERT(program->floats[home] < total / 4);
    }
    ltlm_program_delete(program);
    tiny_delete(m);
}

TEST(memory_may_run_out_at_any_point_of_a_load)
{
    tiny_model *m = tiny_create();
    ltlm_program *program;
    ltlm_error err;
    ltlm_pool *pool;
    ASSERT_INT(LTLM_OK, ltlm_pool_create(2, &pool, &err));
    for (int32_t i = 0;; i++) {
        test_alloc_fail_after(i);
        int32_t status = ltlm_program_create(&m->plan, m->fd, m->file_size, LTLM_WEIGHTS_COPIED,
                                             ltlm_kernels_portable(), pool, &program, &err);
        bool failed = test_alloc_has_failed();
        test_alloc_fail_after(-1);
        ltlm_program_delete(program);
        if (!failed) {
            ASSERT_INT(LTLM_OK, status);
            break;
        }
        ASSERT(status == LTLM_E_NO_MEMORY || status == LTLM_OK); /* OK: without a copy */
    }
    ltlm_pool_delete(pool);
    tiny_delete(m);
}

/* ---- refused: the file ---- */

TEST(a_file_that_is_cut_off_is_refused)
{
    DAMAGED("it is cut off", ASSERT(ftruncate(m->fd, (off_t)m->file_size - 1) == 0));
}

TEST(matrices_outside_the_file_are_refused)
{
    REFUSED("the weights of matrix 0 end beyond the file", m->matrices[0].data = m->file_size);
    REFUSED("the weights of matrix 0 end beyond the file", m->matrices[0].data = UINT64_MAX - 8);
    REFUSED("the scales of matrix 2 end beyond the file", m->matrices[2].scales = m->file_size - 3);
    REFUSED("the scales of matrix 2 end beyond the file", m->matrices[2].scales = UINT64_MAX);
    REFUSED("end beyond the file", m->file_size -= 4);
}

TEST(matrices_of_wrong_shape_are_refused)
{
    REFUSED("matrix 0 has the unknown format 6", m->matrices[0].format = 6);
    REFUSED("matrix 0 has 0 rows", m->matrices[0].rows = 0);
    REFUSED("matrix 0 has 200 rows of -2 columns", m->matrices[0].columns = -2);
    REFUSED("rows of 131072 columns", m->matrices[0].columns = 1 << 17);
    REFUSED("matrix 0 has 63 columns, not a multiple of 2", m->matrices[0].columns = 63);
    REFUSED("not a multiple of 4", matrix_of(m, LTLM_INT2)->columns = 62);
    REFUSED("not a multiple of 32", matrix_of(m, LTLM_INT4_BLOCK)->columns = 80);
    REFUSED("has 39 scales", m->matrices[0].scale_count = 39);
    REFUSED("has 1 scales", matrix_of(m, LTLM_INT4_BLOCK)->scale_count = 1);
    REFUSED("has 1 scales", matrix_of(m, LTLM_FLOAT32)->scale_count = 1);
}

static void set_scale(tiny_model *m, const ltlm_matrix *matrix, int32_t at, uint32_t bits, size_t size)
{
    ASSERT(pwrite(m->fd, &bits, size, (off_t)(matrix->scales + (uint64_t)at * size)) == (ssize_t)size);
}

TEST(scales_that_are_not_finite_are_refused)
{
    DAMAGED("matrix 0: a scale of row 5 is not finite", set_scale(m, m->matrices, 5, 0x7fc00000, 4));
    DAMAGED("matrix 2: a scale of row 0 is not finite", set_scale(m, m->matrices + 2, 0, 0xff800000, 4));
    DAMAGED("a scale of row 1 is not finite", set_scale(m, matrix_of(m, LTLM_INT4_BLOCK), 3, 0x7c00, 2));
}

TEST(many_matrices_of_the_same_bytes_are_refused)
{
    REFUSED("take more than 4 times the bytes of the file", {
        ltlm_matrix all = {.format = LTLM_INT8, .rows = 64, .columns = (int32_t)(m->file_size / 64)};
        all.scale_count = 1;
        while (m->plan.matrix_count < 64) {
            m->matrices[m->plan.matrix_count++] = all;
        }
    });
}

/* ---- refused: the tables ---- */

TEST(tables_out_of_range_are_refused)
{
    REFUSED("no steps", m->plan.step_count = 0);
    REFUSED("steps; 32768 can be", m->plan.step_count = 1u << 30);
    REFUSED("values; 32768 can be", m->plan.value_count = SIZE_MAX);
    REFUSED("vocabulary of 0", m->plan.vocabulary = 0);
    REFUSED("context of 0", m->plan.max_context = 0);
    REFUSED("cache 1 has 0 kv heads", m->caches[1].kv_heads = 0);
    REFUSED("cache 1 has heads of 12", m->caches[1].head_dim = 12);
    REFUSED("cache 0 has a window of -1", m->caches[0].window = -1);
    REFUSED("value 3 has 0 floats", m->widths[3] = 0);
    REFUSED("value 3 has 2147483647 floats", m->widths[3] = INT32_MAX);
    REFUSED("constant 1, 64 floats from", m->constants[1].offset = UINT64_MAX - 3);
    REFUSED("constant 1, -1 floats", m->constants[1].width = -1);
    REFUSED("the logits, value -1,", m->plan.logits = -1);
    REFUSED("are not a value of 200 floats", m->plan.logits = 0);
    REFUSED("cache 2 is never stored to", m->caches[m->plan.cache_count++] = m->caches[0]);
}

/* ---- refused: the steps ---- */

TEST(operands_that_cannot_be_read_are_refused)
{
    REFUSED("(RMS_NORM): in0 is value 255 of", first(m, LTLM_OP_RMS_NORM)->in[0] = 255);
    REFUSED("(RMS_NORM): in1 is constant 99 of", first(m, LTLM_OP_RMS_NORM)->in[1] = ~99);
    REFUSED("(RMS_NORM): in1 is constant 2147483647 of", first(m, LTLM_OP_RMS_NORM)->in[1] = INT32_MIN);
    REFUSED("(ROPE): in2 is missing", first(m, LTLM_OP_ROPE)->in[2] = LTLM_NONE);
    REFUSED("which is not written before", first(m, LTLM_OP_RMS_NORM)->in[0] = m->plan.logits);
    REFUSED("which is not written before", first(m, LTLM_OP_UNARY)->in[0] = first(m, LTLM_OP_UNARY)->out[0]);
    REFUSED("(RMS_NORM): out0 is value -1 of", first(m, LTLM_OP_RMS_NORM)->out[0] = -1);
    REFUSED("which is written twice", first(m, LTLM_OP_RMS_NORM)->out[0] = m->steps[0].out[0]);
    REFUSED("op 0 is unknown", m->steps[4].op = 0);
    REFUSED("op 14 is unknown", m->steps[4].op = 14);
}

TEST(embeddings_that_do_not_fit_are_refused)
{
    REFUSED("step 0 (EMBED): matrix0 is matrix 64 of", m->steps[0].matrix[0] = 64);
    REFUSED("step 0 (EMBED): out0 has 63 floats, not 64", m->widths[m->steps[0].out[0]] = 63);
    REFUSED("has 32 rows for a vocabulary of 200", m->steps[0].matrix[0] = 2);
    REFUSED("f0 is not finite", m->steps[0].f[0] = INFINITY);
}

TEST(products_that_do_not_fit_are_refused)
{
    REFUSED("has 0 matrices", first(m, LTLM_OP_LINEAR)->count = 0);
    REFUSED("has 5 matrices", first(m, LTLM_OP_LINEAR)->count = 5);
    REFUSED("in0 is a constant", first(m, LTLM_OP_LINEAR)->in[0] = ~0);
    REFUSED("in0 has 64 floats, not 96",
            last(m)->matrix[0] = (int32_t)(matrix_of(m, LTLM_INT4_BLOCK) - m->matrices));
    REFUSED("differ in format, columns or kind", first(m, LTLM_OP_LINEAR)->matrix[1] = 0);
    REFUSED("differ in format, columns or kind", m->matrices[2].float_activations = true);
    REFUSED("matrix1 is matrix -1 of", first(m, LTLM_OP_LINEAR)->matrix[1] = -1);
    REFUSED("bias0, 3, is not a constant", first(m, LTLM_OP_LINEAR)->bias[0] = 3);
    REFUSED("bias1 has 64 floats, not 32",
            first(m, LTLM_OP_LINEAR)->bias[1] = first(m, LTLM_OP_LINEAR)->bias[0]);
    REFUSED("out1 is value", first(m, LTLM_OP_LINEAR)->out[1] = first(m, LTLM_OP_LINEAR)->out[0]);
}

TEST(shapes_that_do_not_fit_are_refused)
{
    REFUSED("shape1 is 0", first(m, LTLM_OP_RMS_NORM)->shape[1] = 0);
    REFUSED("shape1 is 2147483647", first(m, LTLM_OP_RMS_NORM)->shape[1] = INT32_MAX);
    REFUSED("in1 has 64 floats, not 32", first(m, LTLM_OP_RMS_NORM)->shape[1] = 32);
    REFUSED("(RMS_NORM): in0 has 64 floats, not 128", first(m, LTLM_OP_RMS_NORM)->shape[0] = 2);
    REFUSED("f0 is negative", first(m, LTLM_OP_RMS_NORM)->f[0] = -1);
    REFUSED("heads of 13 have no halves", first(m, LTLM_OP_ROPE)->shape[1] = 13);
    REFUSED("(ROPE): in0 has 64 floats, not 48", first(m, LTLM_OP_ROPE)->shape[0] = 3);
    REFUSED("(ROPE): in1 has 16 floats, not 32", {
        first(m, LTLM_OP_ROPE)->shape[0] = 2;
        first(m, LTLM_OP_ROPE)->shape[1] = 32;
    });
    REFUSED("activation 9 is unknown", first(m, LTLM_OP_GATE)->shape[0] = 9);
    REFUSED("(GATE): in1 has", first(m, LTLM_OP_GATE)->in[1] = 0);
    REFUSED("(SOFTMAX): in0 has 64 floats, not 80", first(m, LTLM_OP_SOFTMAX)->shape[0] = 5);
    REFUSED("(REDUCE): out0 has 4 floats, not 8", {
        first(m, LTLM_OP_REDUCE)->shape[0] = 8;
        first(m, LTLM_OP_REDUCE)->shape[1] = 8;
    });
    REFUSED("(REDUCE): function 1 is not", first(m, LTLM_OP_REDUCE)->function = LTLM_ADD);
    REFUSED("(UNARY): function 64 is not", first(m, LTLM_OP_UNARY)->function = LTLM_SUM);
    REFUSED("(UNARY): out0 has", first(m, LTLM_OP_UNARY)->in[0] = 0);
    REFUSED("(BINARY): function 0 is not", first(m, LTLM_OP_BINARY)->function = 0);
    REFUSED("step 1 (POSITION): out0 has 2 floats, not 1", m->widths[m->steps[1].out[0]] = 2);
}

TEST(strides_out_of_bounds_are_refused)
{
    REFUSED("strides reach floats 0 to 14 of in1, which has 8", first(m, LTLM_OP_BINARY)->stride_b[3] = 2);
    REFUSED("strides reach floats -7 to 0 of in0", first(m, LTLM_OP_BINARY)->stride_a[3] = -1);
    REFUSED("strides reach floats 0 to 15032385529 of in0",
            first(m, LTLM_OP_BINARY)->stride_a[3] = INT32_MAX);
    REFUSED("strides reach floats 1 to 8 of in0", first(m, LTLM_OP_COPY)->offset_a = 1);
    REFUSED("(COPY): out0 has 16 floats, not 15", first(m, LTLM_OP_COPY)->shape[3] = 7);
    REFUSED("(COPY): out0 has 16 floats, not 8", first(m, LTLM_OP_COPY)->in[1] = LTLM_NONE);
    REFUSED("(COPY): in1 is value 255", first(m, LTLM_OP_COPY)->in[1] = 255);
}

TEST(caches_used_wrongly_are_refused)
{
    REFUSED("(KV_STORE): it uses cache 2 of 2", first(m, LTLM_OP_KV_STORE)->cache = 2);
    REFUSED("(KV_STORE): in0 has 32 floats, not 16", first(m, LTLM_OP_KV_STORE)->cache = 1);
    REFUSED("(KV_STORE): in1 has 64 floats, not 32", first(m, LTLM_OP_KV_STORE)->in[1] = 0);
    REFUSED("cache 0 is stored to twice", {
        ltlm_step *second = first(m, LTLM_OP_ATTEND);
        *second = *first(m, LTLM_OP_KV_STORE);
    });
    REFUSED("(ATTEND): it uses cache -1 of 2", first(m, LTLM_OP_ATTEND)->cache = -1);
    REFUSED("cache 1 is not stored to before", first(m, LTLM_OP_ATTEND)->cache = 1);
    REFUSED("3 heads do not share 2 kv heads evenly", first(m, LTLM_OP_ATTEND)->shape[0] = 3);
    REFUSED("(ATTEND): in0 has 64 floats, not 128", first(m, LTLM_OP_ATTEND)->shape[0] = 8);
    REFUSED("it looks back 9 positions", first(m, LTLM_OP_ATTEND)->shape[1] = WINDOW + 1);
    REFUSED("it looks back 0 positions", first(m, LTLM_OP_ATTEND)->shape[1] = 0);
    REFUSED("f1 is negative", first(m, LTLM_OP_ATTEND)->f[1] = -1);
    REFUSED("f0 is not finite", first(m, LTLM_OP_ATTEND)->f[0] = NAN);
    REFUSED("in0 is a constant", first(m, LTLM_OP_ATTEND)->in[0] = ~0);
}

TEST(logits_in_the_wrong_place_are_refused)
{
    REFUSED("are never written", m->plan.step_count--);
    REFUSED("are not written after the last KV_STORE", {
        m->widths[m->plan.value_count] = VOCABULARY;
        m->plan.logits = (int32_t)m->plan.value_count++;
        ltlm_step moved = {.op = LTLM_OP_COPY,
                           .in = {m->steps[0].out[0], LTLM_NONE},
                           .out = {m->plan.logits},
                           .shape = {1, 1, 1, VOCABULARY}};
        memmove(&m->steps[2], &m->steps[1], (m->plan.step_count - 1) * sizeof *m->steps);
        m->steps[1] = moved;
        m->plan.step_count++;
    });
}

TEST(values_that_are_too_many_at_once_are_refused)
{
    REFUSED("the values of one row take", {
        int32_t wide = 1 << 21, at = (int32_t)m->plan.step_count - 1, before = m->steps[0].out[0];
        ltlm_step end = m->steps[at];
        m->plan.step_count--;
        for (int32_t i = 0; i < 4; i++) {
            ltlm_step *step = tiny_step(m, LTLM_OP_COPY);
            step->in[0] = before;
            step->out[0] = tiny_value(m, wide);
            step->shape[3] = wide;
            before = step->out[0];
        }
        *tiny_step(m, 0) = end;
    });
}

TESTS(RUN(a_plan_is_loaded_from_the_map_and_as_a_copy)
      RUN(scales_and_sums_are_those_of_the_rows)
      RUN(phases_are_as_few_as_can_be)
      RUN(places_are_used_again)
      RUN(memory_may_run_out_at_any_point_of_a_load)
      RUN(a_file_that_is_cut_off_is_refused)
      RUN(matrices_outside_the_file_are_refused)
      RUN(matrices_of_wrong_shape_are_refused)
      RUN(scales_that_are_not_finite_are_refused)
      RUN(many_matrices_of_the_same_bytes_are_refused)
      RUN(tables_out_of_range_are_refused)
      RUN(operands_that_cannot_be_read_are_refused)
      RUN(embeddings_that_do_not_fit_are_refused)
      RUN(products_that_do_not_fit_are_refused)
      RUN(shapes_that_do_not_fit_are_refused)
      RUN(strides_out_of_bounds_are_refused)
      RUN(caches_used_wrongly_are_refused)
      RUN(logits_in_the_wrong_place_are_refused)
      RUN(values_that_are_too_many_at_once_are_refused))
