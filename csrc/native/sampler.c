#include "sampler.h"

#include <math.h>

#include "alloc.h"
#include "penalties.h"
#include "status.h"

/* A token that may be drawn, and its share. */
typedef struct {
    float weight;
    int32_t token;
} candidate;

struct ltlm__sampler {
    const ltlm_kernels *kernels;
    int32_t vocabulary;
    float *values;         /* [vocabulary] */
    candidate *candidates; /* [vocabulary] */
    uint32_t *seen;        /* a bit for each token; all 0 between calls */
};

int32_t ltlm__sampler_create(const ltlm_kernels *kernels, int32_t vocabulary, ltlm__sampler **out,
                             ltlm_error *err)
{
    size_t n = (size_t)vocabulary;
    *out = NULL;
    ltlm__sampler *sampler = ltlm__calloc(1, sizeof *sampler);
    if (!sampler) {
        return ltlm__fail_no_memory(err);
    }
    sampler->kernels = kernels;
    sampler->vocabulary = vocabulary;
    sampler->values = ltlm__calloc(n, sizeof *sampler->values);
    sampler->candidates = ltlm__calloc(n, sizeof *sampler->candidates);
    sampler->seen = ltlm__calloc((n + 31) / 32, sizeof *sampler->seen);
    if (!sampler->values || !sampler->candidates || !sampler->seen) {
        ltlm__sampler_delete(sampler);
        return ltlm__fail_no_memory(err);
    }
    *out = sampler;
    return ltlm__succeed(err);
}

void ltlm__sampler_delete(ltlm__sampler *sampler)
{
    if (sampler) {
        ltlm__free(sampler->values);
        ltlm__free(sampler->candidates);
        ltlm__free(sampler->seen);
        ltlm__free(sampler);
    }
}

/* ---- options ----------------------------------------------------------------------------------- */

static bool are_tokens(const int32_t *tokens, size_t count, int32_t vocabulary)
{
    for (size_t i = 0; i < count; i++) {
        if (tokens[i] < 0 || tokens[i] >= vocabulary) {
            return false;
        }
    }
    return true;
}

static bool are_finite(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) {
            return false;
        }
    }
    return true;
}

int32_t ltlm__sampler_check(const ltlm_generation_options *options, int32_t vocabulary, ltlm_error *err)
{
    const ltlm_generation_options *o = options;
    const char *wrong = NULL;
    if (!(o->temperature >= 0 && isfinite(o->temperature))) {
        wrong = "temperature is not finite and at least 0";
    } else if (o->top_k < 0) {
        wrong = "top_k is less than 0";
    } else if (!(o->top_p > 0 && o->top_p <= 1)) {
        wrong = "top_p is not greater than 0 and at most 1";
    } else if (!(o->min_p >= 0 && o->min_p <= 1)) {
        wrong = "min_p is not within 0 and 1";
    } else if (!(o->repetition_penalty > 0 && isfinite(o->repetition_penalty))) {
        wrong = "repetition_penalty is not finite and greater than 0 (1 is none)";
    } else if (!isfinite(o->presence_penalty)) {
        wrong = "presence_penalty is not finite";
    } else if (!isfinite(o->frequency_penalty)) {
        wrong = "frequency_penalty is not finite";
    } else if (o->no_repeat_ngram < 0) {
        wrong = "no_repeat_ngram is less than 0";
    } else if (o->alternatives < 0 || o->alternatives > LTLM_MOST_ALTERNATIVES) {
        wrong = "alternatives is not within 0 and 20";
    } else if (!are_finite(o->biases, o->bias_count)) {
        wrong = "a bias is not finite";
    }
    if (wrong) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "%s", wrong);
    }
    if (!are_tokens(o->suppressed, o->suppressed_count, vocabulary) ||
        !are_tokens(o->bias_tokens, o->bias_count, vocabulary)) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "a %s token is not within 0 and %d",
                          are_tokens(o->bias_tokens, o->bias_count, vocabulary) ? "suppressed" : "biased",
                          (int)vocabulary - 1);
    }
    return ltlm__succeed(err);
}

/* ---- candidates -------------------------------------------------------------------------------- */

/* Whether `a` is the more probable, or the first of equals. */
static bool comes_before(candidate a, candidate b)
{
    return a.weight != b.weight ? a.weight > b.weight : a.token < b.token;
}

