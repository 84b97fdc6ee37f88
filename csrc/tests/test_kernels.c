/* Every table of kernels that this CPU runs, against plain sums in double precision, and for integers against
 * the portable table, bit for bit. Inputs end where memory ends: a read beyond them is a crash. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

#include "native/kernels.h"

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#include "native/kernels/formats.h"
#include "testing.h"

/* ---- tables ---- */

static size_t tables(const ltlm_kernels **out)
{
    const ltlm_kernels *(*const all[])(void) = {
        ltlm_kernels_portable,    ltlm_kernels_avx2, ltlm_kernels_avxvnni,   ltlm_kernels_avx512,
        ltlm_kernels_avx512_bf16, ltlm_kernels_neon, ltlm_kernels_neon_i8mm,
    };
    size_t count = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const ltlm_kernels *table = all[i]();
        if (table) {
            out[count++] = table;
        }
    }
    return count;
}

#define FOR_TABLES(table)                                                                                    \
    const ltlm_kernels *tables_[8], *table;                                                                  \
    for (size_t count_ = tables(tables_), index_ = 0; index_ < count_ && (table = tables_[index_]); index_++)

/* ---- numbers ---- */

static uint32_t state = 1;

static uint32_t next(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static int32_t below(int32_t limit)
{
    return (int32_t)(next() % (uint32_t)limit);
}

/* Roughly normal: most are small, as activations are. */
static float number(void)
{
    float sum = 0.0f;
    for (int i = 0; i < 4; i++) {
        sum += (float)(next() >> 8) * 0x1p-24f - 0.5f;
    }
    return 1.7f * sum;
}

static void fill(float *out, int32_t n, float factor)
{
    for (int32_t i = 0; i < n; i++) {
        out[i] = factor * number();
    }
}

static bool same_bits(const void *a, const void *b, size_t floats)
{
    return memcmp(a, b, floats * sizeof(float)) == 0;
}

static void assert_near(const char *what, const char *table, double wanted, double actual, double tolerance)
{
    if (!(fabs(wanted - actual) <= tolerance)) {
        test_failed(__FILE__, __LINE__, "%s of %s is %.9g, not %.9g", what, table, actual, wanted);
    }
}

/* ---- memory that ends at a page that nobody may touch ---- */

typedef struct {
    uint8_t *map;
    size_t size;
    void *data;
} guarded;

static guarded guard(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    guarded g = {.size = (size + page - 1) / page * page + 2 * page};
    g.map = mmap(NULL, g.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT(g.map != MAP_FAILED);
    ASSERT(mprotect(g.map, page, PROT_NONE) == 0);
    ASSERT(mprotect(g.map + g.size - page, page, PROT_NONE) == 0);
    g.data = g.map + g.size - page - size;
    return g;
}

static void unguard(guarded *g)
{
    munmap(g->map, g->size);
}

static void *aligned(size_t size)
{
    void *p = NULL;
    ASSERT(posix_memalign(&p, LTLM_ALIGN, size ? size : 1) == 0);
    memset(p, 0x7f, size);
    return p;
}

/* ---- matrices ---- */

enum { INT8_FLOATS = 16, INT4_FLOATS, INT2_FLOATS, BLOCK_FLOATS }; /* with float activations */

static const int32_t kinds[] = {
    LTLM_INT8,   LTLM_INT4,   LTLM_INT2,   LTLM_INT4_BLOCK, LTLM_FLOAT32,
    INT8_FLOATS, INT4_FLOATS, INT2_FLOATS, BLOCK_FLOATS,
};

enum { KINDS = sizeof kinds / sizeof *kinds };

static int32_t format_of(int32_t kind)
{
    switch (kind) {
    case INT8_FLOATS: return LTLM_INT8;
    case INT4_FLOATS: return LTLM_INT4;
    case INT2_FLOATS: return LTLM_INT2;
    case BLOCK_FLOATS: return LTLM_INT4_BLOCK;
    default: return kind;
    }
}

static bool is_integer(int32_t kind)
{
    return kind == LTLM_INT8 || kind == LTLM_INT4 || kind == LTLM_INT2;
}

typedef struct {
    ltlm_weights w;
    guarded data, scales;
    int32_t *sums;
    float *block_sums;
} matrix;

/* Columns are rounded up to what the format can hold. */
static matrix make_matrix(int32_t kind, int32_t rows, int32_t columns)
{
    int32_t format = format_of(kind), unit = format == LTLM_INT4_BLOCK ? 32 : ltlm__weights_per_byte(format);
    columns = unit ? (columns + unit - 1) / unit * unit : columns;
    matrix m = {
        .w = {.format = format, .rows = rows, .columns = columns, .float_activations = kind >= INT8_FLOATS}};
    size_t bytes = (size_t)rows * ltlm__row_bytes(format, columns);
    size_t scales = format == LTLM_FLOAT32 ? 0 : (size_t)rows * sizeof(float);
    scales = format == LTLM_INT4_BLOCK ? (size_t)rows * (size_t)columns / 32 * sizeof(uint16_t) : scales;
    m.data = guard(bytes);
    m.scales = guard(scales);
    m.w.data = m.data.data;
    m.w.scales = m.scales.data;
    for (size_t i = 0; i < bytes; i++) {
        uint8_t byte = (uint8_t)(next() >> 11);
        bool is_least = format == LTLM_INT8 && byte == 0x80;
        ((uint8_t *)m.data.data)[i] = is_least && rows % 2 ? 0x81 : byte; /* some have -128, some do not */
    }
    for (size_t i = 0; format == LTLM_FLOAT32 && i < bytes / sizeof(float); i++) {
        float value = number();
        memcpy((uint8_t *)m.data.data + i * sizeof value, &value, sizeof value);
    }
    for (size_t i = 0; format == LTLM_INT4_BLOCK && i < scales / sizeof(uint16_t); i++) {
        ((uint16_t *)m.scales.data)[i] = ltlm__float_to_half(0.01f + 0.05f * fabsf(number()));
    }
    for (size_t i = 0; format != LTLM_INT4_BLOCK && i < scales / sizeof(float); i++) {
        ((float *)m.scales.data)[i] = 0.001f + 0.01f * fabsf(number());
    }
    m.sums = calloc((size_t)rows, sizeof *m.sums);
    m.block_sums = calloc((size_t)rows, sizeof *m.block_sums);
    return m;
}

/* Gives the matrix the sums that a table makes of it. */
static void sum_matrix(const ltlm_kernels *table, matrix *m)
{
    m->w.sums = NULL;
    m->w.block_sums = NULL;
    if (m->w.format == LTLM_INT4_BLOCK && table->sum_blocks) {
        table->sum_blocks(&m->w, 0, m->w.rows, m->block_sums);
        m->w.block_sums = m->block_sums;
    } else if (m->w.format != LTLM_INT4_BLOCK && m->w.format != LTLM_FLOAT32) {
        m->w.has_least = table->sum_weights(&m->w, 0, m->w.rows, m->sums);
        m->w.sums = m->sums;
    }
}

static void free_matrix(matrix *m)
{
    unguard(&m->data);
    unguard(&m->scales);
    free(m->sums);
    free(m->block_sums);
}

static double weight_at(const ltlm_weights *w, int32_t row, int32_t column)
{
    const uint8_t *data = ltlm__weight_row(w, row);
    if (w->format == LTLM_FLOAT32) {
        return ltlm__float_at(data, (size_t)column);
    }
    return (double)ltlm__integer_at(w->format, data, column) * (double)ltlm__scale_at(w, row, column);
}

/* ---- products ---- */

typedef struct {
    ltlm_activations a;
    guarded floats;
} rows_of;

static int32_t prepared_format(const ltlm_weights *w)
{
    return w->float_activations ? LTLM_FLOAT32 : w->format;
}

static rows_of make_rows(const ltlm_kernels *table, const ltlm_weights *w, const float *x, int32_t rows)
{
    rows_of r = {.a = {.rows = rows, .columns = w->columns, .stride = (size_t)w->columns}};
    size_t size = (size_t)rows * (size_t)w->columns * sizeof(float);
    r.floats = guard(size);
    memcpy(r.floats.data, x, size);
    r.a.floats = r.floats.data;
    r.a.bytes = aligned(table->activation_bytes(prepared_format(w), rows, w->columns));
    r.a.quantised = calloc((size_t)rows, sizeof *r.a.quantised);
    for (int32_t row = rows - 1; row >= 0; row--) {
        table->prepare(prepared_format(w), &r.a, row);
    }
    return r;
}

static void free_rows(rows_of *r)
{
    unguard(&r->floats);
    free(r->a.bytes);
    free(r->a.quantised);
}

/* out[rows][w->rows] = x[rows][w->columns] times w, in ranges of `step` weight rows. */
static void multiply(const ltlm_kernels *table, const ltlm_weights *w, const float *x, int32_t rows,
                     int32_t step, const float *bias, float *out)
{
    rows_of r = make_rows(table, w, x, rows);
    void *scratch = aligned(table->multiply_scratch(prepared_format(w), w->columns));
    for (int32_t from = 0; from < w->rows; from += step) {
        int32_t to = w->rows - from < step ? w->rows : from + step;
        table->multiply(w, &r.a, from, to, bias, out, (size_t)w->rows, scratch);
    }
    free(scratch);
    free_rows(&r);
}

static const int32_t shapes[][2] = {{1, 4},    {3, 20},   {16, 64},  {17, 80},  {33, 100},
                                    {64, 128}, {70, 256}, {35, 640}, {48, 1096}};

enum { SHAPES = sizeof shapes / sizeof *shapes, MOST_ROWS = 33 };

static const int32_t row_counts[] = {1, 2, 3, 4, 5, 8, 9, 12, 13, 33};

enum { ROW_COUNTS = sizeof row_counts / sizeof *row_counts };

TEST(products_of_integers_equal_the_portable_ones_bit_for_bit)
{
    FOR_TABLES (table) {
        for (int k = 0; k < KINDS; k++) {
            for (int s = 0; is_integer(kinds[k]) && s < SHAPES; s++) {
                matrix m = make_matrix(kinds[k], shapes[s][0], shapes[s][1]);
                size_t n = (size_t)m.w.rows;
                float *x = malloc(MOST_ROWS * (size_t)m.w.columns * sizeof *x),
                      *bias = malloc(n * sizeof *bias);
                float *wanted = malloc(MOST_ROWS * n * sizeof *x),
                      *actual = malloc(MOST_ROWS * n * sizeof *x);
                fill(x, MOST_ROWS * m.w.columns, 3.0f);
                fill(bias, m.w.rows, 1.0f);
                for (int c = 0; c < ROW_COUNTS; c++) {
                    int32_t rows = row_counts[c];
                    sum_matrix(ltlm_kernels_portable(), &m);
                    multiply(ltlm_kernels_portable(), &m.w, x, rows, m.w.rows, c % 2 ? bias : NULL, wanted);
                    sum_matrix(table, &m);
                    multiply(table, &m.w, x, rows, m.w.rows, c % 2 ? bias : NULL, actual);
                    ASSERT(same_bits(wanted, actual, (size_t)rows * n));
                }
                free(x);
                free(bias);
                free(wanted);
                free(actual);
                free_matrix(&m);
            }
        }
    }
}

TEST(products_are_what_the_numbers_say)
{
    FOR_TABLES (table) {
        for (int k = 0; k < KINDS; k++) {
            for (int s = 0; s < SHAPES; s++) {
                matrix m = make_matrix(kinds[k], shapes[s][0], shapes[s][1]);
                int32_t rows = 13, columns = m.w.columns;
                float *x = malloc((size_t)(rows * columns) * sizeof *x);
                float *out = malloc((size_t)(rows * m.w.rows) * sizeof *out);
                fill(x, rows * columns, 2.0f);
                sum_matrix(table, &m);
                rows_of r = make_rows(ltlm_kernels_portable(), &m.w, x, rows);
                multiply(table, &m.w, x, rows, m.w.rows, NULL, out);
                bool floats = m.w.float_activations || m.w.format == LTLM_FLOAT32;
                for (int32_t row = 0; row < rows; row++) {
                    for (int32_t n = 0; n < m.w.rows; n++) {
                        double sum = 0.0, size = 0.0;
                        for (int32_t i = 0; i < columns; i++) {
                            double value = x[row * columns + i];
                            if (!floats) {
                                int8_t q = ((int8_t *)r.a.bytes)[row * columns + i];
                                ltlm_quantised quantised = r.a.quantised[row];
                                double back = (q - quantised.zero_point) * (double)quantised.inverse_scale;
                                assert_near("an activation", table->name, value, back,
                                            0.501 * (double)quantised.inverse_scale);
                                value = back;
                            }
                            double term = value * weight_at(&m.w, n, i);
                            sum += term;
                            size += fabs(term);
                        }
                        assert_near("a product", table->name, sum, out[row * m.w.rows + n],
                                    1e-6 * size + 1e-30);
                    }
                }
                free_rows(&r);
                free(x);
                free(out);
                free_matrix(&m);
            }
        }
    }
}

TEST(a_row_has_the_same_product_whatever_is_computed_with_it)
{
    FOR_TABLES (table) {
        for (int k = 0; k < KINDS; k++) {
            for (int s = 0; s < SHAPES; s++) {
                matrix m = make_matrix(kinds[k], shapes[s][0], shapes[s][1]);
                size_t n = (size_t)m.w.rows, columns = (size_t)m.w.columns;
                float *x = malloc(MOST_ROWS * columns * sizeof *x);
                float *alone = malloc(MOST_ROWS * n * sizeof *x),
                      *together = malloc(MOST_ROWS * n * sizeof *x);
                fill(x, MOST_ROWS * m.w.columns, 2.0f);
                sum_matrix(table, &m);
                for (size_t row = 0; row < MOST_ROWS; row++) {
                    multiply(table, &m.w, x + row * columns, 1, m.w.rows, NULL, alone + row * n);
                }
                for (int c = 0; c < ROW_COUNTS; c++) {
                    int32_t steps[] = {m.w.rows, table->row_step, 3 * table->row_step};
                    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
                        multiply(table, &m.w, x, row_counts[c], steps[i], NULL, together);
                        ASSERT(same_bits(alone, together, (size_t)row_counts[c] * n));
                    }
                }
                free(x);
                free(alone);
                free(together);
                free_matrix(&m);
            }
        }
    }
}

TEST(weights_may_lie_at_any_address)
{
    FOR_TABLES (table) {
        for (int k = 0; k < KINDS; k++) {
            matrix m = make_matrix(kinds[k], 37, 160);
            size_t bytes = 37 * ltlm__row_bytes(m.w.format, m.w.columns);
            float x[9 * 160], wanted[9 * 37], actual[9 * 37];
            fill(x, 9 * 160, 2.0f);
            sum_matrix(table, &m);
            multiply(table, &m.w, x, 9, 37, NULL, wanted);
            for (size_t shift = 1; shift < 64; shift += 6) {
                uint8_t *moved = malloc(bytes + shift);
                memcpy(moved + shift, m.w.data, bytes);
                ltlm_weights w = m.w;
                w.data = moved + shift;
                multiply(table, &w, x, 9, 37, NULL, actual);
                ASSERT(same_bits(wanted, actual, 9 * 37));
                multiply(table, &w, x, 1, 37, NULL, actual);
                ASSERT(same_bits(wanted, actual, 37));
                free(moved);
            }
            free_matrix(&m);
        }
    }
}

TEST(the_greatest_sums_fit)
{
    FOR_TABLES (table) {
        for (int k = 0; k < KINDS; k++) {
            if (!is_integer(kinds[k])) {
                continue;
            }
            /* All activations at one end of their range, all weights at the end of theirs. */
            matrix m = make_matrix(kinds[k], 17, LTLM_MAX_COLUMNS);
            memset(m.data.data,
                   kinds[k] == LTLM_INT8   ? 0x80
                   : kinds[k] == LTLM_INT4 ? 0x88
                                           : 0xaa,
                   17 * ltlm__row_bytes(m.w.format, m.w.columns));
            float *x = malloc(9 * LTLM_MAX_COLUMNS * sizeof *x), wanted[9 * 17], actual[9 * 17];
            for (int32_t sign = -1; sign <= 1; sign += 2) {
                for (int32_t i = 0; i < 9 * LTLM_MAX_COLUMNS; i++) {
                    x[i] = (float)sign;
                }
                sum_matrix(ltlm_kernels_portable(), &m);
                multiply(ltlm_kernels_portable(), &m.w, x, 9, 17, NULL, wanted);
                sum_matrix(table, &m);
                multiply(table, &m.w, x, 9, 17, NULL, actual);
                ASSERT(same_bits(wanted, actual, 9 * 17));
            }
            free(x);
            free_matrix(&m);
        }
    }
}

TEST(activations_are_quantised_as_the_portable_ones)
{
    static const float rows[][8] = {
        {0, 0, 0, 0, 0, 0, 0, 0},
        {1, 2, 3, 4, 5, 6, 7, 8},
        {-1, -2, -3, -4, -5, -6, -7, -8},
        {1e-30f, -1e-30f, 3e-30f, 0, 0, 0, 0, 0},
        {3e38f, -3e38f, 1, 0, 0, 0, 0, 0},
        {1e-42f, -1e-42f, 1e-44f, 0, 0, 0, 0, 0},
        {0.5f, 1.5f, 2.5f, 255, 0, 0, 0, 0},
        {-127.5f, 127.5f, 0.5f, -0.5f, 1.5f, -1.5f, 2.5f, -2.5f},
    };
    FOR_TABLES (table) {
        for (int32_t columns = 8; columns <= 72; columns += 8) {
            for (int trial = 0; trial < 24; trial++) {
                float x[72] = {0};
                if (trial < 8) {
                    memcpy(x, rows[trial], sizeof rows[trial]);
                } else {
                    fill(x, columns, trial % 3 ? 1.0f : 1e20f);
                    x[0] += trial % 2 ? 9.0f : 0.0f;
                }
                ltlm_weights w = {.format = LTLM_INT8, .rows = 1, .columns = columns};
                rows_of wanted = make_rows(ltlm_kernels_portable(), &w, x, 1);
                rows_of actual = make_rows(table, &w, x, 1);
                ASSERT_INT(wanted.a.quantised->zero_point, actual.a.quantised->zero_point);
                ASSERT_INT(wanted.a.quantised->sum, actual.a.quantised->sum);
                ASSERT(same_bits(&wanted.a.quantised->inverse_scale, &actual.a.quantised->inverse_scale, 1));
                free_rows(&wanted);
                free_rows(&actual);
            }
        }
    }
}

TEST(sums_of_weights_are_exact)
{
    FOR_TABLES (table) {
        for (int k = 0; k < KINDS; k++) {
            for (int s = 0; is_integer(kinds[k]) && s < SHAPES; s++) {
                matrix m = make_matrix(kinds[k], shapes[s][0], shapes[s][1]);
                int32_t half = m.w.rows / 2;
                table->sum_weights(&m.w, 0, half, m.sums);
                table->sum_weights(&m.w, half, m.w.rows, m.sums);
                for (int32_t n = 0; n < m.w.rows; n++) {
                    int32_t sum = 0;
                    for (int32_t i = 0; i < m.w.columns; i++) {
                        sum += ltlm__integer_at(m.w.format, ltlm__weight_row(&m.w, n), i);
                    }
                    ASSERT_INT(sum, m.sums[n]);
                }
                free_matrix(&m);
            }
        }
    }
}

TEST(sums_of_blocks_are_scaled)
{
    FOR_TABLES (table) {
        for (int s = 0; table->sum_blocks && s < SHAPES; s++) {
            matrix m = make_matrix(LTLM_INT4_BLOCK, shapes[s][0], shapes[s][1]);
            int32_t half = m.w.rows / 2;
            table->sum_blocks(&m.w, 0, half, m.block_sums);
            table->sum_blocks(&m.w, half, m.w.rows, m.block_sums);
            for (int32_t n = 0; n < m.w.rows; n++) {
                double sum = 0, size = 0;
                for (int32_t i = 0; i < m.w.columns; i++) {
                    sum += weight_at(&m.w, n, i);
                    size += fabs(weight_at(&m.w, n, i));
                }
                assert_near("a sum of blocks", table->name, sum, m.block_sums[n], 1e-6 * size);
            }
            free_matrix(&m);
        }
    }
}

TEST(an_embedding_is_a_row_of_its_table)
{
    FOR_TABLES (table) {
        for (int k = 0; k < KINDS; k++) {
            for (int s = 0; s < SHAPES; s++) {
                matrix m = make_matrix(kinds[k], shapes[s][0], shapes[s][1]);
                guarded out = guard((size_t)m.w.columns * sizeof(float));
                for (int32_t row = 0; row < m.w.rows; row += 1 + m.w.rows / 3) {
                    table->embed(&m.w, row, 22.5f, out.data);
                    for (int32_t i = 0; i < m.w.columns; i++) {
                        double wanted = 22.5 * weight_at(&m.w, row, i);
                        assert_near("an embedding", table->name, wanted, ((float *)out.data)[i],
                                    2e-7 * fabs(wanted));
                    }
                }
                unguard(&out);
                free_matrix(&m);
            }
        }
    }
}

TEST(damaged_numbers_neither_crash_nor_spread_to_other_rows)
{
    const float bad[] = {NAN, INFINITY, -INFINITY, 1e-45f, 3.4e38f, -0.0f};
    FOR_TABLES (table) {
        for (int k = 0; k < KINDS; k++) {
            for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
                matrix m = make_matrix(kinds[k], 35, 96);
                size_t columns = (size_t)m.w.columns;
                float x[10 * 96], wanted[10 * 35], actual[10 * 35];
                fill(x, 10 * 96, 2.0f);
                sum_matrix(table, &m);
                multiply(table, &m.w, x, 10, 35, NULL, wanted);
                /* One activation of row 4; the scale, or a weight, of weight row 20. */
                x[4 * columns + 7] = bad[b];
                if (m.w.format == LTLM_FLOAT32) {
                    memcpy((uint8_t *)m.data.data + (20 * columns + 3) * sizeof(float), &bad[b],
                           sizeof(float));
                } else if (m.w.format == LTLM_INT4_BLOCK) {
                    ((uint16_t *)m.scales.data)[20 * columns / 32] =
                        (uint16_t[]){0x7e00, 0x7c00, 0xfc00, 1, 0x7bff, 0x8000}[b];
                } else {
                    ((float *)m.scales.data)[20] = bad[b];
                }
                multiply(table, &m.w, x, 10, 35, NULL, actual);
                for (int32_t row = 0; row < 10; row++) {
                    for (int32_t n = 0; n < 35; n++) {
                        if (row != 4 && n != 20) {
                            ASSERT(same_bits(wanted + row * 35 + n, actual + row * 35 + n, 1));
                        }
                    }
                }
                free_matrix(&m);
            }
        }
    }
}

