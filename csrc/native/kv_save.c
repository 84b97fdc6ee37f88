/* The state of a sequence as bytes: a header, the layout of the caches, how far each group's window has slid,
 * the tokens, and each group's pages in turn. Slots that hold nothing are zeros. */
#include "alloc.h"
#include "kv_state.h"
#include "status.h"

#define MAGIC "ltlm KV\n"
#define VERSION 1

typedef struct {
    char magic[8];
    int32_t byte_order; /* 0x01020304 as this host writes it */
    int32_t version;
    int32_t element_bytes;
    int32_t page;
    int32_t key_tile;
    int32_t cache_count;
    int32_t group_count;
    int32_t length;
} header;

static header header_of(const ltlm_kv_store *store, int32_t length)
{
    header head = {
        .byte_order = 0x01020304,
        .version = VERSION,
        .element_bytes = (int32_t)ltlm__kv_element_bytes(store),
        .page = LTLM_PAGE,
        .key_tile = LTLM_KEY_TILE,
        .cache_count = (int32_t)store->cache_count,
        .group_count = (int32_t)store->group_count,
        .length = length,
    };
    memcpy(head.magic, MAGIC, sizeof head.magic);
    return head;
}

/* Bytes of everything but the pages. */
static size_t front_bytes(const ltlm_kv_store *store, int32_t length)
{
    return sizeof(header) + store->cache_count * sizeof(ltlm_cache) + store->group_count * sizeof(int32_t) +
           (size_t)length * sizeof(int32_t);
}

/* ---- save -------------------------------------------------------------------------------------- */

size_t ltlm_kv_saved_bytes(const ltlm_kv *kv)
{
    size_t bytes = front_bytes(kv->store, kv->length);
    for (size_t g = 0; g < kv->store->group_count; g++) {
        int32_t pages = ltlm__kv_pages_of(kv->length) - kv->tables[g].first;
        bytes += (size_t)pages * kv->store->groups[g].page_bytes;
    }
    return bytes;
}

static uint8_t *put(uint8_t *out, const void *bytes, size_t size)
{
    if (size > 0) {
        memcpy(out, bytes, size);
    }
    return out + size;
}

/* The first `slots` positions of one kv head. Another sequence, one that shares the page, may be writing the
 * rest. */
static void put_head(uint8_t *keys, uint8_t *values, const uint8_t *from_keys, const uint8_t *from_values,
                     size_t slots, size_t head_dim, size_t element)
{
    memcpy(values, from_values, slots * head_dim * element);
    for (size_t tile = 0; tile * LTLM_KEY_TILE < slots; tile++) {
        size_t left = slots - tile * LTLM_KEY_TILE;
        size_t used = left < LTLM_KEY_TILE ? left : LTLM_KEY_TILE;
        for (size_t d = 0; d < head_dim; d++) {
            size_t at = (tile * head_dim + d) * LTLM_KEY_TILE * element;
            memcpy(keys + at, from_keys + at, used * element);
        }
    }
}

static void put_part_of_page(const ltlm_kv_store *store, size_t group, uint8_t *out, const uint8_t *page,
                             size_t slots)
{
    memset(out, 0, store->groups[group].page_bytes);
    for (size_t i = 0; i < store->cache_count; i++) {
        const ltlm_kv_place *place = &store->places[i];
        for (int32_t h = 0; place->group == (int32_t)group && h < store->caches[i].kv_heads; h++) {
            size_t head = (size_t)h * place->head;
            size_t keys = place->keys + head, values = place->values + head;
            put_head(out + keys, out + values, page + keys, page + values, slots,
                     (size_t)store->caches[i].head_dim, ltlm__kv_element_bytes(store));
        }
    }
}

void ltlm_kv_save(const ltlm_kv *kv, uint8_t *out)
{
    const ltlm_kv_store *store = kv->store;
    header head = header_of(store, kv->length);
    out = put(out, &head, sizeof head);
    out = put(out, store->caches, store->cache_count * sizeof *store->caches);
    for (size_t g = 0; g < store->group_count; g++) {
        out = put(out, &kv->tables[g].first, sizeof(int32_t));
    }
    out = put(out, kv->tokens, (size_t)kv->length * sizeof(int32_t));
    int32_t whole = kv->length / LTLM_PAGE, rest = kv->length % LTLM_PAGE;
    for (size_t g = 0; g < store->group_count; g++) {
        for (int32_t i = kv->tables[g].first; i < whole; i++) {
            out = put(out, kv->tables[g].pages[i], store->groups[g].page_bytes);
        }
        if (rest > 0) {
            put_part_of_page(store, g, out, kv->tables[g].pages[whole], (size_t)rest);
            out += store->groups[g].page_bytes;
        }
    }
}

