/* Pages of KV: sharing, copying on write, limits, windows, saving. The tests write into the positions. */
#include "native/kv.h"
#include "testing.h"

#define HEADS 2
#define DIM 8

/* Layers 0 and 2 see everything, layer 1 sees 40 positions back. */
static const ltlm_cache CACHES[] = {{HEADS, DIM, 0}, {1, 2 * DIM, 40}, {1, DIM, 0}};

static ltlm_error err;

static ltlm_kv_store *new_store(size_t limit)
{
    ltlm_kv_store *store;
    ASSERT_INT(LTLM_OK, ltlm_kv_store_create(CACHES, 3, false, limit, &store, &err));
    return store;
}

static ltlm_kv *new_kv(ltlm_kv_store *store)
{
    ltlm_kv *kv;
    ASSERT_INT(LTLM_OK, ltlm_kv_create(store, &kv, &err));
    return kv;
}

static ltlm_kv *fork_of(const ltlm_kv *kv)
{
    ltlm_kv *fork;
    ASSERT_INT(LTLM_OK, ltlm_kv_fork(kv, &fork, &err));
    return fork;
}

/* Where element `d` of a key or a value of `cache` lies, as uint16. */
static uint16_t *key_at(const ltlm_kv_store *store, const ltlm_kv *kv, int32_t cache, int32_t head,
                        int32_t position, int32_t d)
{
    const ltlm_kv_place *place = ltlm_kv_store_place(store, cache);
    uint8_t *page = ltlm_kv_pages(kv, place->group)[position / LTLM_PAGE];
    size_t slot = (size_t)(position % LTLM_PAGE), dim = (size_t)CACHES[cache].head_dim;
    size_t at = (slot / LTLM_KEY_TILE * dim + (size_t)d) * LTLM_KEY_TILE + slot % LTLM_KEY_TILE;
    return (uint16_t *)(void *)(page + place->keys + (size_t)head * place->head) + at;
}

static uint16_t *value_at(const ltlm_kv_store *store, const ltlm_kv *kv, int32_t cache, int32_t head,
                          int32_t position, int32_t d)
{
    const ltlm_kv_place *place = ltlm_kv_store_place(store, cache);
    uint8_t *page = ltlm_kv_pages(kv, place->group)[position / LTLM_PAGE];
    size_t slot = (size_t)(position % LTLM_PAGE), dim = (size_t)CACHES[cache].head_dim;
    return (uint16_t *)(void *)(page + place->values + (size_t)head * place->head) + slot * dim + (size_t)d;
}

static uint16_t content(int32_t token, int32_t cache, int32_t head, int32_t d)
{
    return (uint16_t)(token * 131 + cache * 31 + head * 17 + d);
}

/* Calls for every element of a position: writes it, or compares it. */
static void visit(const ltlm_kv_store *store, const ltlm_kv *kv, int32_t position, int32_t token, bool write)
{
    for (int32_t cache = 0; cache < 3; cache++) {
        if (!ltlm_kv_pages(kv, ltlm_kv_store_place(store, cache)->group)[position / LTLM_PAGE]) {
            ASSERT(!write);
            continue;
        }
        for (int32_t head = 0; head < CACHES[cache].kv_heads; head++) {
            for (int32_t d = 0; d < CACHES[cache].head_dim; d++) {
                uint16_t *key = key_at(store, kv, cache, head, position, d);
                uint16_t *value = value_at(store, kv, cache, head, position, d);
                if (write) {
                    *key = content(token, cache, head, d);
                    *value = (uint16_t)~content(token, cache, head, d);
                }
                ASSERT_INT(content(token, cache, head, d), *key);
                ASSERT_INT((uint16_t)~content(token, cache, head, d), *value);
            }
        }
    }
}

/* Reserves, writes and commits `count` positions with tokens from `token` on. */
static void append(const ltlm_kv_store *store, ltlm_kv *kv, int32_t token, int32_t count)
{
    ASSERT_INT(LTLM_OK, ltlm_kv_reserve(kv, count, &err));
    for (int32_t i = 0; i < count; i++) {
        int32_t next = token + i;
        visit(store, kv, ltlm_kv_length(kv), next, true);
        ltlm_kv_commit(kv, &next, 1);
    }
}

/* Every position holds what its token says. */
static void check(const ltlm_kv_store *store, const ltlm_kv *kv)
{
    for (int32_t p = 0; p < ltlm_kv_length(kv); p++) {
        visit(store, kv, p, ltlm_kv_tokens(kv)[p], false);
    }
}