/* ---- caches ---- */

TEST(halves_are_rounded_to_the_nearest)
{
    for (uint32_t half = 0; half < 0x7c00; half++) {
        float value = ltlm__half_to_float((uint16_t)half);
        ASSERT_INT(half, ltlm__float_to_half(value));
        ASSERT_INT(half | 0x8000, ltlm__float_to_half(-value));
        if (half < 0x7bff) {
            float above = ltlm__half_to_float((uint16_t)(half + 1)), middle = 0.5f * (value + above);
            ASSERT_INT(half + half % 2, ltlm__float_to_half(middle));
            ASSERT_INT(half, ltlm__float_to_half(nextafterf(middle, 0.0f)));
            ASSERT_INT(half + 1, ltlm__float_to_half(nextafterf(middle, INFINITY)));
        }
    }
    ASSERT_INT(0x7bff, ltlm__float_to_half(1e30f));
    ASSERT_INT(0xfbff, ltlm__float_to_half(-INFINITY));
    ASSERT(isnan(ltlm__half_to_float(ltlm__float_to_half(NAN))));
    ASSERT(isinf(ltlm__half_to_float(0x7c00)));
}

TEST(keys_and_values_are_stored_alike_by_all_tables)
{
    FOR_TABLES (table) {
        for (int32_t head_dim = 8; head_dim <= 136; head_dim += 8) {
            for (int wide = 0; wide < 2; wide++) {
                size_t size = (size_t)(LTLM_PAGE * head_dim) * (wide ? sizeof(float) : sizeof(uint16_t));
                guarded wanted = guard(size), actual = guard(size),
                        row = guard((size_t)head_dim * sizeof(float));
                for (int values = 0; values < 2; values++) {
                    for (int32_t slot = 0; slot < LTLM_PAGE; slot++) {
                        fill(row.data, head_dim, slot == 3 ? 1e5f : slot == 4 ? 1e-6f : 1.0f);
                        const ltlm_kernels *portable = ltlm_kernels_portable();
                        (values ? portable->store_value : portable->store_key)(row.data, head_dim, wide,
                                                                               wanted.data, slot);
                        (values ? table->store_value : table->store_key)(row.data, head_dim, wide,
                                                                         actual.data, slot);
                    }
                    ASSERT(memcmp(wanted.data, actual.data, size) == 0);
                }
                unguard(&wanted);
                unguard(&actual);
                unguard(&row);
            }
        }
    }
}

