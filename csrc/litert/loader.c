/* loader.c - finds the engine library's functions, and says which one is missing. */
#include "../alloc.h"
#include "internal.h"

typedef struct {
    const char *name;
    size_t offset;       /* of its slot in ltlm__engine_api */
    uint64_t capability; /* 0: required */
} wanted_function;

#define ROW(name, capability) {"litert_lm_" #name, offsetof(ltlm__engine_api, name), capability},

static const wanted_function wanted[] = {
#define X(result, name, parameters) ROW(name, 0)
    LTLM__REQUIRED_FUNCTIONS(X)
#undef X
#define X(result, name, parameters) ROW(name, LTLM_CAN_CLONE)
    LTLM__CLONE_FUNCTIONS(X)
#undef X
#define X(result, name, parameters) ROW(name, LTLM_CAN_CHECKPOINT)
    LTLM__CHECKPOINT_FUNCTIONS(X)
#undef X
#define X(result, name, parameters) ROW(name, LTLM_CAN_SCORE)
    LTLM__SCORE_FUNCTIONS(X)
#undef X
#define X(result, name, parameters) ROW(name, LTLM_CAN_BENCHMARK)
    LTLM__BENCHMARK_FUNCTIONS(X)
#undef X
#define X(result, name, parameters) ROW(name, LTLM_CAN_OPEN_FD)
    LTLM__OPEN_FD_FUNCTIONS(X)
#undef X
#define X(result, name, parameters) ROW(name, LTLM_CAN_VISUAL_BUDGET)
    LTLM__VISUAL_BUDGET_FUNCTIONS(X)
#undef X
#define X(result, name, parameters) ROW(name, LTLM_CAN_CONSTRAIN)
    LTLM__CONSTRAIN_FUNCTIONS(X)
#undef X
#define X(result, name, parameters) ROW(name, LTLM_CAN_PENALIZE)
    LTLM__PENALIZE_FUNCTIONS(X)
#undef X
#define X(result, name, parameters) ROW(name, LTLM_CAN_THINK)
    LTLM__THINK_FUNCTIONS(X)
#undef X
};

/* The C interface that calls itself 1.0.0 kept the names and changed the parameters, so a library of it would
 * resolve completely and then corrupt memory. These names came with it. */
static const char *const later_names[] = {
    "litert_lm_cached_session_create",
    "litert_lm_cached_session_delete",
};

static int32_t refuse_later_interface(void *shared, const char *path, ltlm_error *err)
{
    for (size_t i = 0; i < sizeof later_names / sizeof *later_names; i++) {
        if (ltlm__library_symbol(shared, later_names[i])) {
            return ltlm__fail(err, LTLM_E_LIBRARY_MISMATCH,
                              "%s has the later, incompatible C interface (it exports %s); 0.18 is needed", path,
                              later_names[i]);
        }
    }
    return LTLM_OK;
}

static int32_t resolve(ltlm_library *library, void *shared, const char *path, ltlm_error *err)
{
    uint64_t missing = 0;
    library->capabilities = 0;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        void *symbol = ltlm__library_symbol(shared, wanted[i].name);
        if (!symbol && wanted[i].capability == 0) {
            return ltlm__fail(err, LTLM_E_LIBRARY_MISMATCH, "%s has no function %s", path, wanted[i].name);
        }
        missing |= symbol ? 0 : wanted[i].capability;
        library->capabilities |= wanted[i].capability;
        /* By memcpy, as ISO C has no cast from an object pointer to a function pointer. */
        memcpy((char *)&library->api + wanted[i].offset, &symbol, sizeof symbol);
    }
    if (missing & LTLM_CAN_CHECKPOINT) {
        missing |= LTLM_CAN_SCORE; /* scoring rewinds to where it began */
    }
    library->capabilities &= ~missing;
    return LTLM_OK;
}

int32_t ltlm_library_open(const char *path, ltlm_library **out, ltlm_error *err)
{
    *out = NULL;
    if (!path) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "path is NULL");
    }
    ltlm_library *library = ltlm__calloc(1, sizeof *library);
    if (!library) {
        return ltlm__fail_no_memory(err);
    }
    char why[1024] = "";
    void *shared = ltlm__library_load(path, why, sizeof why);
    int32_t status = shared ? LTLM_OK : ltlm__fail(err, LTLM_E_LIBRARY_NOT_FOUND, "%s", why);
    if (status == LTLM_OK) {
        status = refuse_later_interface(shared, path, err);
    }
    if (status == LTLM_OK) {
        status = resolve(library, shared, path, err);
    }
    if (status != LTLM_OK) {
        ltlm__free(library);
        return status;
    }
    *out = library;
    return ltlm__succeed(err);
}

int32_t ltlm_library_close(ltlm_library *library, ltlm_error *err)
{
    if (library && ltlm__atomic_load(&library->engines) > 0) {
        return ltlm__fail(err, LTLM_E_BUSY, "engines of this library are alive");
    }
    ltlm__free(library);
    return ltlm__succeed(err);
}

uint64_t ltlm_library_capabilities(const ltlm_library *library) { return library->capabilities; }

void ltlm_library_set_log_level(const ltlm_library *library, int32_t level)
{
    library->api.set_min_log_level(level);
}

int32_t ltlm__require(const ltlm_library *library, uint64_t capability, const char *what, ltlm_error *err)
{
    if ((library->capabilities & capability) == capability) {
        return LTLM_OK;
    }
    return ltlm__fail(err, LTLM_E_UNSUPPORTED, "this engine library cannot %s", what);
}

int32_t ltlm__engine_failed(const ltlm__engine_api *api, ltlm_error *err)
{
    int32_t code = api->get_last_error_code();
    return ltlm__fail_engine(err, LTLM_E_ENGINE, code, api->get_last_error_message());
}
