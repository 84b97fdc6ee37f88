/* stub_variants.c - the functions in which the builds of the stub differ: STUB_LACKS_<X> leaves one out,
 * STUB_LATER adds one of the later interface.
 */
#include <string.h>

#include "stub_shared.h"

#ifndef STUB_LACKS_TOKENIZE
LiteRtLmTokenizeResult *litert_lm_engine_tokenize(LiteRtLmEngine *engine, const char *text)
{
    (void)engine;
    LiteRtLmTokenizeResult *result = object_create("engine_tokenize", sizeof *result);
    if (result) {
        result->count = strlen(text);
        for (size_t i = 0; i < result->count; i++) {
            result->ids[i] = text[i];
        }
    }
    return result;
}
#endif

#ifndef STUB_LACKS_CLONE
LiteRtLmConversation *litert_lm_conversation_clone(LiteRtLmConversation *original)
{
    LiteRtLmConversation *conversation = object_create("conversation_clone", sizeof *conversation);
    if (conversation) {
        conversation->turn.cancel_words = original->turn.cancel_words;
    }
    return conversation;
}
#endif

#ifndef STUB_LACKS_CHECKPOINT
int litert_lm_session_save_checkpoint(LiteRtLmSession *session, const char *label)
{
    (void)session;
    return called("session_save_checkpoint", "%s", label) ? -1 : 0;
}
#endif

#ifdef STUB_LATER
void litert_lm_cached_session_delete(void *session);
void litert_lm_cached_session_delete(void *session) { (void)session; }
#endif