/* ---- attention ---- */

enum { POSITIONS = 300, PAGES = (POSITIONS + LTLM_PAGE - 1) / LTLM_PAGE, MOST_DIM = 512 };

typedef struct {
    int32_t head_dim;
    bool wide;
    size_t size; /* bytes of keys, or of values, in a page */
    guarded pages[PAGES];
    const uint8_t *table[PAGES];
    float *keys, *values; /* [POSITIONS][head_dim], as stored */
} cache;

/* Positions first .. last are written, everything else is NaN; pages outside do not exist. */
static cache make_cache(const ltlm_kernels *table, int32_t head_dim, bool wide, int32_t first, int32_t last)
{
    cache c = {.head_dim = head_dim, .wide = wide};
    c.size = (size_t)(LTLM_PAGE * head_dim) * (wide ? sizeof(float) : sizeof(uint16_t));
    c.keys = malloc((size_t)(POSITIONS * head_dim) * sizeof(float));
    c.values = malloc((size_t)(POSITIONS * head_dim) * sizeof(float));
    fill(c.keys, POSITIONS * head_dim, 1.0f);
    fill(c.values, POSITIONS * head_dim, 1.0f);
    for (int32_t i = 0; !wide && i < POSITIONS * head_dim; i++) {
        c.keys[i] = ltlm__half_to_float(ltlm__float_to_half(c.keys[i]));
        c.values[i] = ltlm__half_to_float(ltlm__float_to_half(c.values[i]));
    }
    for (int32_t p = first / LTLM_PAGE; p <= last / LTLM_PAGE; p++) {
        c.pages[p] = guard(2 * c.size);
        c.table[p] = c.pages[p].data;
        memset(c.pages[p].data, 0xff, 2 * c.size);
    }
    for (int32_t p = first; p <= last; p++) {
        uint8_t *page = c.pages[p / LTLM_PAGE].data;
        table->store_key(c.keys + p * head_dim, head_dim, wide, page, p % LTLM_PAGE);
        table->store_value(c.values + p * head_dim, head_dim, wide, page + c.size, p % LTLM_PAGE);
    }
    return c;
}

