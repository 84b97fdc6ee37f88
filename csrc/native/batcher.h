/* batcher.h - the thread of a model. */
#ifndef LTLM_BATCHER_H
#define LTLM_BATCHER_H

#include "model.h"

enum {
    LTLM__MAX_ROWS = 512,  /* of a pass, unless the model's options say otherwise */
    LTLM__MAX_WANTED = 32, /* logits of a pass */
    LTLM__SMALL_CHUNK = 64 /* rows of prompts in a pass that others wait for with their next token */
};

/* What the thread executes: passes, until model->stops. */
void ltlm__batcher_run(void *model);

/* The rest: with the model's mutex held, any thread. */

/* Puts a generation among those that run. */
void ltlm__batcher_add(ltlm_generation *generation);
/* Ends one that is not in a pass: it holds what was computed, and is in no list any more. */
void ltlm__batcher_end(ltlm_generation *generation, int32_t end);
/* Ends it at once, or as soon as the pass that it is in allows. */
void ltlm__batcher_cancel(ltlm_generation *generation);

#endif /* LTLM_BATCHER_H */