/* Puts `item` into the heap heap[0..count) at or below `at`; the last of all is on top. */
static void sift_down(candidate *heap, int32_t count, int32_t at, candidate item)
{
    for (int32_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && comes_before(heap[child], heap[child + 1])) {
            child++;
        }
        if (!comes_before(item, heap[child])) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = item;
}

/* The k greatest values, in any order, as candidates. Returns how many: fewer if there are not so many. */
static int32_t select_top_k(ltlm__sampler *sampler, const float *values, int32_t k)
{
    enum { BLOCK = 256 }; /* what can be skipped at once, once the heap is full */
    candidate *heap = sampler->candidates;
    int32_t count = 0, n = sampler->vocabulary;
    for (int32_t from = 0; from < n; from += BLOCK) {
        int32_t length = n - from < BLOCK ? n - from : BLOCK;
        const float *block = values + from;
        if (count == k && !(block[sampler->kernels->argmax(block, length)] > heap[0].weight)) {
            continue;
        }
        for (int32_t token = from; token < from + length; token++) {
            candidate item = {values[token], token};
            if (count < k) {
                if (item.weight > -INFINITY) {
                    heap[count++] = item;
                    for (int32_t i = count / 2 - 1; count == k && i >= 0; i--) {
                        sift_down(heap, count, i, heap[i]);
                    }
                }
            } else if (item.weight > heap[0].weight) {
                sift_down(heap, count, 0, item);
            }
        }
    }
    return count;
}

/* A number that looks random: splitmix64's finaliser. */
static uint64_t mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

/* The weight of all. */
static double sum(const candidate *items, int32_t count)
{
    double total = 0;
    for (int32_t i = 0; i < count; i++) {
        total += items[i].weight;
    }
    return total;
}

/* Moves what comes before items[at] in front of it. Returns where that is then. */
static int32_t partition(candidate *items, int32_t from, int32_t to, int32_t at)
{
    candidate pivot = items[at];
    int32_t place = from;
    items[at] = items[to - 1];
    for (int32_t i = from; i < to - 1; i++) {
        if (comes_before(items[i], pivot)) {
            candidate item = items[i];
            items[i] = items[place];
            items[place++] = item;
        }
    }
    items[to - 1] = items[place];
    items[place] = pivot;
    return place;
}

/* Keeps, in front, the fewest and most probable that weigh `share` of all. Returns how many. A quickselect by
 * weight: nothing is sorted. */
static int32_t select_top_p(candidate *items, int32_t count, double share)
{
    double left = share * sum(items, count);
    int32_t from = 0, to = count;
    while (to - from > 1) {
        uint64_t any = mix(((uint64_t)from << 32) + (uint64_t)to); /* a fixed place may be the worst */
        int32_t at = from + (int32_t)(any % (uint64_t)(to - from));
        int32_t place = partition(items, from, to, at);
        double before = sum(items + from, place - from);
        if (place > from && before >= left) {
            to = place;
        } else if (before + items[place].weight >= left || place + 1 == to) {
            return place + 1;
        } else {
            left -= before + items[place].weight;
            from = place + 1;
        }
    }
    return to;
}

/* Keeps, in front, those that weigh at least `least`. Returns how many. */
static int32_t select_min_p(candidate *items, int32_t count, float least)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < count; i++) {
        if (items[i].weight >= least) {
            items[kept++] = items[i];
        }
    }
    return kept;
}

/* One of them, by weight. */
static int32_t draw(const candidate *items, int32_t count, uint64_t seed, uint64_t position)
{
    uint64_t bits = mix(mix(seed) + (position + 1) * UINT64_C(0x9e3779b97f4a7c15));
    double left = (double)(bits >> 11) * 0x1p-53 * sum(items, count);
    int32_t chosen = 0;
    for (int32_t i = 0; i < count; i++) {
        if (items[i].weight > 0) { /* so that rounding at the end cannot choose what has no weight */
            chosen = i;
            left -= items[i].weight;
            if (left < 0) {
                break;
            }
        }
    }
    return items[chosen].token;
}

/* ---- next -------------------------------------------------------------------------------------- */

/* When nothing is left: the best that the mask allows; if all of that is NaN, the first. */
static int32_t last_resort(const ltlm__sampler *sampler, const ltlm__sample *sample)
{
    int32_t best = -1;
    for (int32_t token = 0; token < sampler->vocabulary; token++) {
        bool allowed = !sample->mask || (sample->mask[token / 32] >> (token % 32) & 1);
        if (allowed && (best < 0 || sample->logits[token] > sample->logits[best] ||
                        (isnan(sample->logits[best]) && !isnan(sample->logits[token])))) {
            best = token;
        }
    }
    return best < 0 ? 0 : best;
}