static void free_cache(cache *c)
{
    for (int32_t p = 0; p < PAGES; p++) {
        if (c->table[p]) {
            unguard(&c->pages[p]);
        }
    }
    free(c->keys);
    free(c->values);
}

static void reference_attention(const cache *c, const ltlm_attention *job, int32_t row, double *out)
{
    double weights[POSITIONS], total = 0.0;
    int32_t head_dim = c->head_dim;
    for (int32_t p = job->first[row]; p <= job->last[row]; p++) {
        double score = 0.0;
        for (int32_t i = 0; i < head_dim; i++) {
            score += (double)job->query[row][i] * (double)c->keys[p * head_dim + i];
        }
        score *= (double)job->scale;
        if (job->softcap > 0.0f) {
            score = (double)job->softcap * tanh(score / (double)job->softcap);
        }
        weights[p] = exp(score);
        total += weights[p];
    }
    for (int32_t i = 0; i < head_dim; i++) {
        out[i] = 0.0;
        for (int32_t p = job->first[row]; p <= job->last[row]; p++) {
            out[i] += weights[p] / total * (double)c->values[p * head_dim + i];
        }
    }
}

/* Rows of one attend, checked against the reference and against each row alone. */
static void check_attention(const ltlm_kernels *table, int32_t head_dim, bool wide, float softcap,
                            int32_t rows, const int32_t *first, const int32_t *last)
{
    int32_t from = first[0], to = last[0];
    for (int32_t row = 1; row < rows; row++) {
        from = first[row] < from ? first[row] : from;
        to = last[row] > to ? last[row] : to;
    }
    cache c = make_cache(table, head_dim, wide, from, to);
    guarded queries = guard((size_t)(rows * head_dim) * sizeof(float));
    guarded outputs = guard((size_t)(rows * head_dim) * sizeof(float));
    fill(queries.data, rows * head_dim, 1.5f);
    const float *query[LTLM_QUERY_BLOCK];
    float *out[LTLM_QUERY_BLOCK], alone[MOST_DIM], *alone_out = alone;
    for (int32_t row = 0; row < rows; row++) {
        query[row] = (float *)queries.data + row * head_dim;
        out[row] = (float *)outputs.data + row * head_dim;
    }
    void *scratch = aligned(table->attend_scratch(to - from + 1, head_dim));
    ltlm_attention job = {.rows = rows,
                          .head_dim = head_dim,
                          .wide = wide,
                          .pages = c.table,
                          .keys = 0,
                          .values = c.size,
                          .query = query,
                          .out = out,
                          .first = first,
                          .last = last,
                          .scale = 1.0f / sqrtf((float)head_dim),
                          .softcap = softcap,
                          .scratch = scratch};
    table->attend(&job);
    bool rough = strstr(table->name, "bf16") && !wide;
    for (int32_t row = 0; row < rows; row++) {
        double wanted[MOST_DIM], error = 0.0, size = 0.0;
        reference_attention(&c, &job, row, wanted);
        for (int32_t i = 0; i < head_dim; i++) {
            error += (wanted[i] - out[row][i]) * (wanted[i] - out[row][i]);
            size += wanted[i] * wanted[i];
        }
        assert_near("an attention", table->name, 0.0, sqrt(error / size), rough ? 2e-2 : 1e-5);
        ltlm_attention one = job;
        one.rows = 1;
        one.query = query + row;
        one.out = &alone_out;
        one.first = first + row;
        one.last = last + row;
        table->attend(&one);
        ASSERT(same_bits(alone, out[row], (size_t)head_dim));
    }
    free(scratch);
    unguard(&queries);
    unguard(&outputs);
    free_cache(&c);
}

