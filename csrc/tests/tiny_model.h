/* tiny_model.h - a plan made by hand, of every op, format and kind of cache, with random weights in a file.
 */
#ifndef LTLM_TINY_MODEL_H
#define LTLM_TINY_MODEL_H

#include <math.h>
#include <unistd.h>

#include "native/executor.h"
#include "testing.h"

#ifndef TINY_SIZES
#define TINY_SIZES HIDDEN = 64, FEED = 96, HEADS = 4, HEAD = 16, VOCABULARY = 200
#endif
enum { TINY_SIZES, CONTEXT = 96, WINDOW = 8 };

typedef struct {
    ltlm_plan plan; /* points at what follows */
    ltlm_matrix matrices[64];
    float floats[2048];
    ltlm_constant constants[32];
    int32_t widths[256];
    ltlm_cache caches[4];
    ltlm_step steps[256];
    uint8_t *file;
    uint64_t file_size, file_room;
    int fd;
    uint32_t random;
} tiny_model;

static uint32_t tiny_random(tiny_model *m)
{
    m->random = m->random * 1664525u + 1013904223u;
    return m->random >> 8;
}

static float tiny_float(tiny_model *m) { return (float)tiny_random(m) / (float)(1 << 23) - 1.0f; }

static int32_t tiny_value(tiny_model *m, int32_t width)
{
    m->widths[m->plan.value_count] = width;
    return (int32_t)m->plan.value_count++;
}

/* A constant of `width` floats around `middle`. */
static int32_t tiny_constant(tiny_model *m, int32_t width, float middle)
{
    m->constants[m->plan.constant_count] = (ltlm_constant){.offset = m->plan.float_count, .width = width};
    for (int32_t i = 0; i < width; i++) {
        m->floats[m->plan.float_count++] = middle + 0.3f * tiny_float(m);
    }
    return ~(int32_t)m->plan.constant_count++;
}

static void tiny_append(tiny_model *m, const void *bytes, size_t size)
{
    if (m->file_size + size > m->file_room) { /* byte by byte it would take sanitizers minutes */
        m->file_room = 2 * (m->file_size + size) + 65536;
        m->file = realloc(m->file, m->file_room);
        ASSERT(m->file);
    }
    memcpy(m->file + m->file_size, bytes, size);
    m->file_size += size;
}

static uint16_t tiny_half(float x) /* normal numbers only */
{
    union {
        float number;
        uint32_t bits;
    } u = {x};
    return (uint16_t)((u.bits >> 16 & 0x8000) | (((u.bits >> 23 & 255) - 112) << 10) |
                      (u.bits >> 13 & 0x3ff));
}

static int32_t tiny_matrix(tiny_model *m, int32_t format, int32_t rows, int32_t columns, bool floats)
{
    static const int32_t bits[] = {0, 8, 4, 2, 4, 32};
    ltlm_matrix *matrix = &m->matrices[m->plan.matrix_count];
    *matrix = (ltlm_matrix){.format = format, .rows = rows, .columns = columns, .float_activations = floats};
    tiny_append(m, "odd", 3); /* nothing is aligned */
    matrix->data = m->file_size;
    for (int32_t i = 0; i < rows * columns * bits[format] / 8; i++) {
        uint8_t byte = (uint8_t)tiny_random(m);
        tiny_append(m, &byte, 1);
    }
    for (int32_t i = 0; format == LTLM_FLOAT32 && i < rows * columns; i++) {
        float weight = 0.1f * tiny_float(m);
        memcpy(m->file + matrix->data + (size_t)i * 4, &weight, 4);
    }
    matrix->scales = m->file_size;
    matrix->scale_count = format == LTLM_FLOAT32 ? 0 : format == LTLM_INT4_BLOCK ? rows * columns / 32 : rows;
    float largest = bits[format] == 8 ? 127 : bits[format] == 4 ? 8 : 2;
    for (int32_t i = 0; i < matrix->scale_count; i++) {
        float scale = (1.2f + tiny_float(m)) * 0.15f / largest;
        uint16_t half = tiny_half(scale);
        tiny_append(m, format == LTLM_INT4_BLOCK ? (void *)&half : (void *)&scale,
                    format == LTLM_INT4_BLOCK ? sizeof half : sizeof scale);
    }
    return (int32_t)m->plan.matrix_count++;
}

static ltlm_step *tiny_step(tiny_model *m, int32_t op)
{
    ltlm_step *step = &m->steps[m->plan.step_count++];
    *step = (ltlm_step){.op = op, .shape = {1, 1, 1, 1}};
    for (int32_t i = 0; i < 4; i++) {
        step->in[i] = step->out[i] = step->bias[i] = LTLM_NONE;
    }
    return step;
}

