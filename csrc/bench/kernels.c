/* How fast the kernels are, on one thread, in processor time; each line is the best of several runs, and
 * every table's runs alternate with the others', because a machine's speed changes by the minute.
 *
 *   gcc -std=c11 -D_POSIX_C_SOURCE=200809L -O2 -Icsrc csrc/bench/kernels.c csrc/native/kernels/[a-z]*.c -lm
 *   ./a.out [table ...]
 *
 * Products: weights in GB/s for 1 to 8 rows, which is what decoding asks for; multiplications in GMAC/s from
 * 8 rows on, which is what prompts ask for. Weights are spread over so many matrices that no cache holds
 * them. Attention: a prompt of 256 and of 1900 tokens, 2 query heads to a kv head; then decoding at that
 * length.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "native/kernels.h"

enum { MOST_TABLES = 8, ROUNDS = 5 };

static const ltlm_kernels *tables[MOST_TABLES];
static int table_count;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *aligned(size_t size)
{
    void *p = NULL;
    if (posix_memalign(&p, 1 << 21, (size + (1 << 21)) >> 21 << 21)) {
        abort();
    }
    memset(p, 1, size);
    return p;
}

static uint32_t state = 1;

static float number(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return (float)(state >> 8) * 0x1p-23f - 1.0f;
}

/* ---- products ---- */

typedef struct {
    const char *name;
    int32_t format, rows, columns;
    bool float_activations;
} shape;

static const shape shapes[] = {
    {"0.6B q", LTLM_INT8, 2048, 1024, false},
    {"0.6B down", LTLM_INT8, 1024, 3072, false},
    {"0.6B head", LTLM_INT8, 151936, 1024, false},
    {"270M gate", LTLM_INT8, 2048, 640, false},
    {"1B gate int4", LTLM_INT4, 6912, 1152, false},
    {"1B down int4", LTLM_INT4, 1152, 6912, false},
    {"1B gate blocks", LTLM_INT4_BLOCK, 8192, 2048, false},
    {"1B down blocks", LTLM_INT4_BLOCK, 2048, 8192, false},
    {"0.6B q int8, float x", LTLM_INT8, 2048, 1024, true},
    {"float", LTLM_FLOAT32, 1024, 1024, false},
};

static const int32_t row_counts[] = {1, 2, 4, 8, 12, 16, 32, 128, 256, 512};

enum { ROW_COUNTS = sizeof row_counts / sizeof *row_counts, MOST_ROWS = 512 };

static size_t matrix_bytes(const shape *s)
{
    size_t weights = (size_t)s->rows * (size_t)s->columns;
    return s->format == LTLM_FLOAT32 ? 4 * weights : s->format == LTLM_INT8 ? weights : weights / 2;
}

/* Seconds of one pass over all matrices. */
static double time_products(const ltlm_kernels *table, const shape *s, const uint8_t *data,
                            const void *scales, int copies, int32_t rows, const float *x, float *out)
{
    int32_t format = s->float_activations ? LTLM_FLOAT32 : s->format;
    ltlm_quantised quantised[MOST_ROWS];
    ltlm_activations a = {.rows = rows,
                          .columns = s->columns,
                          .floats = x,
                          .stride = (size_t)s->columns,
                          .bytes = aligned(table->activation_bytes(format, rows, s->columns)),
                          .quantised = quantised};
    ltlm_weights w = {.format = s->format,
                      .rows = s->rows,
                      .columns = s->columns,
                      .scales = scales,
                      .float_activations = s->float_activations};
    int32_t *sums = calloc((size_t)s->rows, sizeof *sums);
    float *block_sums = calloc((size_t)s->rows, sizeof *block_sums);
    w.data = data;
    if (s->format == LTLM_INT4_BLOCK && table->sum_blocks) {
        table->sum_blocks(&w, 0, s->rows, block_sums);
        w.block_sums = block_sums;
    } else if (s->format != LTLM_INT4_BLOCK && s->format != LTLM_FLOAT32) {
        w.has_least = table->sum_weights(&w, 0, s->rows, sums);
        w.sums = sums;
    }
    void *scratch = aligned(table->multiply_scratch(format, s->columns));
    double begin = now();
    for (int32_t row = 0; row < rows; row++) {
        table->prepare(format, &a, row);
    }
    for (int i = 0; i < copies; i++) {
        w.data = data + (size_t)i * matrix_bytes(s);
        /* In pieces, as threads take them. */
        int32_t step = 128;
        for (int32_t from = 0; from < s->rows; from += step) {
            int32_t to = from + step < s->rows ? from + step : s->rows;
            table->multiply(&w, &a, from, to, NULL, out, (size_t)s->rows, scratch);
        }
    }
    double seconds = now() - begin;
    free(a.bytes);
    free(sums);
    free(block_sums);
    free(scratch);
    return seconds;
}