static const int32_t head_dims[] = {8, 16, 24, 40, 64, 80, 128, 256, 512};

TEST(attention_of_a_prompt)
{
    FOR_TABLES (table) {
        for (size_t d = 0; d < sizeof head_dims / sizeof *head_dims; d++) {
            static const int32_t starts[] = {0, 1, 50, 63, 64, 200};
            for (size_t s = 0; s < sizeof starts / sizeof *starts; s++) {
                int32_t rows = s == 0 ? 32 : 1 + below(32), first[32], last[32];
                for (int32_t row = 0; row < rows; row++) {
                    first[row] = 0;
                    last[row] = starts[s] + row;
                }
                check_attention(table, head_dims[d], s % 2, s == 2 ? 2.0f : 0.0f, rows, first, last);
            }
        }
    }
}

TEST(attention_of_a_few_rows_in_windows)
{
    FOR_TABLES (table) {
        for (int32_t rows = 1; rows <= 8; rows++) {
            for (int trial = 0; trial < 8; trial++) {
                int32_t first[8], last[8];
                for (int32_t row = 0; row < rows; row++) {
                    last[row] = below(POSITIONS);
                    first[row] = trial % 2 ? last[row] - below(40) : below(last[row] + 1);
                    first[row] = first[row] < 0 ? 0 : first[row];
                }
                check_attention(table, trial < 4 ? 64 : 16, trial % 3 == 0, 0.0f, rows, first, last);
            }
        }
    }
}

