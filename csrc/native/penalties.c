#include "penalties.h"

#include <math.h>
#include <string.h>

bool ltlm__penalties_wanted(const ltlm__sample *sample)
{
    const ltlm_generation_options *o = sample->options;
    return o->repetition_penalty != 1 || o->presence_penalty != 0 || o->frequency_penalty != 0 ||
           o->no_repeat_ngram > 0 || o->suppressed_count > 0 || o->bias_count > 0 || sample->mask;
}

/* True the first time that it is asked for a token. */
static bool is_new(uint32_t *seen, int32_t token)
{
    uint32_t bit = UINT32_C(1) << (token % 32), *word = &seen[token / 32];
    bool is_new = !(*word & bit);
    *word |= bit;
    return is_new;
}

static void forget(uint32_t *seen, const int32_t *tokens, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        seen[tokens[i] / 32] = 0;
    }
}

static void penalise(const ltlm__sample *sample, uint32_t *seen, float *values)
{
    const ltlm_generation_options *o = sample->options;
    if (o->repetition_penalty != 1) {
        for (size_t i = 0; i < sample->count; i++) {
            int32_t token = sample->tokens[i];
            if (is_new(seen, token)) {
                float value = values[token];
                values[token] = value > 0 ? value / o->repetition_penalty : value * o->repetition_penalty;
            }
        }
        forget(seen, sample->tokens, sample->count);
    }
    if (o->presence_penalty != 0 || o->frequency_penalty != 0) {
        const int32_t *reply = sample->tokens + sample->prompt;
        size_t count = sample->count - sample->prompt;
        for (size_t i = 0; i < count; i++) {
            values[reply[i]] -= o->frequency_penalty + (is_new(seen, reply[i]) ? o->presence_penalty : 0);
        }
        forget(seen, reply, count);
    }
}

/* Forbids what would complete an n-gram that has been there. */
static void forbid_ngrams(float *values, const ltlm__sample *sample)
{
    size_t n = (size_t)sample->options->no_repeat_ngram;
    if (n == 0 || sample->count < n) {
        return;
    }
    const int32_t *latest = sample->tokens + sample->count - (n - 1);
    for (size_t end = n - 1; end < sample->count; end++) {
        if (memcmp(sample->tokens + end - (n - 1), latest, (n - 1) * sizeof *latest) == 0) {
            values[sample->tokens[end]] = -INFINITY;
        }
    }
}

static void apply_mask(float *values, const uint32_t *mask, int32_t vocabulary)
{
    for (int32_t word = 0; word < (vocabulary + 31) / 32; word++) {
        uint32_t forbidden = ~mask[word];
        int32_t end = vocabulary - word * 32 < 32 ? vocabulary - word * 32 : 32;
        for (int32_t i = 0; forbidden != 0 && i < end; i++) {
            if (forbidden >> i & 1) {
                values[word * 32 + i] = -INFINITY;
            }
        }
    }
}

void ltlm__penalties_apply(const ltlm__sample *sample, int32_t vocabulary, uint32_t *seen, float *values)
{
    const ltlm_generation_options *o = sample->options;
    penalise(sample, seen, values);
    for (size_t i = 0; i < o->bias_count; i++) {
        values[o->bias_tokens[i]] += o->biases[i];
    }
    for (size_t i = 0; i < o->suppressed_count; i++) {
        values[o->suppressed[i]] = -INFINITY;
    }
    forbid_ngrams(values, sample);
    if (sample->mask) {
        apply_mask(values, sample->mask, vocabulary);
    }
}
