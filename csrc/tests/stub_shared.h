/* stub_shared.h - what the two files of the stub engine share. */
#ifndef LTLM_STUB_SHARED_H
#define LTLM_STUB_SHARED_H

#include <stddef.h>

#include "../litert/engine_api.h"
#include "stub_engine.h"

/* The prototypes are those that csrc/ calls by, so that the stub cannot drift from them. */
#define X(result, name, parameters) result litert_lm_##name parameters;
LTLM__REQUIRED_FUNCTIONS(X)
LTLM__OPTIONAL_FUNCTIONS(X)
#undef X

extern stub_control stub;

/* Notes a call, and says whether it is the one to fail. */
bool called(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

const char *or_null(const char *text);

/* Counts objects; creating fails, and is noted, under `name`. */
void *object_create(const char *name, size_t size);
void object_delete(void *object);

struct LiteRtLmTokenizeResult {
    int ids[256];
    size_t count;
};

/* What a conversation and a session are to the stub. */
typedef struct {
    pthread_t thread;
    bool running; /* the thread exists and has not been joined */
    bool cancelled;
    LiteRtLmStreamCallback callback;
    void *user;
    const char *cancel_words;
} turn;

struct LiteRtLmConversation { turn turn; };

#endif /* LTLM_STUB_SHARED_H */