TEST(attention_survives_great_scores)
{
    FOR_TABLES (table) {
        cache c = make_cache(table, 16, true, 0, 99);
        float query[16], out[16], *outs = out;
        const float *queries = query;
        int32_t first = 0, last = 99;
        void *scratch = aligned(table->attend_scratch(100, 16));
        ltlm_attention job = {.rows = 1,
                              .head_dim = 16,
                              .wide = true,
                              .pages = c.table,
                              .values = c.size,
                              .query = &queries,
                              .out = &outs,
                              .first = &first,
                              .last = &last,
                              .scale = 1.0f,
                              .scratch = scratch};
        fill(query, 16, 1e4f);
        table->attend(&job);
        for (int i = 0; i < 16; i++) {
            ASSERT(isfinite(out[i]));
        }
        query[3] = NAN; /* any answer, but an answer */
        table->attend(&job);
        query[3] = INFINITY;
        table->attend(&job);
        free(scratch);
        free_cache(&c);
    }
}

/* ---- rows ---- */

static double reference_function(int32_t function, double x)
{
    switch (function) {
    case LTLM_NEG: return -x;
    case LTLM_ABS: return fabs(x);
    case LTLM_EXP: return exp(x);
    case LTLM_LOG: return log(x);
    case LTLM_SQRT: return sqrt(x);
    case LTLM_RSQRT: return 1.0 / sqrt(x);
    case LTLM_SQUARE: return x * x;
    case LTLM_TANH: return tanh(x);
    case LTLM_LOGISTIC: return 1.0 / (1.0 + exp(-x));
    case LTLM_COS: return cos(x);
    case LTLM_SIN: return sin(x);
    case LTLM_ACT_SILU: return x / (1.0 + exp(-x));
    case LTLM_ACT_GELU: return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
    case LTLM_ACT_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(sqrt(2.0 / acos(-1.0)) * (x + 0.044715 * x * x * x)));
    case LTLM_ACT_RELU: return x > 0.0 ? x : 0.0;
    case LTLM_FLOOR: return floor(x);
    default: return rint(x);
    }
}

