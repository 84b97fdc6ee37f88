#include "alloc.h"
#include "batcher.h"
#include "status.h"

/* ---- life -------------------------------------------------------------------------------------- */

/* Makes a sequence of `kv`, which is taken. The mutex is held. */
static int32_t adopt(ltlm_model *model, ltlm_kv *kv, ltlm_sequence **out, ltlm_error *err)
{
    ltlm_sequence *sequence = ltlm__calloc(1, sizeof *sequence);
    if (!sequence) {
        ltlm_kv_delete(kv);
        return ltlm__fail_no_memory(err);
    }
    sequence->model = model;
    sequence->kv = kv;
    sequence->next = model->sequences;
    if (sequence->next) {
        sequence->next->previous = sequence;
    }
    model->sequences = sequence;
    *out = sequence;
    return ltlm__succeed(err);
}

int32_t ltlm_sequence_create(ltlm_model *model, ltlm_sequence **out, ltlm_error *err)
{
    ltlm_kv *kv;
    *out = NULL;
    int32_t status = ltlm_kv_create(model->store, &kv, err);
    if (status == LTLM_OK) {
        ltlm__mutex_lock(&model->mutex);
        status = adopt(model, kv, out, err);
        ltlm__mutex_unlock(&model->mutex);
    }
    return status;
}

static int32_t fail_busy(ltlm_error *err)
{
    return ltlm__fail(err, LTLM_E_BUSY, "a generation runs on the sequence");
}

int32_t ltlm_sequence_fork(ltlm_sequence *sequence, ltlm_sequence **out, ltlm_error *err)
{
    ltlm_model *model = sequence->model;
    ltlm_kv *kv;
    *out = NULL;
    ltlm__mutex_lock(&model->mutex);
    int32_t status = sequence->running ? fail_busy(err) : ltlm_kv_fork(sequence->kv, &kv, err);
    if (status == LTLM_OK) {
        status = adopt(model, kv, out, err);
    }
    ltlm__mutex_unlock(&model->mutex);
    return status;
}

int32_t ltlm_sequence_delete(ltlm_sequence *sequence, ltlm_error *err)
{
    if (!sequence) {
        return ltlm__succeed(err);
    }
    ltlm_model *model = sequence->model;
    ltlm__mutex_lock(&model->mutex);
    if (sequence->generations > 0) {
        ltlm__mutex_unlock(&model->mutex);
        return ltlm__fail(err, LTLM_E_BUSY, "a generation of the sequence is alive");
    }
    *(sequence->previous ? &sequence->previous->next : &model->sequences) = sequence->next;
    if (sequence->next) {
        sequence->next->previous = sequence->previous;
    }
    model->leaving++;
    ltlm__mutex_unlock(&model->mutex);
    ltlm_kv_delete(sequence->kv); /* without the mutex: many pages take a while */
    ltlm__free(sequence);
    ltlm__mutex_lock(&model->mutex);
    model->leaving--;
    ltlm__mutex_unlock(&model->mutex);
    return ltlm__succeed(err);
}

int32_t ltlm_sequence_dispose(ltlm_sequence **sequence, ltlm_error *err)
{
    int32_t status = ltlm_sequence_delete(*sequence, err);
    *sequence = status == LTLM_OK ? NULL : *sequence;
    return status;
}

/* ---- length ------------------------------------------------------------------------------------ */

int32_t ltlm_sequence_length(const ltlm_sequence *sequence)
{
    ltlm_model *model = sequence->model;
    ltlm__mutex_lock(&model->mutex);
    int32_t length = ltlm_kv_length(sequence->kv);
    ltlm__mutex_unlock(&model->mutex);
    return length;
}

int32_t ltlm_sequence_rewind(ltlm_sequence *sequence, int32_t length, int32_t *kept, ltlm_error *err)
{
    ltlm_model *model = sequence->model;
    *kept = 0;
    if (length < 0) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "a sequence cannot be rewound to %d tokens",
                          (int)length);
    }
    ltlm__mutex_lock(&model->mutex);
    int32_t status = sequence->running ? fail_busy(err) : ltlm__succeed(err);
    if (status == LTLM_OK) {
        *kept = ltlm_kv_keepable(sequence->kv, length);
        ltlm_kv_truncate(sequence->kv, *kept);
    }
    ltlm__mutex_unlock(&model->mutex);
    return status;
}

/* ---- sharing ----------------------------------------------------------------------------------- */