/* Bytes of a page of the unwindowed and of the windowed group. */
static size_t full_page(void) { return (size_t)LTLM_PAGE * DIM * (HEADS + 1) * 2 * sizeof(uint16_t); }
static size_t window_page(void) { return (size_t)LTLM_PAGE * 2 * DIM * 2 * sizeof(uint16_t); }
static size_t both(size_t pages) { return pages * (full_page() + window_page()); }

/* ---- layout ---- */

TEST(places_of_all_caches_are_disjoint_and_fill_their_pages)
{
    ltlm_kv_store *store = new_store(0);
    ltlm_kv *kv = new_kv(store);
    append(store, kv, 1, 2 * LTLM_PAGE);
    check(store, kv); /* were two elements at one place, the later would show */
    ASSERT_INT(both(2), ltlm_kv_store_bytes(store));
    ASSERT_INT(both(1) / LTLM_PAGE, ltlm_kv_store_token_bytes(store));
    ASSERT_INT(ltlm_kv_store_place(store, 0)->group, ltlm_kv_store_place(store, 2)->group);
    ASSERT(ltlm_kv_store_place(store, 1)->group != ltlm_kv_store_place(store, 0)->group);
    ASSERT_INT(0, (uintptr_t)ltlm_kv_pages(kv, 0)[0] % LTLM_ALIGN);
    ltlm_kv_delete(kv);
    ltlm_kv_store_delete(store);
}

TEST(a_wide_store_takes_twice_the_bytes)
{
    ltlm_kv_store *store;
    ASSERT_INT(LTLM_OK, ltlm_kv_store_create(CACHES, 3, true, 0, &store, &err));
    ASSERT_INT(2 * both(1) / LTLM_PAGE, ltlm_kv_store_token_bytes(store));
    ltlm_kv_store_delete(store);
}

TEST(caches_that_cannot_be_are_refused)
{
    static const ltlm_cache nonsense[] = {
        {0, 8, 0}, {1, 0, 0}, {1, 12, 0}, {1, 8, -1}, {INT32_MAX, 2147483640, 0}};
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        ltlm_kv_store *store;
        ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_kv_store_create(&nonsense[i], 1, false, 0, &store, &err));
        ASSERT_IN("cache 0", err.reason);
        ASSERT(!store);
    }
}

/* ---- growing and shrinking ---- */

TEST(memory_grows_by_the_page_and_is_given_back)
{
    ltlm_kv_store *store = new_store(0);
    ltlm_kv *kv = new_kv(store);
    ASSERT_INT(0, ltlm_kv_store_bytes(store));
    append(store, kv, 1, 1);
    ASSERT_INT(both(1), ltlm_kv_store_bytes(store));
    append(store, kv, 2, LTLM_PAGE - 1);
    ASSERT_INT(both(1), ltlm_kv_store_bytes(store));
    append(store, kv, 9, 1);
    ASSERT_INT(both(2), ltlm_kv_store_bytes(store));
    ltlm_kv_truncate(kv, LTLM_PAGE);
    ASSERT_INT(both(1), ltlm_kv_store_bytes(store));
    check(store, kv);
    ltlm_kv_truncate(kv, 0);
    ASSERT_INT(0, ltlm_kv_store_bytes(store));
    append(store, kv, 5, 3);
    check(store, kv);
    ltlm_kv_delete(kv);
    ASSERT_INT(0, ltlm_kv_store_bytes(store));
    ltlm_kv_store_delete(store);
}

TEST(what_was_reserved_and_not_committed_is_given_back)
{
    ltlm_kv_store *store = new_store(0);
    ltlm_kv *kv = new_kv(store);
    append(store, kv, 1, 5);
    ASSERT_INT(LTLM_OK, ltlm_kv_reserve(kv, 100, &err));
    ASSERT_INT(LTLM_OK, ltlm_kv_reserve(kv, 50, &err)); /* as after an aborted run: no more pages */
    ASSERT_INT(both(4), ltlm_kv_store_bytes(store));
    ltlm_kv *fork = fork_of(kv); /* takes the committed page only */
    ltlm_kv_truncate(kv, 5);
    ASSERT_INT(both(1), ltlm_kv_store_bytes(store));
    check(store, kv);
    ltlm_kv_delete(kv);
    check(store, fork);
    ltlm_kv_delete(fork);
    ltlm_kv_store_delete(store);
}

/* ---- sharing ---- */