static const int32_t lengths[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 64, 100, 257, 1000};

enum { LENGTHS = sizeof lengths / sizeof *lengths };

TEST(functions_are_near_their_values)
{
    FOR_TABLES (table) {
        for (int32_t function = LTLM_NEG; function <= LTLM_ROUND; function++) {
            bool positive = function == LTLM_LOG || function == LTLM_SQRT || function == LTLM_RSQRT;
            for (int l = 0; l < LENGTHS; l++) {
                int32_t n = lengths[l];
                guarded x = guard((size_t)n * sizeof(float)), out = guard((size_t)n * sizeof(float));
                float *values = x.data, *results = out.data;
                fill(values, n, l % 3 == 0 ? 0.5f : l % 3 == 1 ? 4.0f : 20.0f);
                for (int32_t i = 0; positive && i < n; i++) {
                    values[i] = fabsf(values[i]) + 1e-3f;
                }
                table->unary(function, values, n, results);
                for (int32_t i = 0; i < n; i++) {
                    double wanted = reference_function(function, values[i]);
                    assert_near("a function", table->name, wanted, results[i],
                                2e-6 * fabs(wanted) + 2e-7 * fmin(fabs((double)values[i]), 10.0) + 1e-37);
                }
                table->unary(function, values, n, values);
                ASSERT(same_bits(values, results, (size_t)n));
                unguard(&x);
                unguard(&out);
            }
        }
    }
}

TEST(functions_have_their_limits)
{
    FOR_TABLES (table) {
        float x[] = {-INFINITY, -200.0f, 0.0f, 200.0f, INFINITY, NAN}, out[6];
        table->unary(LTLM_EXP, x, 6, out);
        ASSERT(out[0] == 0.0f && out[1] == 0.0f && out[2] == 1.0f && isinf(out[3]) && isinf(out[4]) &&
               isnan(out[5]));
        table->unary(LTLM_TANH, x, 6, out);
        for (int i = 0; i < 5; i++) {
            assert_near("tanh", table->name, tanh((double)x[i]), out[i], 1e-6);
        }
        ASSERT(isnan(out[5]));
        table->unary(LTLM_LOGISTIC, x, 6, out);
        ASSERT(out[0] == 0.0f && out[1] == 0.0f && out[2] == 0.5f && out[3] == 1.0f && out[4] == 1.0f &&
               isnan(out[5]));
        float denormal = -87.5f;
        table->unary(LTLM_EXP, &denormal, 1, out);
        ASSERT(out[0] > 0.0f && out[0] < 1.2e-38f);
    }
}

TEST(a_gate_is_an_activation_times_its_other_side)
{
    static const int32_t functions[] = {LTLM_ACT_SILU, LTLM_ACT_GELU, LTLM_ACT_GELU_TANH, LTLM_LOGISTIC,
                                        LTLM_ACT_RELU};
    FOR_TABLES (table) {
        for (int32_t activation = LTLM_SILU; activation <= LTLM_RELU; activation++) {
            for (int l = 0; l < LENGTHS; l++) {
                int32_t n = lengths[l];
                guarded x = guard((size_t)n * sizeof(float)), y = guard((size_t)n * sizeof(float));
                float *a = x.data, *b = y.data, out[1000];
                fill(a, n, 3.0f);
                fill(b, n, 1.0f);
                table->gate(activation, a, b, n, out);
                for (int32_t i = 0; i < n; i++) {
                    double wanted = reference_function(functions[activation - 1], a[i]) * (double)b[i];
                    assert_near("a gate", table->name, wanted, out[i],
                                2e-6 * fabs((double)a[i] * b[i]) + 1e-6 * fabs(wanted));
                }
                table->gate(activation, a, b, n, b);
                ASSERT(same_bits(b, out, (size_t)n));
                unguard(&x);
                unguard(&y);
            }
        }
    }
}

TEST(norms_and_sums_and_products_of_rows)
{
    FOR_TABLES (table) {
        for (int l = 0; l < LENGTHS; l++) {
            int32_t n = lengths[l];
            guarded x = guard((size_t)n * sizeof(float)), y = guard((size_t)n * sizeof(float));
            float *a = x.data, *b = y.data, out[1000];
            fill(a, n, 3.0f);
            fill(b, n, 1.0f);
            double mean = 0.0;
            for (int32_t i = 0; i < n; i++) {
                mean += (double)a[i] * (double)a[i] / n;
            }
            double factor = 1.0 / sqrt(mean + (double)1e-6f);
            table->rms_norm(a, b, n, 1e-6f, out);
            for (int32_t i = 0; i < n; i++) {
                double wanted = a[i] * factor * b[i];
                assert_near("rms_norm", table->name, wanted, out[i], 2e-6 * fabs(wanted));
            }
            table->rms_norm(a, NULL, n, 1e-6f, out);
            for (int32_t i = 0; i < n; i++) {
                assert_near("rms_norm", table->name, a[i] * factor, out[i], 2e-6 * fabs(a[i] * factor));
            }
            table->add(a, b, n, out);
            for (int32_t i = 0; i < n; i++) {
                ASSERT(out[i] == a[i] + b[i]);
            }
            table->mul(a, b, n, out);
            for (int32_t i = 0; i < n; i++) {
                ASSERT(out[i] == a[i] * b[i]);
            }
            table->mul(a, b, n, a);
            ASSERT(same_bits(a, out, (size_t)n));
            unguard(&x);
            unguard(&y);
        }
    }
}

