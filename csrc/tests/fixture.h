/* fixture.h - a library and an engine over the stub. */
#ifndef LTLM_FIXTURE_H
#define LTLM_FIXTURE_H

#include <dlfcn.h>

#include "ltlm.h"
#include "stub_engine.h"
#include "testing.h"

typedef struct {
    ltlm_library *library;
    ltlm_engine *engine;
    stub_control *stub;
    ltlm_error err;
} fixture;

#define USER_MESSAGE "{\"role\":\"user\",\"content\":\"Hi\"}"

static inline ltlm_engine_options engine_options(void)
{
    return (ltlm_engine_options){.path = "model.litertlm", .fd = -1, .backend = "cpu", .threads = 2};
}

/* The stub's state, through the same file that ltlm_library_open loads. */
static inline stub_control *stub_of(const char *library)
{
    void *shared = dlopen(test_library(library), RTLD_NOW | RTLD_LOCAL);
    ASSERT(shared);
    stub_control *(*reset)(void);
    void *symbol = dlsym(shared, "stub_reset");
    memcpy(&reset, &symbol, sizeof reset);
    return reset();
}

static inline void open_library(fixture *self, const char *library)
{
    *self = (fixture){.stub = stub_of(library)};
    ASSERT_INT(LTLM_OK, ltlm_library_open(test_library(library), &self->library, &self->err));
}

static inline void open_engine_of(fixture *self, const char *library)
{
    ltlm_engine_options options = engine_options();
    open_library(self, library);
    ASSERT_INT(LTLM_OK, ltlm_engine_create(self->library, &options, &self->engine, &self->err));
}

static inline void open_engine(fixture *self) { open_engine_of(self, "libstub-engine.so"); }

static inline void close_all(fixture *self)
{
    ASSERT_INT(LTLM_OK, ltlm_engine_delete(self->engine, &self->err));
    ASSERT_INT(LTLM_OK, ltlm_library_close(self->library, &self->err));
    ASSERT_INT(0, self->stub->live);
}

/* Lets the function of that name fail from now on. */
static inline void let_fail(fixture *self, const char *name, int code, const char *message)
{
    self->stub->fail = name;
    self->stub->fail_code = code;
    self->stub->fail_message = message;
}

/* Takes to the end; gives the number of chunks and the end. */
static inline int take_all(ltlm_stream *stream, ltlm_error *end)
{
    ltlm_batch batch;
    int count = 0;
    do {
        ASSERT_INT(LTLM_OK, ltlm_stream_take(stream, 1, 0, -1, &batch));
        count += batch.count;
    } while (!batch.ended);
    *end = batch.end;
    return count;
}

#endif /* LTLM_FIXTURE_H */
