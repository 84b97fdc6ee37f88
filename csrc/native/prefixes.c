#include "prefixes.h"

#include <string.h>

static bool holds_the_same(const ltlm_kv *one, const ltlm_kv *other)
{
    int32_t length = ltlm_kv_length(one);
    return length == ltlm_kv_length(other) &&
           memcmp(ltlm_kv_tokens(one), ltlm_kv_tokens(other), (size_t)length * sizeof(int32_t)) == 0;
}

static size_t bytes_of(const ltlm__prefixes *prefixes, const ltlm_kv_store *store)
{
    size_t tokens = 0;
    for (int32_t i = 0; i < prefixes->count; i++) {
        tokens += (size_t)ltlm_kv_length(prefixes->kept[i]);
    }
    return tokens * ltlm_kv_store_token_bytes(store);
}

void ltlm__prefixes_touch(ltlm__prefixes *prefixes, int32_t index)
{
    ltlm_kv *used = prefixes->kept[index];
    for (int32_t i = index; i + 1 < prefixes->count; i++) {
        prefixes->kept[i] = prefixes->kept[i + 1];
    }
    prefixes->kept[prefixes->count - 1] = used;
}

bool ltlm__prefixes_drop(ltlm__prefixes *prefixes)
{
    if (prefixes->count == 0) {
        return false;
    }
    ltlm__prefixes_touch(prefixes, 0);
    ltlm_kv_delete(prefixes->kept[--prefixes->count]);
    return true;
}

void ltlm__prefixes_keep(ltlm__prefixes *prefixes, const ltlm_kv_store *store, const ltlm_kv *kv)
{
    for (int32_t i = 0; i < prefixes->count; i++) {
        if (holds_the_same(prefixes->kept[i], kv)) {
            ltlm__prefixes_touch(prefixes, i);
            return;
        }
    }
    if (prefixes->count == LTLM__MOST_PREFIXES) {
        ltlm__prefixes_drop(prefixes);
    }
    if (ltlm_kv_fork(kv, &prefixes->kept[prefixes->count], NULL) != LTLM_OK) {
        return;
    }
    prefixes->count++;
    while (prefixes->count > 1 && bytes_of(prefixes, store) > LTLM__PREFIX_BYTES) {
        ltlm__prefixes_drop(prefixes);
    }
}