static void bench_products(const shape *s)
{
    size_t bytes = matrix_bytes(s), wanted = (size_t)160 << 20;
    int most = (int)(wanted / bytes) + 1;
    uint8_t *data = aligned(bytes * (size_t)most);
    for (size_t i = 0; s->format != LTLM_FLOAT32 && i < bytes * (size_t)most / 4; i++) {
        number();
        memcpy(data + 4 * i, &state, 4);
    }
    for (size_t i = 0; s->format == LTLM_INT8 && i < bytes * (size_t)most; i++) {
        data[i] = data[i] == 0x80 ? 0x81 : data[i]; /* as models are quantised */
    }
    size_t scale_count = (size_t)s->rows * (size_t)(s->columns / 32 + 1);
    float *scales = aligned(scale_count * 4);
    for (size_t i = 0; i < scale_count; i++) {
        scales[i] = 0.01f;
    }
    float *x = aligned((size_t)MOST_ROWS * (size_t)s->columns * 4), *out;
    out = aligned((size_t)MOST_ROWS * (size_t)s->rows * 4);
    for (int32_t i = 0; i < MOST_ROWS * s->columns; i++) {
        x[i] = number();
    }
    for (int r = 0; r < ROW_COUNTS && (s->rows < 100000 || row_counts[r] <= 4); r++) {
        int copies = row_counts[r] <= 8 ? most : row_counts[r] <= 32 ? most / 4 + 1 : most / 16 + 1;
        double best[MOST_TABLES];
        for (int round = 0; round < ROUNDS; round++) {
            for (int t = 0; t < table_count; t++) {
                double seconds = time_products(tables[t], s, data, scales, copies, row_counts[r], x, out);
                best[t] = round && best[t] < seconds ? best[t] : seconds;
            }
        }
        printf("%-21s %6d x %5d %4d rows", s->name, s->rows, s->columns, row_counts[r]);
        for (int t = 0; t < table_count; t++) {
            double read = (double)bytes * copies / best[t] * 1e-9;
            double macs = (double)s->rows * s->columns * row_counts[r] * copies / best[t] * 1e-9;
            printf("  %s %6.1f %s", tables[t]->name, row_counts[r] <= 8 ? read : macs,
                   row_counts[r] <= 8 ? "GB/s" : "GMAC/s");
        }
        printf("\n");
        fflush(stdout);
    }
    free(data);
    free(scales);
    free(x);
    free(out);
}

/* ---- attention ---- */

enum { HEAD_DIM = 128, HEADS = 2, MOST_POSITIONS = 2048 };

typedef struct {
    const uint8_t *pages[MOST_POSITIONS / LTLM_PAGE];
    size_t values;
    float *queries, *out;
    void *scratch;
} attention;

