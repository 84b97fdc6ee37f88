/* engine.c - a loaded model, and its tokenizer. */
#include "../alloc.h"
#include "internal.h"

static bool is_backend(const char *name)
{
    /* Others either fail late or, as "gpu_artisan", abort the process. */
    return strcmp(name, "cpu") == 0 || strcmp(name, "gpu") == 0 || strcmp(name, "npu") == 0;
}

static int32_t check_backend(const char *noun, const char *name, ltlm_error *err)
{
    if (name && !is_backend(name)) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "%s \"%s\" is not \"cpu\", \"gpu\" or \"npu\"", noun, name);
    }
    return LTLM_OK;
}

static int32_t check_options(const ltlm_engine_options *options, ltlm_error *err)
{
    if (!options->path && options->fd < 0) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "neither path nor fd is given");
    }
    if (!options->backend) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "backend is NULL");
    }
    if (options->threads <= 0) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "threads is %d, and must be 1 or more",
                          (int)options->threads);
    }
    if (options->max_tokens < 0) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "max_tokens is %d, and must not be negative",
                          (int)options->max_tokens);
    }
    int32_t status = check_backend("backend", options->backend, err);
    status = status ? status : check_backend("vision_backend", options->vision_backend, err);
    return status ? status : check_backend("audio_backend", options->audio_backend, err);
}

static int32_t check_support(const ltlm_library *library, const ltlm_engine_options *options, ltlm_error *err)
{
    int32_t status = LTLM_OK;
    if (!options->path) {
        status = ltlm__require(library, LTLM_CAN_OPEN_FD, "open a model by descriptor", err);
    }
    if (status == LTLM_OK && options->benchmark) {
        status = ltlm__require(library, LTLM_CAN_BENCHMARK, "count tokens and time", err);
    }
    return status;
}

/* The engine takes *fd with the call itself (which is then set to -1): it closes it when it refuses the settings,
 * when settings are deleted that no engine was made of, and else with the engine. Closing it here as well would
 * hit whatever another thread has opened since. */
static LiteRtLmEngineSettings *create_settings(const ltlm__engine_api *api, const ltlm_engine_options *options,
                                               int32_t *fd)
{
    LiteRtLmEngineSettings *settings;
    if (options->path) {
        settings = api->engine_settings_create(options->path, options->backend, options->vision_backend,
                                               options->audio_backend);
    } else {
        settings = api->engine_settings_create_from_raw_file_descriptor(
            *fd, options->backend, options->vision_backend, options->audio_backend);
        *fd = -1;
    }
    if (!settings) {
        return NULL;
    }
    api->engine_settings_set_num_threads(settings, options->threads);
    if (options->audio_backend) {
        api->engine_settings_set_audio_num_threads(settings, options->threads);
    }
    if (options->cache_dir) { /* NULL would crash the engine */
        api->engine_settings_set_cache_dir(settings, options->cache_dir);
    }
    if (options->max_tokens > 0) {
        api->engine_settings_set_max_num_tokens(settings, options->max_tokens);
    }
    if (options->benchmark) {
        api->engine_settings_enable_benchmark(settings);
    }
    return settings;
}

/* Loads the model. Takes *fd as create_settings does. */
static int32_t load(const ltlm__engine_api *api, const ltlm_engine_options *options, int32_t *fd,
                    LiteRtLmEngine **out, ltlm_error *err)
{
    api->clear_last_error();
    LiteRtLmEngineSettings *settings = create_settings(api, options, fd);
    if (!settings) {
        return ltlm__engine_failed(api, err);
    }
    api->clear_last_error();
    *out = api->engine_create(settings);
    int32_t status = *out ? LTLM_OK : ltlm__engine_failed(api, err);
    api->engine_settings_delete(settings);
    return status;
}