TEST(rope_turns_pairs)
{
    FOR_TABLES (table) {
        for (int32_t n = 8; n <= 264; n += 8) {
            guarded x = guard((size_t)n * sizeof(float)), c = guard((size_t)n * sizeof(float));
            guarded s = guard((size_t)n * sizeof(float));
            float *a = x.data, *cosine = c.data, *sine = s.data, out[264];
            fill(a, n, 2.0f);
            fill(cosine, n, 1.0f);
            fill(sine, n, 1.0f);
            table->rope(a, cosine, sine, n, out);
            for (int32_t i = 0; i < n; i++) {
                double other = i < n / 2 ? -(double)a[i + n / 2] : (double)a[i - n / 2];
                assert_near("rope", table->name, (double)a[i] * cosine[i] + other * sine[i], out[i], 2e-6);
            }
            table->rope(a, cosine, sine, n, a);
            ASSERT(same_bits(a, out, (size_t)n));
            unguard(&x);
            unguard(&c);
            unguard(&s);
        }
    }
}

TEST(softmax_and_the_log_of_its_sum)
{
    FOR_TABLES (table) {
        for (int l = 0; l < LENGTHS; l++) {
            int32_t n = lengths[l];
            guarded x = guard((size_t)n * sizeof(float));
            float *a = x.data, out[1000];
            fill(a, n, 8.0f);
            for (int32_t i = 0; i < n; i++) {
                a[i] += l % 2 ? 300.0f : -300.0f;
            }
            double total = 0.0;
            for (int32_t i = 0; i < n; i++) {
                total += exp((double)a[i] - (double)a[0]);
            }
            assert_near("log_sum_exp", table->name, a[0] + log(total), table->log_sum_exp(a, n), 4e-5);
            table->softmax(a, n, out);
            for (int32_t i = 0; i < n; i++) {
                double wanted = exp((double)a[i] - (double)a[0]) / total;
                assert_near("softmax", table->name, wanted, out[i], 3e-6 * wanted + 1e-30);
            }
            table->softmax(a, n, a);
            ASSERT(same_bits(a, out, (size_t)n));
            unguard(&x);
        }
        float hidden[] = {-INFINITY, 1.0f, -INFINITY}, out[3];
        table->softmax(hidden, 3, out);
        ASSERT(out[0] == 0.0f && out[1] == 1.0f && out[2] == 0.0f);
        ASSERT(table->log_sum_exp(hidden, 3) == 1.0f);
        float all_hidden[] = {-INFINITY, -INFINITY};
        ASSERT(table->log_sum_exp(all_hidden, 2) == -INFINITY);
    }
}

TEST(argmax_is_the_first_of_the_greatest)
{
    FOR_TABLES (table) {
        for (int l = 0; l < LENGTHS; l++) {
            int32_t n = lengths[l];
            guarded x = guard((size_t)n * sizeof(float));
            float *a = x.data;
            fill(a, n, 1.0f);
            for (int trial = 0; trial < 20; trial++) {
                int32_t one = below(n), two = below(n);
                float before = a[one], after = a[two];
                a[one] = a[two] = 9.0f;
                ASSERT_INT(one < two ? one : two, table->argmax(a, n));
                a[two] = after;
                a[one] = before;
            }
            for (int32_t i = 0; i < n; i++) {
                a[i] = NAN;
            }
            ASSERT_INT(0, table->argmax(a, n));
            a[n - 1] = -INFINITY;
            ASSERT_INT(n - 1, table->argmax(a, n));
            unguard(&x);
        }
    }
}

TEST(a_table_is_chosen_by_name)
{
    ASSERT(ltlm_kernels_choose("no such table") == NULL);
    ASSERT(ltlm_kernels_choose("portable") == ltlm_kernels_portable());
    ASSERT(ltlm_kernels_choose(NULL) != NULL);
    FOR_TABLES (table) {
        ASSERT(ltlm_kernels_choose(table->name) == table);
    }
}

TESTS(RUN(products_of_integers_equal_the_portable_ones_bit_for_bit) //
      RUN(products_are_what_the_numbers_say)                        //
      RUN(a_row_has_the_same_product_whatever_is_computed_with_it)  //
      RUN(weights_may_lie_at_any_address)                           //
      RUN(the_greatest_sums_fit)                                    //
      RUN(activations_are_quantised_as_the_portable_ones)           //
      RUN(sums_of_weights_are_exact)
      RUN(sums_of_blocks_are_scaled)                                //
      RUN(an_embedding_is_a_row_of_its_table)                       //
      RUN(damaged_numbers_neither_crash_nor_spread_to_other_rows)   //
      RUN(halves_are_rounded_to_the_nearest)                        //
      RUN(keys_and_values_are_stored_alike_by_all_tables)           //
      RUN(attention_of_a_prompt)                                    //
      RUN(attention_of_a_few_rows_in_windows)                       //
      RUN(attention_survives_great_scores)                          //
      RUN(functions_are_near_their_values)                          //
      RUN(functions_have_their_limits)                              //
      RUN(a_gate_is_an_activation_times_its_other_side)             //
      RUN(norms_and_sums_and_products_of_rows)                      //
      RUN(rope_turns_pairs)                                         //
      RUN(softmax_and_the_log_of_its_sum)                           //
      RUN(argmax_is_the_first_of_the_greatest)                      //
      RUN(a_table_is_chosen_by_name))