/* A step of up to two inputs, in groups; its output. */
static int32_t tiny_op(tiny_model *m, int32_t op, int32_t function, int32_t a, int32_t b, int32_t groups,
                       int32_t size, int32_t width)
{
    ltlm_step *step = tiny_step(m, op);
    step->function = function;
    step->in[0] = a;
    step->in[1] = b;
    step->shape[0] = groups;
    step->shape[1] = size;
    return step->out[0] = tiny_value(m, width);
}

static int32_t tiny_norm(tiny_model *m, int32_t x, int32_t groups, int32_t size, bool weighted)
{
    int32_t weight = weighted ? tiny_constant(m, size, 1.0f) : LTLM_NONE;
    int32_t out = tiny_op(m, LTLM_OP_RMS_NORM, 0, x, weight, groups, size, groups * size);
    m->steps[m->plan.step_count - 1].f[0] = 1e-6f;
    return out;
}

static int32_t tiny_add(tiny_model *m, int32_t a, int32_t b, int32_t width)
{
    int32_t out = tiny_op(m, LTLM_OP_BINARY, LTLM_ADD, a, b, 1, 1, width);
    ltlm_step *step = &m->steps[m->plan.step_count - 1];
    step->shape[3] = width;
    step->stride_a[3] = step->stride_b[3] = 1;
    return out;
}

/* out[i] = x times new matrices of `rows` rows. */
static void tiny_linear(tiny_model *m, int32_t x, int32_t count, int32_t format, const int32_t *rows,
                        bool floats, bool biased, int32_t *out)
{
    int32_t matrices[4], biases[4];
    for (int32_t i = 0; i < count; i++) {
        matrices[i] = tiny_matrix(m, format, rows[i], m->widths[x], floats);
        biases[i] = biased ? tiny_constant(m, rows[i], 0.0f) : LTLM_NONE;
    }
    ltlm_step *step = tiny_step(m, LTLM_OP_LINEAR);
    step->in[0] = x;
    step->count = count;
    for (int32_t i = 0; i < count; i++) {
        step->matrix[i] = matrices[i];
        step->bias[i] = biases[i];
        out[i] = step->out[i] = tiny_value(m, rows[i]);
    }
}

/* Cosines and sines of the row's position: [HEAD] each. */
static void tiny_angles(tiny_model *m, int32_t *cosine, int32_t *sine)
{
    int32_t frequency = tiny_constant(m, HEAD / 2, 0.4f);
    int32_t position = tiny_op(m, LTLM_OP_POSITION, 0, LTLM_NONE, LTLM_NONE, 1, 1, 1);
    int32_t angle = tiny_op(m, LTLM_OP_BINARY, LTLM_MUL, position, frequency, 1, 1, HEAD / 2);
    ltlm_step *step = &m->steps[m->plan.step_count - 1];
    step->shape[3] = HEAD / 2;
    step->stride_b[3] = 1; /* stride_a is 0: the position for every frequency */
    int32_t twice = tiny_op(m, LTLM_OP_COPY, 0, angle, angle, 1, 1, HEAD);
    step = &m->steps[m->plan.step_count - 1];
    step->shape[3] = HEAD / 2;
    step->stride_a[3] = 1;
    *cosine = tiny_op(m, LTLM_OP_UNARY, LTLM_COS, twice, LTLM_NONE, 1, 1, HEAD);
    *sine = tiny_op(m, LTLM_OP_UNARY, LTLM_SIN, twice, LTLM_NONE, 1, 1, HEAD);
}

static int32_t tiny_rope(tiny_model *m, int32_t x, int32_t heads, int32_t cosine, int32_t sine)
{
    int32_t out = tiny_op(m, LTLM_OP_ROPE, 0, x, cosine, heads, HEAD, heads * HEAD);
    m->steps[m->plan.step_count - 1].in[2] = sine;
    return out;
}

static int32_t tiny_attend(tiny_model *m, int32_t query, int32_t cache, int32_t window, float softcap)
{
    int32_t out = tiny_op(m, LTLM_OP_ATTEND, 0, query, LTLM_NONE, HEADS, window, HEADS * HEAD);
    ltlm_step *step = &m->steps[m->plan.step_count - 1];
    step->cache = cache;
    step->f[0] = 0.25f;
    step->f[1] = softcap;
    return out;
}

/* Each of four groups times the mean of its softmax of squares, transposed: nothing a model has, but it uses
 * what other models may. */
static int32_t tiny_mixture(tiny_model *m, int32_t x)
{
    int32_t square = tiny_op(m, LTLM_OP_UNARY, LTLM_SQUARE, x, LTLM_NONE, 1, 1, HIDDEN);
    int32_t shares = tiny_op(m, LTLM_OP_SOFTMAX, 0, square, LTLM_NONE, 4, HIDDEN / 4, HIDDEN);
    int32_t most = tiny_op(m, LTLM_OP_REDUCE, LTLM_MAX, shares, LTLM_NONE, 4, HIDDEN / 4, 4);
    int32_t mixed = tiny_op(m, LTLM_OP_BINARY, LTLM_MUL, x, most, 1, 1, HIDDEN);
    ltlm_step *step = &m->steps[m->plan.step_count - 1];
    step->shape[2] = 4;
    step->shape[3] = HIDDEN / 4;
    step->stride_a[2] = HIDDEN / 4;
    step->stride_a[3] = step->stride_b[2] = 1;
    int32_t turned = tiny_op(m, LTLM_OP_COPY, 0, mixed, LTLM_NONE, 1, 1, HIDDEN);
    step = &m->steps[m->plan.step_count - 1];
    step->shape[2] = HIDDEN / 4;
    step->shape[3] = 4;
    step->stride_a[2] = 1;
    step->stride_a[3] = HIDDEN / 4;
    return turned;
}