static int32_t create(ltlm_library *library, const ltlm_engine_options *options, int32_t *fd, ltlm_engine **out,
                      ltlm_error *err)
{
    int32_t status = check_options(options, err);
    status = status ? status : check_support(library, options, err);
    if (status != LTLM_OK) {
        return status;
    }
    ltlm_engine *engine = ltlm__calloc(1, sizeof *engine);
    if (!engine) {
        return ltlm__fail_no_memory(err);
    }
    status = load(&library->api, options, fd, &engine->handle, err);
    if (status != LTLM_OK) {
        ltlm__free(engine);
        return status;
    }
    engine->library = library;
    ltlm__atomic_add(&library->engines, 1);
    *out = engine;
    return ltlm__succeed(err);
}

int32_t ltlm_engine_create(ltlm_library *library, const ltlm_engine_options *options, ltlm_engine **out,
                           ltlm_error *err)
{
    *out = NULL;
    int32_t fd = options->path ? -1 : options->fd;
    int32_t status = create(library, options, &fd, out, err);
    if (fd >= 0) {
        ltlm__fd_close(fd); /* refused before the engine was asked */
    }
    return status;
}

int32_t ltlm_engine_delete(ltlm_engine *engine, ltlm_error *err)
{
    if (!engine) {
        return ltlm__succeed(err);
    }
    if (ltlm__atomic_load(&engine->children) > 0) {
        return ltlm__fail(err, LTLM_E_BUSY, "conversations or sessions of this engine are alive");
    }
    engine->library->api.engine_delete(engine->handle);
    ltlm__atomic_add(&engine->library->engines, -1);
    ltlm__free(engine);
    return ltlm__succeed(err);
}

int32_t ltlm_engine_dispose(ltlm_engine **engine, ltlm_error *err)
{
    const int32_t status = ltlm_engine_delete(*engine, err);
    if (status == LTLM_OK) {
        *engine = NULL;
    }
    return status;
}

/* ---- tokenizer --------------------------------------------------------------------------------- */

static int32_t copy_tokens(const int *ids, size_t count, ltlm_tokens *out, ltlm_error *err)
{
    if (count > 0) {
        out->ids = ltlm__calloc(count, sizeof *out->ids);
        if (!out->ids) {
            return ltlm__fail_no_memory(err);
        }
        for (size_t i = 0; i < count; i++) {
            out->ids[i] = (int32_t)ids[i];
        }
        out->count = count;
    }
    return ltlm__succeed(err);
}

int32_t ltlm_engine_tokenize(ltlm_engine *engine, const char *text, ltlm_tokens *out, ltlm_error *err)
{
    const ltlm__engine_api *api = &engine->library->api;
    *out = (ltlm_tokens){0};
    if (!text) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "text is NULL");
    }
    api->clear_last_error();
    LiteRtLmTokenizeResult *result = api->engine_tokenize(engine->handle, text);
    if (!result) {
        return ltlm__engine_failed(api, err);
    }
    int32_t status = copy_tokens(api->tokenize_result_get_tokens(result),
                                 api->tokenize_result_get_num_tokens(result), out, err);
    api->tokenize_result_delete(result);
    return status;
}

int32_t ltlm_engine_detokenize(ltlm_engine *engine, const int32_t *ids, size_t count, char **out,
                               ltlm_error *err)
{
    static const int32_t none[1] = {0}; /* the engine is not given a NULL list */
    const ltlm__engine_api *api = &engine->library->api;
    *out = NULL;
    if (!ids && count > 0) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "ids is NULL");
    }
    api->clear_last_error();
    LiteRtLmDetokenizeResult *result = api->engine_detokenize(engine->handle, ids ? ids : none, count);
    if (!result) {
        return ltlm__engine_failed(api, err);
    }
    const char *text = api->detokenize_result_get_string(result);
    *out = ltlm__strdup(text ? text : "");
    api->detokenize_result_delete(result);
    return *out ? ltlm__succeed(err) : ltlm__fail_no_memory(err);
}

void ltlm_tokens_clear(ltlm_tokens *tokens)
{
    if (tokens) {
        ltlm__free(tokens->ids);
        *tokens = (ltlm_tokens){0};
    }
}

void ltlm_string_free(char *text) { ltlm__free(text); }