/* exp((value - greatest) / temperature) of the k greatest. */
static int32_t weigh_top_k(ltlm__sampler *sampler, const float *values, float greatest, float temperature,
                           int32_t k)
{
    int32_t count = select_top_k(sampler, values, k);
    for (int32_t i = 0; i < count; i++) {
        candidate *item = &sampler->candidates[i];
        item->weight = expf((item->weight - greatest) / temperature);
    }
    return count;
}

/* softmax of all; candidates are those whose weight would not be lost in rounding anyway. */
#define NEGLIGIBLE 1e-25f
static int32_t weigh_all(ltlm__sampler *sampler, const float *values, float greatest, float temperature)
{
    float *scaled = sampler->values;
    for (int32_t i = 0; i < sampler->vocabulary; i++) {
        float value = (values[i] - greatest) / temperature;
        scaled[i] = value > -200 ? value : -200; /* NaN and infinity too */
    }
    sampler->kernels->softmax(scaled, sampler->vocabulary, scaled);
    int32_t count = 0;
    for (int32_t i = 0; i < sampler->vocabulary; i++) {
        if (scaled[i] > NEGLIGIBLE) {
            sampler->candidates[count++] = (candidate){scaled[i], i};
        }
    }
    return count;
}

int32_t ltlm__sampler_next(ltlm__sampler *sampler, const ltlm__sample *sample)
{
    const ltlm_generation_options *o = sample->options;
    const float *values = sample->logits;
    if (ltlm__penalties_wanted(sample)) {
        memcpy(sampler->values, values, (size_t)sampler->vocabulary * sizeof *values);
        ltlm__penalties_apply(sample, sampler->vocabulary, sampler->seen, sampler->values);
        values = sampler->values;
    }
    int32_t best = sampler->kernels->argmax(values, sampler->vocabulary);
    float greatest = values[best];
    if (!(greatest > -INFINITY)) {
        return last_resort(sampler, sample);
    }
    if (o->temperature == 0 || o->top_k == 1 || greatest == INFINITY) {
        return best;
    }
    int32_t count = o->top_k > 0 && o->top_k < sampler->vocabulary
                        ? weigh_top_k(sampler, values, greatest, o->temperature, o->top_k)
                        : weigh_all(sampler, values, greatest, o->temperature);
    candidate *items = sampler->candidates;
    float heaviest = 0;
    for (int32_t i = 0; i < count; i++) {
        heaviest = items[i].weight > heaviest ? items[i].weight : heaviest;
    }
    if (o->top_p < 1) {
        count = select_top_p(items, count, (double)o->top_p);
    }
    if (o->min_p > 0) {
        count = select_min_p(items, count, o->min_p * heaviest);
    }
    return draw(items, count, o->seed, sample->count);
}

/* ---- log-probabilities ------------------------------------------------------------------------- */

/* A token with all of the probability may come out above 0 by rounding. */
static float log_probability(float logit, float log_sum)
{
    float value = logit - log_sum;
    return value > 0 ? 0 : value;
}

float ltlm__sampler_log_probability(const ltlm__sampler *sampler, const float *logits, int32_t token)
{
    return log_probability(logits[token], sampler->kernels->log_sum_exp(logits, sampler->vocabulary));
}

/* By insertion: there are few. */
static void sort(candidate *items, int32_t count)
{
    for (int32_t i = 1; i < count; i++) {
        candidate item = items[i];
        int32_t place = i;
        for (; place > 0 && comes_before(item, items[place - 1]); place--) {
            items[place] = items[place - 1];
        }
        items[place] = item;
    }
}

void ltlm__sampler_likeliest(ltlm__sampler *sampler, const float *logits, int32_t count, int32_t *tokens,
                             float *log_probabilities)
{
    float log_sum = sampler->kernels->log_sum_exp(logits, sampler->vocabulary);
    int32_t found = select_top_k(sampler, logits, count);
    sort(sampler->candidates, found);
    for (int32_t i = 0; i < count; i++) {
        candidate item = i < found ? sampler->candidates[i] : (candidate){-INFINITY, -1};
        tokens[i] = item.token;
        log_probabilities[i] = log_probability(item.weight, log_sum);
    }
}