/* One layer. `kv_heads` 0: it attends to the cache of the layer before. */
static int32_t tiny_layer(tiny_model *m, int32_t x, int32_t kv_heads, int32_t window, int32_t cosine,
                          int32_t sine)
{
    int32_t normed = tiny_norm(m, x, 1, HIDDEN, true), out[4], query;
    if (kv_heads > 0) {
        int32_t rows[] = {HEADS * HEAD, kv_heads * HEAD, kv_heads * HEAD};
        tiny_linear(m, normed, 3, LTLM_INT8, rows, false, true, out);
        query = tiny_rope(m, tiny_norm(m, out[0], HEADS, HEAD, true), HEADS, cosine, sine);
        int32_t key = tiny_rope(m, tiny_norm(m, out[1], kv_heads, HEAD, false), kv_heads, cosine, sine);
        ltlm_step *store = tiny_step(m, LTLM_OP_KV_STORE);
        store->in[0] = key;
        store->in[1] = out[2];
        store->cache = (int32_t)m->plan.cache_count;
        m->caches[m->plan.cache_count++] =
            (ltlm_cache){.kv_heads = kv_heads, .head_dim = HEAD, .window = window};
    } else {
        tiny_linear(m, normed, 1, LTLM_INT8, (int32_t[]){HEADS * HEAD}, true, false, out);
        query = tiny_rope(m, out[0], HEADS, cosine, sine);
    }
    int32_t seen =
        tiny_attend(m, query, (int32_t)m->plan.cache_count - 1, window, kv_heads == 1 ? 5.0f : 0.0f);
    tiny_linear(m, seen, 1, LTLM_INT4, (int32_t[]){HIDDEN}, false, false, out);
    x = tiny_add(m, x, out[0], HIDDEN);
    tiny_linear(m, tiny_norm(m, x, 1, HIDDEN, true), 2, kv_heads == 1 ? LTLM_INT2 : LTLM_INT8,
                (int32_t[]){FEED, FEED}, false, false, out);
    int32_t gated = tiny_op(m, LTLM_OP_GATE, 0, out[0], out[1], LTLM_SILU, 1, FEED);
    tiny_linear(m, gated, 1, LTLM_INT4_BLOCK, (int32_t[]){HIDDEN}, false, false, out);
    return tiny_add(m, x, tiny_mixture(m, out[0]), HIDDEN);
}

static void tiny_write(tiny_model *m)
{
    char path[] = "/tmp/tiny-model-XXXXXX";
    m->fd = mkstemp(path);
    ASSERT(m->fd >= 0);
    unlink(path);
    ASSERT(write(m->fd, m->file, m->file_size) == (ssize_t)m->file_size);
}

/* Three layers: a window, all with one kv head and a soft cap, and one that shares that cache. */
static tiny_model *tiny_create(void)
{
    tiny_model *m = calloc(1, sizeof *m);
    int32_t cosine, sine, out[4];
    m->random = 7;
    m->plan = (ltlm_plan){.matrices = m->matrices,
                          .floats = m->floats,
                          .constants = m->constants,
                          .widths = m->widths,
                          .caches = m->caches,
                          .steps = m->steps,
                          .vocabulary = VOCABULARY,
                          .max_context = CONTEXT};
    int32_t table = tiny_matrix(m, LTLM_INT4, VOCABULARY, HIDDEN, false);
    int32_t x = tiny_op(m, LTLM_OP_EMBED, 0, LTLM_NONE, LTLM_NONE, 1, 1, HIDDEN);
    m->steps[0].matrix[0] = table;
    m->steps[0].f[0] = 8.0f;
    tiny_angles(m, &cosine, &sine);
    x = tiny_layer(m, x, 2, WINDOW, cosine, sine);
    x = tiny_layer(m, x, 1, 0, cosine, sine);
    x = tiny_layer(m, x, 0, 0, cosine, sine);
    tiny_linear(m, tiny_norm(m, x, 1, HIDDEN, true), 1, LTLM_FLOAT32, (int32_t[]){VOCABULARY}, true, false,
                out);
    m->plan.logits = out[0];
    tiny_write(m);
    return m;
}

static inline void tiny_delete(tiny_model *m)
{
    close(m->fd);
    free(m->file);
    free(m);
}

#endif /* LTLM_TINY_MODEL_H */
