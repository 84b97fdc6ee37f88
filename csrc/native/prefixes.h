/* prefixes.h - beginnings that many sequences have: a system message and tools, computed once.
 *
 * A generation may say that so many tokens at its beginning are of use to others. Their KV is kept, in pages
 * shared with the sequence that computed them, until newer ones need the room or memory runs short. It ends
 * where the beginning ends, so that also models can share it whose windows let go of what they have passed.
 *
 * Threads: all with the model's mutex held.
 */
#ifndef LTLM_PREFIXES_H
#define LTLM_PREFIXES_H

#include "kv.h"

enum {
    LTLM__MOST_PREFIXES = 8,
    LTLM__PREFIX_BYTES = 256 << 20 /* of all of them, if nobody shared their pages */
};

typedef struct {
    ltlm_kv *kept[LTLM__MOST_PREFIXES]; /* the one last used comes last */
    int32_t count;
} ltlm__prefixes;

/* Keeps what `kv` holds, unless that is kept already. Does nothing when there is no memory for it. */
void ltlm__prefixes_keep(ltlm__prefixes *prefixes, const ltlm_kv_store *store, const ltlm_kv *kv);

/* The one at `index` was used. */
void ltlm__prefixes_touch(ltlm__prefixes *prefixes, int32_t index);

/* Forgets the one that was not used for the longest time; whether there was one. */
bool ltlm__prefixes_drop(ltlm__prefixes *prefixes);

#endif /* LTLM_PREFIXES_H */