/* ---- load -------------------------------------------------------------------------------------- */

static int32_t damaged(ltlm_error *err, const char *what)
{
    return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT, "the saved KV cache %s", what);
}

static int32_t check_header(const ltlm_kv_store *store, const uint8_t *bytes, size_t size, header *head,
                            ltlm_error *err)
{
    if (size < sizeof *head) {
        return damaged(err, "is cut off");
    }
    memcpy(head, bytes, sizeof *head);
    if (memcmp(head->magic, MAGIC, sizeof head->magic) != 0) {
        return damaged(err, "does not begin as one");
    }
    header ours = header_of(store, head->length);
    if (head->byte_order != ours.byte_order) {
        return damaged(err, "is from a machine of another byte order");
    }
    if (head->version != VERSION) {
        return ltlm__fail(err, LTLM_E_INVALID_ARGUMENT,
                          "the saved KV cache has version %d; version %d is known here", (int)head->version,
                          VERSION);
    }
    if (head->length < 0 || head->length > INT32_MAX - LTLM_PAGE) {
        return damaged(err, "has an impossible length");
    }
    size_t layout = store->cache_count * sizeof *store->caches;
    if (memcmp(head, &ours, sizeof ours) != 0 || size - sizeof *head < layout ||
        memcmp(bytes + sizeof *head, store->caches, layout) != 0) {
        return damaged(err, "was made by another model, or with another type of cache");
    }
    if (size < front_bytes(store, head->length)) {
        return damaged(err, "is cut off");
    }
    return LTLM_OK;
}

/* How far the windows have slid: no further than what position `length` looks at. */
static int32_t check_windows(ltlm_kv *kv, const uint8_t *firsts, int32_t length, size_t pages_size,
                             ltlm_error *err)
{
    const ltlm_kv_store *store = kv->store;
    size_t expected = 0;
    for (size_t g = 0; g < store->group_count; g++) {
        int32_t first, window = store->groups[g].window;
        memcpy(&first, firsts + g * sizeof first, sizeof first);
        int32_t most = window > 0 && length >= window ? (length - window + 1) / LTLM_PAGE : 0;
        if (first < 0 || first > most) {
            return damaged(err, "lacks positions that a window needs");
        }
        kv->tables[g].first = first;
        expected += (size_t)(ltlm__kv_pages_of(length) - first) * store->groups[g].page_bytes;
    }
    return expected == pages_size ? LTLM_OK : damaged(err, "has another size than its length says");
}

/* Fills `kv`, which is empty. */
static int32_t fill(ltlm_kv *kv, const uint8_t *bytes, size_t size, ltlm_error *err)
{
    const ltlm_kv_store *store = kv->store;
    header head;
    int32_t status = check_header(store, bytes, size, &head, err);
    if (status != LTLM_OK) {
        return status;
    }
    size_t front = front_bytes(store, head.length);
    const uint8_t *firsts = bytes + sizeof head + store->cache_count * sizeof *store->caches;
    const uint8_t *tokens = firsts + store->group_count * sizeof(int32_t);
    const uint8_t *pages = bytes + front;
    status = check_windows(kv, firsts, head.length, size - front, err);
    if (status == LTLM_OK) {
        status = ltlm_kv_reserve(kv, head.length, err);
    }
    if (status != LTLM_OK) {
        return status;
    }
    for (size_t g = 0; g < store->group_count; g++) {
        for (int32_t i = kv->tables[g].first; i < kv->page_count; i++) {
            memcpy(kv->tables[g].pages[i], pages, store->groups[g].page_bytes);
            pages += store->groups[g].page_bytes;
        }
    }
    if (head.length > 0) {
        memcpy(kv->tokens, tokens, (size_t)head.length * sizeof(int32_t));
        kv->length = head.length;
    }
    return ltlm__succeed(err);
}

/* Exchanges what two sequences of one store hold. */
static void swap(ltlm_kv *a, ltlm_kv *b)
{
    ltlm_kv front = *a;
    *a = *b;
    *b = front;
    for (size_t g = 0; g < a->store->group_count; g++) {
        ltlm__kv_table table = a->tables[g];
        a->tables[g] = b->tables[g];
        b->tables[g] = table;
    }
}

int32_t ltlm_kv_load(ltlm_kv *kv, const uint8_t *bytes, size_t size, ltlm_error *err)
{
    ltlm_kv *loaded;
    int32_t status = ltlm_kv_create(kv->store, &loaded, err);
    if (status != LTLM_OK) {
        return status;
    }
    status = fill(loaded, bytes, size, err);
    if (status == LTLM_OK) {
        swap(kv, loaded);
    }
    ltlm_kv_delete(loaded);
    return status;
}
