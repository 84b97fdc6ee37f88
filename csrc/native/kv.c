#include "alloc.h"
#include "kv_state.h"
#include "status.h"

/* Lets go of the pages from <= i < to, which become NULL. */
static void release(ltlm_kv *kv, size_t g, int32_t from, int32_t to)
{
    ltlm_kv_store *store = kv->store;
    ltlm__kv_table *table = &kv->tables[g];
    uint8_t *unused = NULL;
    ltlm__mutex_lock(&store->mutex);
    for (int32_t i = from; i < to; i++) {
        ltlm__kv_page *head = ltlm__kv_page_of(table->pages[i]);
        if (--head->references == 0) {
            head->next = unused;
            unused = table->pages[i];
            store->used -= store->groups[g].page_bytes;
        }
        table->pages[i] = NULL;
    }
    ltlm__mutex_unlock(&store->mutex);
    ltlm__kv_unmap_pages(&store->groups[g], unused);
}

/* ---- sequences --------------------------------------------------------------------------------- */

static int32_t greater(int32_t a, int32_t b) { return a > b ? a : b; }
static int32_t lesser(int32_t a, int32_t b) { return a < b ? a : b; }

/* Room for so many pages in the tables, and for their tokens. False: no memory. */
static bool make_room(ltlm_kv *kv, int32_t pages)
{
    if (pages <= kv->capacity) {
        return true;
    }
    int32_t capacity = greater(pages, lesser(kv->capacity, INT32_MAX / 4) * 2);
    int32_t *tokens = ltlm__realloc(kv->tokens, (size_t)capacity * LTLM_PAGE * sizeof *tokens);
    if (!tokens) {
        return false;
    }
    kv->tokens = tokens;
    for (size_t g = 0; g < kv->store->group_count; g++) {
        uint8_t **table = ltlm__realloc(kv->tables[g].pages, (size_t)capacity * sizeof *table);
        if (!table) {
            return false;
        }
        kv->tables[g].pages = table;
    }
    kv->capacity = capacity;
    return true;
}

int32_t ltlm_kv_create(ltlm_kv_store *store, ltlm_kv **out, ltlm_error *err)
{
    ltlm_kv *kv = ltlm__calloc(1, sizeof *kv + store->group_count * sizeof *kv->tables);
    *out = kv;
    if (!kv) {
        return ltlm__fail_no_memory(err);
    }
    kv->store = store;
    return ltlm__succeed(err);
}

void ltlm_kv_delete(ltlm_kv *kv)
{
    if (!kv) {
        return;
    }
    ltlm_kv_truncate(kv, 0);
    for (size_t g = 0; g < kv->store->group_count; g++) {
        ltlm__free(kv->tables[g].pages);
    }
    ltlm__free(kv->tokens);
    ltlm__free(kv);
}

int32_t ltlm_kv_fork(const ltlm_kv *kv, ltlm_kv **out, ltlm_error *err)
{
    ltlm_kv_store *store = kv->store;
    int32_t pages = ltlm__kv_pages_of(kv->length);
    ltlm_kv *fork;
    int32_t status = ltlm_kv_create(store, &fork, err);
    *out = NULL;
    if (status != LTLM_OK) {
        return status;
    }
    if (!make_room(fork, pages)) {
        ltlm_kv_delete(fork);
        return ltlm__fail_no_memory(err);
    }
    if (kv->length > 0) {
        memcpy(fork->tokens, kv->tokens, (size_t)kv->length * sizeof *kv->tokens);
    }
    ltlm__mutex_lock(&store->mutex);
    for (size_t g = 0; g < store->group_count; g++) {
        fork->tables[g].first = kv->tables[g].first;
        for (int32_t i = 0; i < pages; i++) {
            uint8_t *page = kv->tables[g].pages[i];
            fork->tables[g].pages[i] = page;
            if (page) {
                ltlm__kv_page_of(page)->references++;
            }
        }
    }
    ltlm__mutex_unlock(&store->mutex);
    fork->page_count = pages;
    fork->length = kv->length;
    *out = fork;
    return LTLM_OK;
}

int32_t ltlm_kv_length(const ltlm_kv *kv) { return kv->length; }

const int32_t *ltlm_kv_tokens(const ltlm_kv *kv) { return kv->tokens; }

uint8_t *const *ltlm_kv_pages(const ltlm_kv *kv, int32_t group) { return kv->tables[group].pages; }

int32_t ltlm_kv_keepable(const ltlm_kv *kv, int32_t length)
{
    int32_t kept = greater(0, lesser(length, kv->length));
    for (size_t g = 0; g < kv->store->group_count; g++) {
        /* Position n looks back to n - window + 1. A lesser n looks back even further, except 0. */
        int64_t first = (int64_t)kv->tables[g].first * LTLM_PAGE;
        if (first > 0 && (int64_t)kept - kv->store->groups[g].window + 1 < first) {
            return 0;
        }
    }
    return kept;
}

void ltlm_kv_truncate(ltlm_kv *kv, int32_t length)
{
    int32_t keep = ltlm__kv_pages_of(length);
    for (size_t g = 0; g < kv->store->group_count; g++) {
        ltlm__kv_table *table = &kv->tables[g];
        release(kv, g, greater(keep, table->first), kv->page_count);
        table->first = lesser(table->first, keep);
    }
    kv->page_count = lesser(kv->page_count, keep);
    kv->length = lesser(kv->length, length);
}