TEST(forks_share_pages_until_one_writes)
{
    ltlm_kv_store *store = new_store(0);
    ltlm_kv *kv = new_kv(store);
    append(store, kv, 1, 2 * LTLM_PAGE + 5);
    ltlm_kv *fork = fork_of(kv);
    ASSERT_INT(both(3), ltlm_kv_store_bytes(store));
    append(store, fork, 1000, 1);
    ASSERT_INT(both(4), ltlm_kv_store_bytes(store)); /* the page in which they part was copied, no other */
    append(store, kv, 2000, 1);
    ASSERT_INT(both(4), ltlm_kv_store_bytes(store)); /* and now belongs to the original alone */
    check(store, kv);
    check(store, fork);
    ASSERT_INT(1000, ltlm_kv_tokens(fork)[2 * LTLM_PAGE + 5]);
    ltlm_kv_delete(kv);
    check(store, fork);
    ASSERT_INT(both(3), ltlm_kv_store_bytes(store));
    ltlm_kv_delete(fork);
    ltlm_kv_store_delete(store);
}

TEST(a_fork_cut_back_does_not_write_into_what_it_shares)
{
    ltlm_kv_store *store = new_store(0);
    ltlm_kv *kv = new_kv(store);
    append(store, kv, 1, 3 * LTLM_PAGE);
    ltlm_kv *fork = fork_of(kv);
    ltlm_kv_truncate(fork, LTLM_PAGE + 7);
    append(store, fork, 500, 40);
    check(store, kv);
    check(store, fork);
    ltlm_kv_truncate(kv, LTLM_PAGE + 7); /* in place: the page is its own again */
    append(store, kv, 700, 3);
    check(store, kv);
    check(store, fork);
    ltlm_kv_delete(fork);
    ltlm_kv_delete(kv);
    ltlm_kv_store_delete(store);
}

/* ---- limits ---- */

TEST(a_reserve_beyond_the_limit_changes_nothing)
{
    ltlm_kv_store *store = new_store(both(3));
    ltlm_kv *kv = new_kv(store), *fork;
    append(store, kv, 1, LTLM_PAGE + 1);
    fork = fork_of(kv);
    ASSERT_INT(LTLM_E_NO_MEMORY, ltlm_kv_reserve(fork, LTLM_PAGE, &err)); /* a copy and a new one */
    char expected[120];
    snprintf(expected, sizeof expected, "%zu bytes needed, %zu in use, %zu allowed", both(2), both(2),
             both(3));
    ASSERT_IN(expected, err.reason);
    ASSERT_INT(both(2), ltlm_kv_store_bytes(store));
    check(store, fork);
    append(store, fork, 7, LTLM_PAGE - 1); /* the copy alone fits */
    ASSERT_INT(both(3), ltlm_kv_store_bytes(store));
    ASSERT_INT(LTLM_E_NO_MEMORY, ltlm_kv_reserve(fork, 1, &err));
    ltlm_kv_delete(kv);
    append(store, fork, 8, 1);
    check(store, fork);
    ltlm_kv_delete(fork);
    ltlm_kv_store_delete(store);
}

TEST(impossible_counts_are_refused)
{
    ltlm_kv_store *store = new_store(0);
    ltlm_kv *kv = new_kv(store);
    append(store, kv, 1, 1);
    ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_kv_reserve(kv, INT32_MAX - 5, &err));
    ASSERT_INT(LTLM_OK, ltlm_kv_reserve(kv, 0, &err));
    ltlm_kv_delete(kv);
    ltlm_kv_store_delete(store);
}

/* Builds, forks and grows; every allocation in turn fails. */
TEST(memory_may_run_out_anywhere)
{
    for (int successes = 0;; successes++) {
        ltlm_kv_store *store = NULL;
        ltlm_kv *kv = NULL, *fork = NULL;
        test_alloc_fail_after(successes);
        int32_t status = ltlm_kv_store_create(CACHES, 3, false, 0, &store, &err);
        status = status == LTLM_OK ? ltlm_kv_create(store, &kv, &err) : status;
        status = status == LTLM_OK ? ltlm_kv_reserve(kv, 40, &err) : status;
        if (status == LTLM_OK) {
            int32_t tokens[40] = {0};
            ltlm_kv_commit(kv, tokens, 40);
            status = ltlm_kv_fork(kv, &fork, &err);
            status = status == LTLM_OK ? ltlm_kv_reserve(fork, 100, &err) : status;
            ASSERT_INT(fork && status == LTLM_OK ? both(6) : both(2), ltlm_kv_store_bytes(store));
        }
        bool failed = test_alloc_has_failed();
        test_alloc_fail_after(-1);
        ASSERT_INT(failed ? LTLM_E_NO_MEMORY : LTLM_OK, status);
        ASSERT_INT(status, err.status);
        ltlm_kv_delete(fork);
        ltlm_kv_delete(kv);
        ltlm_kv_store_delete(store);
        ASSERT_INT(0, test_alloc_live());
        if (!failed) {
            ASSERT(successes > 10);
            return;
        }
    }
}