/* How many of the first `most` tokens are those of `kv`, and can be kept of it. */
static int32_t common(const ltlm_kv *kv, const int32_t *tokens, int32_t most)
{
    const int32_t *held = ltlm_kv_tokens(kv);
    int32_t count = 0;
    most = ltlm__lesser(most, ltlm_kv_length(kv));
    while (count < most && held[count] == tokens[count]) {
        count++;
    }
    return ltlm_kv_keepable(kv, count);
}

int32_t ltlm__sequence_share(ltlm_sequence *sequence, const int32_t *tokens, int32_t most, int32_t *reused,
                             ltlm_error *err)
{
    int32_t own = common(sequence->kv, tokens, most), best = own;
    const ltlm_kv *donor = NULL;
    for (ltlm_sequence *each = sequence->model->sequences; each; each = each->next) {
        int32_t held = common(each->kv, tokens, most);
        /* The turn that begins may have to be taken back to where the sequence is now. */
        if (held > best && ltlm_kv_keepable(each->kv, own) == own) {
            best = held;
            donor = each->kv;
        }
    }
    ltlm__prefixes *prefixes = &sequence->model->prefixes;
    int32_t used = -1;
    for (int32_t i = 0; i < prefixes->count; i++) {
        int32_t held = common(prefixes->kept[i], tokens, most);
        if (held > best && ltlm_kv_keepable(prefixes->kept[i], own) == own) {
            best = held;
            used = i;
        }
    }
    if (used >= 0) {
        donor = prefixes->kept[used];
        ltlm__prefixes_touch(prefixes, used); /* moves others: not before all were looked at */
    }
    if (donor) {
        ltlm_kv *shared;
        int32_t status = ltlm_kv_fork(donor, &shared, err);
        if (status != LTLM_OK) {
            return status;
        }
        ltlm_kv_truncate(shared, best);
        ltlm_kv_delete(sequence->kv);
        sequence->kv = shared;
    } else {
        ltlm_kv_truncate(sequence->kv, own);
    }
    ltlm_kv_slide(sequence->kv, own);
    *reused = best;
    return ltlm__succeed(err);
}

/* ---- saving ------------------------------------------------------------------------------------ */

size_t ltlm_sequence_saved_bytes(ltlm_sequence *sequence)
{
    ltlm__mutex_lock(&sequence->model->mutex);
    size_t bytes = ltlm_kv_saved_bytes(sequence->kv);
    ltlm__mutex_unlock(&sequence->model->mutex);
    return bytes;
}

static bool is_running(ltlm_sequence *sequence)
{
    ltlm__mutex_lock(&sequence->model->mutex);
    bool running = sequence->running;
    ltlm__mutex_unlock(&sequence->model->mutex);
    return running;
}

int32_t ltlm_sequence_save(ltlm_sequence *sequence, uint8_t *out, size_t size, ltlm_error *err)
{
    if (is_running(sequence)) {
        return fail_busy(err);
    }
    size_t needed = ltlm_kv_saved_bytes(sequence->kv);
    if (size < needed) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "%zu bytes are too few for the %zu of the sequence",
                          size, needed);
    }
    ltlm_kv_save(sequence->kv, out); /* without the mutex: it takes a while, and only the owner changes it */
    return ltlm__succeed(err);
}

/* Whether the tokens are of this model. */
static int32_t check_tokens(const ltlm_model *model, const ltlm_kv *kv, ltlm_error *err)
{
    const int32_t *tokens = ltlm_kv_tokens(kv);
    int32_t length = ltlm_kv_length(kv);
    if (length > model->max_context) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT,
                          "the saved KV cache is of %d tokens; %d fit the context", (int)length,
                          (int)model->max_context);
    }
    for (int32_t i = 0; i < length; i++) {
        if (tokens[i] < 0 || tokens[i] >= model->vocabulary) {
            return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "token %d of the saved KV cache is out of range",
                              (int)i);
        }
    }
    return LTLM_OK;
}

int32_t ltlm_sequence_load(ltlm_sequence *sequence, const uint8_t *bytes, size_t size, ltlm_error *err)
{
    ltlm_model *model = sequence->model;
    if (is_running(sequence)) {
        return fail_busy(err);
    }
    ltlm_kv *loaded;
    int32_t status = ltlm_kv_create(model->store, &loaded, err);
    if (status != LTLM_OK) {
        return status;
    }
    status = ltlm_kv_load(loaded, bytes, size, err);
    if (status == LTLM_OK) {
        status = check_tokens(model, loaded, err);
    }
    if (status == LTLM_OK) {
        ltlm__mutex_lock(&model->mutex);
        ltlm_kv *before = sequence->kv;
        sequence->kv = loaded;
        loaded = before;
        ltlm__mutex_unlock(&model->mutex);
    }
    ltlm_kv_delete(loaded);
    return status;
}
