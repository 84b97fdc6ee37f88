/* status.h - filling an ltlm_error. All functions: any thread; `err` may be NULL and is the caller's. */
#ifndef LTLM_STATUS_H
#define LTLM_STATUS_H

#include "ltlm.h"

/* Every status but OK, once: XX(name, value). test_status.c holds it against the enum in ltlm.h. */
#define LTLM__STATUS_MAP(XX)    \
    XX(OK, 0)                   \
    XX(NO_MEMORY, -1)           \
    XX(INVALID_ARGUMENT, -2)    \
    XX(LIBRARY_NOT_FOUND, -3)   \
    XX(LIBRARY_MISMATCH, -4)    \
    XX(UNSUPPORTED, -5)         \
    XX(ENGINE, -6)              \
    XX(CANCELLED, -7)           \
    XX(TIMED_OUT, -8)           \
    XX(BUSY, -9)                \
    XX(ENDED, -10)

#if defined(__GNUC__)
#define LTLM__PRINTF(text_at, first_at) __attribute__((format(printf, text_at, first_at)))
#else
#define LTLM__PRINTF(text_at, first_at)
#endif

/* LTLM_OK, with nothing in `err`. */
int32_t ltlm__succeed(ltlm_error *err);

/* `status`, with a reason of our own in printf's format ("" is allowed). */
int32_t ltlm__fail(ltlm_error *err, int32_t status, const char *format, ...) LTLM__PRINTF(3, 4);

/* LTLM_E_NO_MEMORY. */
int32_t ltlm__fail_no_memory(ltlm_error *err);

/* `status`, with the engine's code and words (copied; NULL is ""). A reason that is too long is cut between
 * two characters. */
int32_t ltlm__fail_engine(ltlm_error *err, int32_t status, int32_t engine_code, const char *reason);

/* The absl code whose name begins an error text such as "INVALID_ARGUMENT: ..."; 2 (UNKNOWN) for others. */
int32_t ltlm__absl_code(const char *text);

#define LTLM__ABSL_CANCELLED 1

#endif /* LTLM_STATUS_H */
