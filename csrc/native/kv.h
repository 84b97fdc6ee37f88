/* kv.h - KV caches in pages.
 *
 * A store belongs to a model. It hands out pages of LTLM_PAGE positions, counted by reference: sequences that
 * were forked, or that began alike, share pages until one of them writes. Caches of equal window make up a
 * group; a page belongs to one group and holds that group's caches one after the other, each with its kv
 * heads one after the other, each with keys and then values as kernels.h lays them out. Pages come from
 * memory that is returned when the last sequence lets go.
 *
 * Threads: one lock inside the store guards pages and counts. A sequence is used by one thread at a time.
 */
#ifndef LTLM_KV_H
#define LTLM_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels.h"
#include "ltlm.h"
#include "plan.h"

typedef struct ltlm_kv_store ltlm_kv_store;
typedef struct ltlm_kv ltlm_kv; /* the caches of one sequence, and its tokens */

/* Where a cache lies. */
typedef struct {
    int32_t group;
    size_t keys;   /* from the beginning of a page, of kv head 0 */
    size_t values;
    size_t head;   /* bytes from one kv head to the next, for keys and values alike */
} ltlm_kv_place;

/* `caches` is copied. `limit` bytes at most for all pages; 0: none. *out: caller frees with
 * ltlm_kv_store_delete after all its sequences. */
int32_t ltlm_kv_store_create(const ltlm_cache *caches, size_t cache_count, bool wide, size_t limit,
                             ltlm_kv_store **out, ltlm_error *err);
void ltlm_kv_store_delete(ltlm_kv_store *store);
const ltlm_kv_place *ltlm_kv_store_place(const ltlm_kv_store *store, int32_t cache);
bool ltlm_kv_store_is_wide(const ltlm_kv_store *store);
size_t ltlm_kv_store_bytes(ltlm_kv_store *store); /* of all pages in use */
size_t ltlm_kv_store_token_bytes(const ltlm_kv_store *store); /* what one position takes */

/* An empty sequence. *out: caller frees with ltlm_kv_delete, which never fails. */
int32_t ltlm_kv_create(ltlm_kv_store *store, ltlm_kv **out, ltlm_error *err);
void ltlm_kv_delete(ltlm_kv *kv);
/* The same positions in shared pages. */
int32_t ltlm_kv_fork(const ltlm_kv *kv, ltlm_kv **out, ltlm_error *err);

int32_t ltlm_kv_length(const ltlm_kv *kv);            /* positions filled */
const int32_t *ltlm_kv_tokens(const ltlm_kv *kv);     /* [length]; borrowed until the next change */
/* The greatest n <= length such that positions below n can be kept: no window has let go of what position
 * n looks at. */
int32_t ltlm_kv_keepable(const ltlm_kv *kv, int32_t length);
/* Forget positions from `length` on; it must be keepable. */
void ltlm_kv_truncate(ltlm_kv *kv, int32_t length);
/* Make positions length .. length + count - 1 writable: pages are allocated, and copied if shared. On
 * failure nothing changed; LTLM_E_NO_MEMORY names the bytes needed, in use and allowed. */
int32_t ltlm_kv_reserve(ltlm_kv *kv, int32_t count, ltlm_error *err);
/* Reserved positions are filled now; `tokens` says with what. */
void ltlm_kv_commit(ltlm_kv *kv, const int32_t *tokens, int32_t count);
/* Windows may let go of what positions from `position` on do not look at. */
void ltlm_kv_slide(ltlm_kv *kv, int32_t position);

/* Pages of a group, one for each LTLM_PAGE positions, NULL where a window has let go; borrowed until the
 * next change. Writable from the page of the first reserved position on. */
uint8_t *const *ltlm_kv_pages(const ltlm_kv *kv, int32_t group);

/* The state as bytes: everything in host byte order, a header first (magic, version, layout of the
 * caches), so that another store of the same layout can load it. */
size_t ltlm_kv_saved_bytes(const ltlm_kv *kv);
void ltlm_kv_save(const ltlm_kv *kv, uint8_t *out);
/* Replaces what is in `kv`. Every number is checked; damaged bytes are LTLM_E_INVALID_ARGUMENT and change
 * nothing. */
int32_t ltlm_kv_load(ltlm_kv *kv, const uint8_t *bytes, size_t size, ltlm_error *err);

#endif /* LTLM_KV_H */