void ltlm_kv_slide(ltlm_kv *kv, int32_t position)
{
    position = lesser(position, kv->length);
    for (size_t g = 0; g < kv->store->group_count; g++) {
        int32_t window = kv->store->groups[g].window;
        int32_t first = window > 0 && position >= window ? (position - window + 1) / LTLM_PAGE : 0;
        if (first > kv->tables[g].first) {
            release(kv, g, kv->tables[g].first, first);
            kv->tables[g].first = first;
        }
    }
}

/* ---- reserve ----------------------------------------------------------------------------------- */

/* How many new pages of a group are needed so that there are `pages`. */
static int32_t missing(const ltlm_kv *kv, size_t g, int32_t pages)
{
    const ltlm__kv_table *table = &kv->tables[g];
    return greater(0, pages - greater(kv->page_count, table->first)) + (table->copies ? 1 : 0);
}

/* Finds which pages are shared and counts all that are needed as used. */
static int32_t claim(ltlm_kv *kv, int32_t pages, ltlm_error *err)
{
    ltlm_kv_store *store = kv->store;
    int32_t next = kv->length / LTLM_PAGE;
    size_t needed = 0;
    ltlm__mutex_lock(&store->mutex);
    for (size_t g = 0; g < store->group_count; g++) {
        ltlm__kv_table *table = &kv->tables[g];
        /* Pages after that one were reserved by this sequence, and are nobody else's. */
        table->copies = next < kv->page_count && ltlm__kv_page_of(table->pages[next])->references > 1;
        needed += (size_t)missing(kv, g, pages) * store->groups[g].page_bytes;
    }
    size_t used = store->used;
    bool fits = store->limit == 0 || (used <= store->limit && needed <= store->limit - used);
    store->used += fits ? needed : 0;
    ltlm__mutex_unlock(&store->mutex);
    if (!fits) {
        return ltlm__fail(err, LTLM_E_NO_MEMORY,
                          "no memory for the KV cache: %zu bytes needed, %zu in use, %zu allowed", needed,
                          used, store->limit);
    }
    return LTLM_OK;
}

/* Gives up what was claimed, and the pages made so far. */
static void unclaim(ltlm_kv *kv, int32_t pages)
{
    ltlm_kv_store *store = kv->store;
    ltlm__mutex_lock(&store->mutex);
    for (size_t g = 0; g < store->group_count; g++) {
        store->used -= (size_t)missing(kv, g, pages) * store->groups[g].page_bytes;
    }
    ltlm__mutex_unlock(&store->mutex);
    for (size_t g = 0; g < store->group_count; g++) {
        ltlm__kv_unmap_pages(&store->groups[g], kv->tables[g].fresh);
        kv->tables[g].fresh = NULL;
    }
}

static bool map_missing(ltlm_kv *kv, int32_t pages)
{
    for (size_t g = 0; g < kv->store->group_count; g++) {
        for (int32_t left = missing(kv, g, pages); left > 0; left--) {
            uint8_t *page = ltlm__kv_map_page(&kv->store->groups[g]);
            if (!page) {
                return false;
            }
            ltlm__kv_page_of(page)->next = kv->tables[g].fresh;
            kv->tables[g].fresh = page;
        }
    }
    return true;
}

static uint8_t *take_fresh(ltlm__kv_table *table)
{
    uint8_t *page = table->fresh;
    table->fresh = ltlm__kv_page_of(page)->next;
    return page;
}

/* Puts the new pages where they belong. */
static void install(ltlm_kv *kv, int32_t pages)
{
    int32_t next = kv->length / LTLM_PAGE;
    for (size_t g = 0; g < kv->store->group_count; g++) {
        ltlm__kv_table *table = &kv->tables[g];
        if (table->copies) {
            uint8_t *copy = take_fresh(table);
            memcpy(copy, table->pages[next], kv->store->groups[g].page_bytes);
            release(kv, g, next, next + 1);
            table->pages[next] = copy;
            table->copies = false;
        }
        for (int32_t i = kv->page_count; i < pages; i++) {
            table->pages[i] = i < table->first ? NULL : take_fresh(table);
        }
    }
    kv->page_count = greater(kv->page_count, pages);
}

int32_t ltlm_kv_reserve(ltlm_kv *kv, int32_t count, ltlm_error *err)
{
    if (count < 1) {
        return ltlm__succeed(err);
    }
    if (count > INT32_MAX - LTLM_PAGE - kv->length) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "%d more positions after %d cannot be", (int)count,
                          (int)kv->length);
    }
    int32_t pages = ltlm__kv_pages_of(kv->length + count);
    if (!make_room(kv, pages)) {
        return ltlm__fail_no_memory(err);
    }
    int32_t status = claim(kv, pages, err);
    if (status != LTLM_OK) {
        return status;
    }
    if (!map_missing(kv, pages)) {
        unclaim(kv, pages);
        return ltlm__fail(err, LTLM_E_NO_MEMORY,
                          "no memory for the KV cache: the system has none left; %zu bytes in use",
                          ltlm_kv_store_bytes(kv->store));
    }
    install(kv, pages);
    return ltlm__succeed(err);
}

void ltlm_kv_commit(ltlm_kv *kv, const int32_t *tokens, int32_t count)
{
    if (count > 0) {
        memcpy(kv->tokens + kv->length, tokens, (size_t)count * sizeof *tokens);
        kv->length += count;
    }
}
