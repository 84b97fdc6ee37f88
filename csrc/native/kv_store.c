#include "alloc.h"
#include "kv_state.h"
#include "status.h"

/* ---- store ------------------------------------------------------------------------------------- */

/* a * b, or 0 if that, or a factor, is too large for anything sensible. */
static size_t product(size_t a, size_t b)
{
    const size_t most = (size_t)1 << 40;
    return a != 0 && b <= most / a ? a * b : 0;
}

/* The keys, and likewise the values, of one kv head in one page; 0: nonsense. */
static size_t head_bytes(const ltlm_cache *cache, size_t element)
{
    if (cache->kv_heads < 1 || cache->head_dim < 1 || cache->head_dim % 8 != 0 || cache->window < 0) {
        return 0;
    }
    size_t bytes = product((size_t)cache->head_dim, LTLM_PAGE * element);
    return product(bytes, 2 * (size_t)cache->kv_heads) ? bytes : 0;
}

/* The group of a window; a new one if there is none. There is room for one more. */
static int32_t group_of(ltlm_kv_store *store, int32_t window)
{
    for (size_t g = 0; g < store->group_count; g++) {
        if (store->groups[g].window == window) {
            return (int32_t)g;
        }
    }
    store->groups[store->group_count] = (ltlm__kv_group){.window = window};
    return (int32_t)store->group_count++;
}

static int32_t lay_out(ltlm_kv_store *store, ltlm_error *err)
{
    for (size_t i = 0; i < store->cache_count; i++) {
        const ltlm_cache *cache = &store->caches[i];
        size_t bytes = head_bytes(cache, ltlm__kv_element_bytes(store));
        if (bytes == 0) {
            return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT,
                              "cache %zu: %d heads of %d with a window of %d cannot be", i,
                              (int)cache->kv_heads, (int)cache->head_dim, (int)cache->window);
        }
        int32_t group = group_of(store, cache->window);
        size_t *end = &store->groups[group].page_bytes;
        store->places[i] =
            (ltlm_kv_place){.group = group, .keys = *end, .values = *end + bytes, .head = 2 * bytes};
        *end += 2 * bytes * (size_t)cache->kv_heads;
    }
    return LTLM_OK;
}

static void free_store(ltlm_kv_store *store)
{
    ltlm__free(store->caches);
    ltlm__free(store->places);
    ltlm__free(store->groups);
    ltlm__free(store);
}

int32_t ltlm_kv_store_create(const ltlm_cache *caches, size_t cache_count, bool wide, size_t limit,
                             ltlm_kv_store **out, ltlm_error *err)
{
    *out = NULL;
    if (cache_count == 0 || cache_count > 65536) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "%zu caches; 1 to 65536 can be", cache_count);
    }
    ltlm_kv_store *store = ltlm__calloc(1, sizeof *store);
    if (!store) {
        return ltlm__fail_no_memory(err);
    }
    store->cache_count = cache_count;
    store->wide = wide;
    store->limit = limit;
    store->caches = ltlm__calloc(cache_count, sizeof *caches);
    store->places = ltlm__calloc(cache_count, sizeof *store->places);
    store->groups = ltlm__calloc(cache_count, sizeof *store->groups);
    if (!store->caches || !store->places || !store->groups) {
        free_store(store);
        return ltlm__fail_no_memory(err);
    }
    memcpy(store->caches, caches, cache_count * sizeof *caches);
    int32_t status = lay_out(store, err);
    if (status == LTLM_OK && !ltlm__mutex_init(&store->mutex)) {
        status = ltlm__fail_no_memory(err);
    }
    if (status != LTLM_OK) {
        free_store(store);
        return status;
    }
    *out = store;
    return ltlm__succeed(err);
}

void ltlm_kv_store_delete(ltlm_kv_store *store)
{
    if (store) {
        ltlm__mutex_destroy(&store->mutex);
        free_store(store);
    }
}

const ltlm_kv_place *ltlm_kv_store_place(const ltlm_kv_store *store, int32_t cache)
{
    return &store->places[cache];
}

bool ltlm_kv_store_is_wide(const ltlm_kv_store *store) { return store->wide; }

size_t ltlm_kv_store_bytes(ltlm_kv_store *store)
{
    ltlm__mutex_lock(&store->mutex);
    size_t used = store->used;
    ltlm__mutex_unlock(&store->mutex);
    return used;
}

size_t ltlm_kv_store_token_bytes(const ltlm_kv_store *store)
{
    size_t bytes = 0;
    for (size_t g = 0; g < store->group_count; g++) {
        bytes += store->groups[g].page_bytes / LTLM_PAGE;
    }
    return bytes;
}

/* ---- pages ------------------------------------------------------------------------------------- */

uint8_t *ltlm__kv_map_page(const ltlm__kv_group *group)
{
    uint8_t *memory = ltlm__map(LTLM_ALIGN + group->page_bytes);
    if (!memory) {
        return NULL;
    }
    uint8_t *page = memory + LTLM_ALIGN;
    *ltlm__kv_page_of(page) = (ltlm__kv_page){.references = 1};
    return page;
}

void ltlm__kv_unmap_pages(const ltlm__kv_group *group, uint8_t *list)
{
    while (list) {
        uint8_t *page = list;
        list = ltlm__kv_page_of(page)->next;
        ltlm__unmap(page - LTLM_ALIGN, LTLM_ALIGN + group->page_bytes);
    }
}
