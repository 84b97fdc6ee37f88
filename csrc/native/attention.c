/* ATTEND: units of one kv head and a block of queries of one sequence. */
#include "run.h"

/* Units of one span: kv heads times blocks. */
static int32_t blocks_of(const ltlm__span *span, int32_t group, int32_t block)
{
    return (int32_t)(((int64_t)span->count * group + block - 1) / block);
}

/* Queries of a unit: as many as one attend takes; fewer where otherwise threads would go without work, as
 * when one sequence decodes. `group` heads share a kv head. */
static int32_t block_size(const ltlm__hand *hand, int32_t kv_heads, int32_t group)
{
    int64_t units = 0;
    int32_t threads = hand->executor->threads;
    for (int32_t i = 0; i < hand->stage->span_count; i++) {
        units += (int64_t)kv_heads * blocks_of(&hand->stage->spans[i], group, LTLM_QUERY_BLOCK);
    }
    int64_t queries = (int64_t)hand->stage->rows * kv_heads * group;
    if (units >= threads) {
        return LTLM_QUERY_BLOCK;
    }
    return (int32_t)((queries + threads - 1) / threads);
}

static void attend_block(const ltlm__hand *hand, const ltlm_step *step, const ltlm__span *span,
                         int32_t kv_head, int32_t from, int32_t to)
{
    const ltlm_executor *executor = hand->executor;
    const ltlm_cache *cache = &executor->program->plan.caches[step->cache];
    const ltlm_kv_place *place = ltlm_kv_store_place(executor->store, step->cache);
    int32_t group = step->shape[0] / cache->kv_heads, window = step->shape[1];
    const float *query[LTLM_QUERY_BLOCK];
    float *out[LTLM_QUERY_BLOCK];
    int32_t first[LTLM_QUERY_BLOCK], last[LTLM_QUERY_BLOCK];
    for (int32_t i = from; i < to; i++) {
        int32_t row = span->first + i / group, at = i - from;
        size_t head = (size_t)(kv_head * group + i % group) * (size_t)cache->head_dim;
        int32_t position = executor->rows->positions[hand->stage->index[row]];
        query[at] = ltlm__value_at(hand, step->in[0], row) + head;
        out[at] = ltlm__value_at(hand, step->out[0], row) + head;
        first[at] = window > 0 && position >= window ? position - window + 1 : 0;
        last[at] = position;
    }
    const ltlm_kv *sequence = executor->rows->sequences[hand->stage->index[span->first]];
    ltlm_attention job = {
        .rows = to - from,
        .head_dim = cache->head_dim,
        .wide = executor->wide,
        .pages = (const uint8_t *const *)ltlm_kv_pages(sequence, place->group),
        .keys = place->keys + (size_t)kv_head * place->head,
        .values = place->values + (size_t)kv_head * place->head,
        .query = query,
        .out = out,
        .first = first,
        .last = last,
        .scale = step->f[0],
        .softcap = step->f[1],
        .scratch = hand->scratch,
    };
    executor->program->kernels->attend(&job);
}

int32_t ltlm__attend_units(const ltlm__hand *hand, const ltlm_step *step)
{
    const ltlm_cache *cache = &hand->executor->program->plan.caches[step->cache];
    int32_t group = step->shape[0] / cache->kv_heads, block = block_size(hand, cache->kv_heads, group);
    int32_t units = 0;
    for (int32_t i = 0; i < hand->stage->span_count; i++) {
        units += blocks_of(&hand->stage->spans[i], group, block) * cache->kv_heads;
    }
    return units;
}

void ltlm__attend(const ltlm__hand *hand, const ltlm_step *step)
{
    const ltlm_cache *cache = &hand->executor->program->plan.caches[step->cache];
    int32_t group = step->shape[0] / cache->kv_heads, block = block_size(hand, cache->kv_heads, group);
    int32_t passed = 0;
    const ltlm__span *span = hand->stage->spans;
    for (ltlm__units one; ltlm__take(hand, 1, &one); ltlm__finish(hand, &one)) {
        int32_t blocks = blocks_of(span, group, block);
        for (; one.from - passed >= blocks * cache->kv_heads; blocks = blocks_of(span, group, block)) {
            passed += blocks * cache->kv_heads;
            span++;
        }
        int32_t kv_head = (one.from - passed) / blocks;
        int32_t from = (blocks - 1 - (one.from - passed) % blocks) * block; /* the longest ranges first */
        int32_t to = span->count * group - from < block ? span->count * group : from + block;
        attend_block(hand, step, span, kv_head, from, to);
    }
}

size_t ltlm__attend_scratch(const ltlm_program *program)
{
    size_t most = 0;
    for (size_t i = 0; i < program->plan.cache_count; i++) {
        size_t bytes =
            program->kernels->attend_scratch(program->plan.max_context, program->plan.caches[i].head_dim);
        most = bytes > most ? bytes : most;
    }
    return most;
}
