/* kv_state.h - what a store and a sequence are made of, for kv*.c alone. */
#ifndef LTLM_KV_STATE_H
#define LTLM_KV_STATE_H

#include "kv.h"
#include "platform.h"

/* Caches of one window. Never changes. */
typedef struct {
    int32_t window;      /* 0: none */
    size_t page_bytes;   /* of the positions in a page */
} ltlm__kv_group;

struct ltlm_kv_store {
    size_t cache_count, group_count; /* never change, nor do the four below */
    ltlm_cache *caches;
    ltlm_kv_place *places;
    ltlm__kv_group *groups;
    bool wide;
    size_t limit;       /* 0: none */
    ltlm__mutex mutex;  /* guards `used`, and the reference counts of all pages */
    size_t used;        /* bytes of pages */
};

/* One group's pages of a sequence. */
typedef struct {
    uint8_t **pages; /* [ltlm_kv.page_count]; those before `first` are NULL */
    int32_t first;
    uint8_t *fresh;  /* a list of new pages, while a reserve goes on */
    bool copies;     /* the page that the next position goes into is shared, and has to be copied */
} ltlm__kv_table;

struct ltlm_kv {
    ltlm_kv_store *store;
    int32_t length;
    int32_t page_count;    /* of each group: what `length` positions take, and those reserved */
    int32_t *tokens;       /* [capacity * LTLM_PAGE] */
    int32_t capacity;      /* pages that the tables have room for */
    ltlm__kv_table tables[]; /* [store->group_count] */
};

/* Pages that `positions` take. */
static inline int32_t ltlm__kv_pages_of(int32_t positions)
{
    return (int32_t)(((int64_t)positions + LTLM_PAGE - 1) / LTLM_PAGE);
}

static inline size_t ltlm__kv_element_bytes(const ltlm_kv_store *store)
{
    return store->wide ? sizeof(float) : sizeof(uint16_t);
}

/* What precedes the positions of a page, in its first LTLM_ALIGN bytes. */
typedef struct {
    uint8_t *next; /* in a list of pages that belong to nobody yet, or any more */
    int32_t references;
} ltlm__kv_page;

static inline ltlm__kv_page *ltlm__kv_page_of(uint8_t *page)
{
    return (ltlm__kv_page *)(void *)(page - LTLM_ALIGN);
}

/* A page with one reference, not counted as used; NULL: the system has no memory. */
uint8_t *ltlm__kv_map_page(const ltlm__kv_group *group);

/* Returns a list of pages to the system. Hold no lock: it may take a while. */
void ltlm__kv_unmap_pages(const ltlm__kv_group *group, uint8_t *list);

#endif /* LTLM_KV_STATE_H */