static void attend(const ltlm_kernels *table, const attention *a, int32_t first_position, int32_t positions)
{
    const float *query[LTLM_QUERY_BLOCK];
    float *out[LTLM_QUERY_BLOCK];
    int32_t first[LTLM_QUERY_BLOCK] = {0}, last[LTLM_QUERY_BLOCK], rows = positions * HEADS;
    for (int32_t row = 0; row < rows; row++) {
        query[row] = a->queries + row * HEAD_DIM;
        out[row] = a->out + row * HEAD_DIM;
        last[row] = first_position + row / HEADS;
    }
    ltlm_attention job = {.rows = rows,
                          .head_dim = HEAD_DIM,
                          .pages = a->pages,
                          .values = a->values,
                          .query = query,
                          .out = out,
                          .first = first,
                          .last = last,
                          .scale = 0.088f,
                          .scratch = a->scratch};
    table->attend(&job);
}

static void bench_attention(int32_t length)
{
    attention a = {.values = LTLM_PAGE * HEAD_DIM * 2};
    uint8_t *pages = aligned((size_t)MOST_POSITIONS * HEAD_DIM * 4);
    float row[HEAD_DIM];
    for (int32_t p = 0; p < MOST_POSITIONS; p++) {
        uint8_t *page = pages + (size_t)(p / LTLM_PAGE) * 2 * a.values;
        a.pages[p / LTLM_PAGE] = page;
        for (int i = 0; i < HEAD_DIM; i++) {
            row[i] = number();
        }
        tables[0]->store_key(row, HEAD_DIM, false, page, p % LTLM_PAGE);
        tables[0]->store_value(row, HEAD_DIM, false, page + a.values, p % LTLM_PAGE);
    }
    a.queries = aligned(LTLM_QUERY_BLOCK * HEAD_DIM * 4);
    a.out = aligned(LTLM_QUERY_BLOCK * HEAD_DIM * 4);
    for (int i = 0; i < LTLM_QUERY_BLOCK * HEAD_DIM; i++) {
        a.queries[i] = number();
    }
    const int32_t block = LTLM_QUERY_BLOCK / HEADS;
    double prompt[MOST_TABLES], decode[MOST_TABLES];
    for (int round = 0; round < ROUNDS; round++) {
        for (int t = 0; t < table_count; t++) {
            a.scratch = aligned(tables[t]->attend_scratch(MOST_POSITIONS, HEAD_DIM));
            double begin = now();
            for (int32_t p = 0; p + block <= length; p += block) {
                attend(tables[t], &a, p, block);
            }
            double middle = now();
            for (int i = 0; i < 100; i++) {
                attend(tables[t], &a, length - 1, 1);
            }
            double end = now();
            prompt[t] = round && prompt[t] < middle - begin ? prompt[t] : middle - begin;
            decode[t] = round && decode[t] < end - middle ? decode[t] : end - middle;
            free(a.scratch);
        }
    }
    for (int t = 0; t < table_count; t++) {
        double macs = (double)length * length * HEADS * HEAD_DIM; /* half of all pairs, twice */
        printf("attention, %4d positions, %-12s prompt %7.3f ms, %6.1f GMAC/s  decode %7.2f us, %5.1f GB/s\n",
               length, tables[t]->name, prompt[t] * 1e3, macs / prompt[t] * 1e-9, decode[t] * 1e4,
               (double)length * HEAD_DIM * 4 * 100 / decode[t] * 1e-9);
    }
    free(pages);
    free(a.queries);
    free(a.out);
}

int main(int count, char **names)
{
    for (int i = 1; i < count && table_count < MOST_TABLES; i++) {
        tables[table_count] = ltlm_kernels_choose(names[i]);
        if (!tables[table_count++]) {
            fprintf(stderr, "no table %s for this CPU\n", names[i]);
            return 1;
        }
    }
    if (!table_count) {
        tables[table_count++] = ltlm_kernels_choose(NULL);
    }
    bench_attention(256);
    bench_attention(1900);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        bench_products(&shapes[i]);
    }
    return 0;
}