/* ---- windows ---- */

TEST(a_window_lets_go_of_what_nothing_looks_at)
{
    ltlm_kv_store *store = new_store(0);
    ltlm_kv *kv = new_kv(store);
    int32_t group = ltlm_kv_store_place(store, 1)->group;
    append(store, kv, 1, 200);
    ltlm_kv_slide(kv, 102); /* looks back to 63: page 1 is still needed */
    ASSERT(!ltlm_kv_pages(kv, group)[0] && ltlm_kv_pages(kv, group)[1]);
    ltlm_kv_slide(kv, 103); /* to 64 */
    ASSERT(!ltlm_kv_pages(kv, group)[1] && ltlm_kv_pages(kv, group)[2]);
    ASSERT_INT(7 * full_page() + 5 * window_page(), ltlm_kv_store_bytes(store));
    ltlm_kv_slide(kv, 50); /* never back */
    check(store, kv);
    ASSERT_INT(200, ltlm_kv_keepable(kv, 999));
    ASSERT_INT(103, ltlm_kv_keepable(kv, 103));
    ASSERT_INT(0, ltlm_kv_keepable(kv, 102));
    ASSERT_INT(0, ltlm_kv_keepable(kv, -1));
    append(store, kv, 300, 60);
    ltlm_kv *fork = fork_of(kv);
    ltlm_kv_truncate(fork, 103);
    ASSERT_INT(103, ltlm_kv_keepable(fork, 103));
    append(store, fork, 900, 30);
    check(store, fork);
    check(store, kv);
    ltlm_kv_truncate(fork, 0); /* from 0 on everything is there again */
    append(store, fork, 1, 50);
    ASSERT_INT(20, ltlm_kv_keepable(fork, 20));
    check(store, fork);
    ltlm_kv_delete(fork);
    ltlm_kv_delete(kv);
    ASSERT_INT(0, ltlm_kv_store_bytes(store));
    ltlm_kv_store_delete(store);
}

TEST(a_window_slides_no_further_than_what_is_filled)
{
    ltlm_kv_store *store = new_store(0);
    ltlm_kv *kv = new_kv(store);
    append(store, kv, 1, 100);
    ltlm_kv_slide(kv, INT32_MAX);
    ASSERT_INT(100, ltlm_kv_keepable(kv, 100));
    append(store, kv, 1, 100);
    check(store, kv);
    ltlm_kv_delete(kv);
    ltlm_kv_store_delete(store);
}

/* ---- saving ---- */

static uint8_t *saved(const ltlm_kv *kv, size_t *size)
{
    *size = ltlm_kv_saved_bytes(kv);
    uint8_t *bytes = malloc(*size);
    ASSERT(bytes);
    ltlm_kv_save(kv, bytes);
    return bytes;
}

static ltlm_kv *slid(ltlm_kv_store *store, int32_t length, int32_t position)
{
    ltlm_kv *kv = new_kv(store);
    append(store, kv, 1, length);
    ltlm_kv_slide(kv, position);
    return kv;
}

TEST(what_was_saved_is_loaded_by_another_store)
{
    static const int32_t lengths[] = {0, 1, 16, 17, 31, 32, 33, 150};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        ltlm_kv_store *store = new_store(0), *other = new_store(0);
        ltlm_kv *kv = slid(store, lengths[i], 130), *copy = new_kv(other);
        size_t size;
        uint8_t *bytes = saved(kv, &size);
        append(other, copy, 77, 3);
        ASSERT_INT(LTLM_OK, ltlm_kv_load(copy, bytes, size, &err));
        ASSERT_INT(lengths[i], ltlm_kv_length(copy));
        ASSERT_INT(ltlm_kv_store_bytes(store), ltlm_kv_store_bytes(other));
        ASSERT_INT(ltlm_kv_keepable(kv, 100), ltlm_kv_keepable(copy, 100));
        check(other, copy);
        append(other, copy, 500, 40);
        check(other, copy);
        free(bytes);
        ltlm_kv_delete(kv);
        ltlm_kv_delete(copy);
        ltlm_kv_store_delete(store);
        ltlm_kv_store_delete(other);
    }
}

