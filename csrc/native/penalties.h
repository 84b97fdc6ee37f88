/* penalties.h - what options and a mask do to logits before a token is chosen. Any thread. */
#ifndef LTLM_PENALTIES_H
#define LTLM_PENALTIES_H

#include "sampler.h"

/* Whether they do anything. */
bool ltlm__penalties_wanted(const ltlm__sample *sample);

/* Changes `values`, a copy of the logits; what may not come is -infinity. `seen` has a bit for each token of
 * the vocabulary, and all are 0 before and after. */
void ltlm__penalties_apply(const ltlm__sample *sample, int32_t vocabulary, uint32_t *seen, float *values);

#endif /* LTLM_PENALTIES_H */
