#include "alloc.h"
#include "batcher.h"
#include "status.h"

/* ---- making ------------------------------------------------------------------------------------ */

static void free_pass(ltlm__pass *pass)
{
    ltlm__free(pass->parts);
    ltlm__free(pass->tokens);
    ltlm__free(pass->positions);
    ltlm__free(pass->sequences);
    ltlm__free(pass->wanted);
}

static bool make_pass(ltlm__pass *pass, size_t rows)
{
    pass->parts = ltlm__calloc(rows, sizeof *pass->parts);
    pass->tokens = ltlm__calloc(rows, sizeof *pass->tokens);
    pass->positions = ltlm__calloc(rows, sizeof *pass->positions);
    pass->sequences = ltlm__calloc(rows, sizeof *pass->sequences);
    pass->wanted = ltlm__calloc(rows, sizeof *pass->wanted);
    atomic_init(&pass->abort, false);
    return pass->parts && pass->tokens && pass->positions && pass->sequences && pass->wanted;
}

/* All but the thread and its locks. */
static void free_model(ltlm_model *model)
{
    free_pass(&model->pass);
    ltlm__sampler_delete(model->sampler);
    ltlm_executor_delete(model->executor);
    while (ltlm__prefixes_drop(&model->prefixes)) {
    }
    ltlm_kv_store_delete(model->store);
    ltlm_program_delete(model->program);
    ltlm__free(model);
}

static int32_t load(ltlm_model *model, ltlm_pool *pool, const ltlm_plan *plan,
                    const ltlm_model_options *options, ltlm_error *err)
{
    int32_t place = options->copy_weights ? LTLM_WEIGHTS_COPIED : LTLM_WEIGHTS_MAPPED;
    int32_t status = ltlm_program_create(plan, options->fd, options->file_size, place, model->kernels, pool,
                                         &model->program, err);
    if (status != LTLM_OK) {
        return status;
    }
    model->vocabulary = ltlm_program_vocabulary(model->program);
    model->max_context = ltlm_program_max_context(model->program);
    size_t count, limit = options->cache_limit < SIZE_MAX ? (size_t)options->cache_limit : SIZE_MAX;
    const ltlm_cache *caches = ltlm_program_caches(model->program, &count);
    status = ltlm_kv_store_create(caches, count, options->wide_cache, limit, &model->store, err);
    if (status == LTLM_OK) {
        status = ltlm_executor_create(model->program, model->store, pool, model->max_rows,
                                      ltlm__lesser(model->max_rows, LTLM__MAX_WANTED), &model->executor, err);
    }
    if (status == LTLM_OK) {
        status = ltlm__sampler_create(model->kernels, model->vocabulary, &model->sampler, err);
    }
    if (status == LTLM_OK && !make_pass(&model->pass, (size_t)model->max_rows)) {
        status = ltlm__fail_no_memory(err);
    }
    return status;
}

static bool start(ltlm_model *model)
{
    if (!ltlm__mutex_init(&model->mutex)) {
        return false;
    }
    if (ltlm__cond_init(&model->work)) {
        if (ltlm__thread_start(&model->thread, ltlm__batcher_run, model)) {
            return true;
        }
        ltlm__cond_destroy(&model->work);
    }
    ltlm__mutex_destroy(&model->mutex);
    return false;
}

int32_t ltlm_model_create(ltlm_pool *pool, const ltlm_plan *plan, const ltlm_model_options *options,
                          ltlm_model **out, ltlm_error *err)
{
    *out = NULL;
    int32_t max_rows = options->max_rows ? options->max_rows : LTLM__MAX_ROWS;
    if (max_rows < 2 || max_rows > 65536) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "max_rows is %d, not 0 or within 2 and 65536",
                          (int)max_rows);
    }
    const ltlm_kernels *kernels = ltlm_kernels_choose(options->kernels);
    if (!kernels) {
        return ltlm__fail(err, LTLM_E_UNSUPPORTED, "this build or this CPU has no kernels named \"%s\"",
                          options->kernels ? options->kernels : "");
    }
    ltlm_model *model = ltlm__calloc(1, sizeof *model);
    if (!model) {
        return ltlm__fail_no_memory(err);
    }
    model->kernels = kernels;
    model->max_rows = max_rows;
    int32_t status = load(model, pool, plan, options, err);
    if (status == LTLM_OK && !start(model)) {
        status = ltlm__fail(err, LTLM_E_NO_MEMORY, "the system has no thread for the model");
    }
    if (status != LTLM_OK) {
        free_model(model);
        return status;
    }
    *out = model;
    return ltlm__succeed(err);
}

/* ---- end --------------------------------------------------------------------------------------- */

int32_t ltlm_model_delete(ltlm_model *model, ltlm_error *err)
{
    if (!model) {
        return ltlm__succeed(err);
    }
    ltlm__mutex_lock(&model->mutex);
    bool is_busy = model->sequences || model->leaving > 0;
    if (!is_busy) {
        model->stops = true;
        ltlm__cond_signal(&model->work);
    }
    ltlm__mutex_unlock(&model->mutex);
    if (is_busy) {
        return ltlm__fail(err, LTLM_E_BUSY, "sequences of the model are alive");
    }
    ltlm__thread_join(&model->thread);
    ltlm__cond_destroy(&model->work);
    ltlm__mutex_destroy(&model->mutex);
    free_model(model);
    return ltlm__succeed(err);
}

int32_t ltlm_model_dispose(ltlm_model **model, ltlm_error *err)
{
    int32_t status = ltlm_model_delete(*model, err);
    *model = status == LTLM_OK ? NULL : *model;
    return status;
}

void ltlm_model_describe(ltlm_model *model, ltlm_model_facts *out)
{
    *out = (ltlm_model_facts){
        .kernels = model->kernels->name,
        .weight_bytes = ltlm_program_weight_bytes(model->program),
        .cache_bytes = ltlm_kv_store_bytes(model->store),
        .cache_bytes_a_token = ltlm_kv_store_token_bytes(model->store),
    };
}