TEST(unfilled_slots_are_saved_as_zeros)
{
    ltlm_kv_store *store = new_store(0);
    ltlm_kv *clean = slid(store, 5, 0), *dirty = slid(store, 30, 0);
    ltlm_kv_truncate(dirty, 5);
    size_t size, same;
    uint8_t *bytes = saved(clean, &size), *others = saved(dirty, &same);
    ASSERT_INT(size, same);
    ASSERT_INT(0, memcmp(bytes, others, size));
    free(bytes);
    free(others);
    ltlm_kv_delete(clean);
    ltlm_kv_delete(dirty);
    ltlm_kv_store_delete(store);
}

TEST(damaged_bytes_are_refused_and_change_nothing)
{
    ltlm_kv_store *store = new_store(0);
    ltlm_kv *kv = slid(store, 100, 100), *copy = new_kv(store);
    append(store, copy, 7, 3);
    size_t size;
    uint8_t *bytes = saved(kv, &size);
    size_t used = ltlm_kv_store_bytes(store);
    for (size_t cut = 0; cut < size; cut += cut < 600 ? 1 : 997) {
        uint8_t *part = malloc(cut + 1); /* of its own, so that a read beyond it is found */
        ASSERT(part);
        memcpy(part, bytes, cut);
        ASSERT_INT(LTLM_E_INVALID_ARGUMENT, ltlm_kv_load(copy, part, cut, &err));
        free(part);
    }
    size_t front = 40 + 3 * sizeof(ltlm_cache) + 2 * sizeof(int32_t);
    for (size_t i = 0; i < front; i++) {
        for (int bit = 0; bit < 8; bit++) {
            bytes[i] ^= (uint8_t)(1 << bit);
            int32_t status = ltlm_kv_load(copy, bytes, size, &err);
            ASSERT(status == LTLM_E_INVALID_ARGUMENT && err.reason[0]);
            bytes[i] ^= (uint8_t)(1 << bit);
        }
    }
    ASSERT_INT(3, ltlm_kv_length(copy));
    ASSERT_INT(used, ltlm_kv_store_bytes(store));
    check(store, copy);
    free(bytes);
    ltlm_kv_delete(kv);
    ltlm_kv_delete(copy);
    ltlm_kv_store_delete(store);
}

TEST(a_load_obeys_the_limit)
{
    ltlm_kv_store *store = new_store(0), *small = new_store(both(2));
    ltlm_kv *kv = slid(store, 100, 0), *copy = new_kv(small);
    append(small, copy, 7, 3);
    size_t size;
    uint8_t *bytes = saved(kv, &size);
    ASSERT_INT(LTLM_E_NO_MEMORY, ltlm_kv_load(copy, bytes, size, &err));
    ASSERT_INT(3, ltlm_kv_length(copy));
    ASSERT_INT(both(1), ltlm_kv_store_bytes(small));
    free(bytes);
    ltlm_kv_delete(kv);
    ltlm_kv_delete(copy);
    ltlm_kv_store_delete(store);
    ltlm_kv_store_delete(small);
}

TESTS(RUN(places_of_all_caches_are_disjoint_and_fill_their_pages) //
      RUN(a_wide_store_takes_twice_the_bytes)                     //
      RUN(caches_that_cannot_be_are_refused)                      //
      RUN(memory_grows_by_the_page_and_is_given_back)             //
      RUN(what_was_reserved_and_not_committed_is_given_back)      //
      RUN(forks_share_pages_until_one_writes)                     //
      RUN(a_fork_cut_back_does_not_write_into_what_it_shares)     //
      RUN(a_reserve_beyond_the_limit_changes_nothing)             //
      RUN(impossible_counts_are_refused)                          //
      RUN(memory_may_run_out_anywhere)                            //
      RUN(a_window_lets_go_of_what_nothing_looks_at)              //
      RUN(a_window_slides_no_further_than_what_is_filled)         //
      RUN(what_was_saved_is_loaded_by_another_store)              //
      RUN(unfilled_slots_are_saved_as_zeros)                      //
      RUN(damaged_bytes_are_refused_and_change_nothing)           //
      RUN(a_load_obeys_the_limit))
