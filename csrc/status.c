#include "status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *ltlm_status_name(int32_t status)
{
    switch (status) {
#define XX(name, value) \
    case value: return #name;
        LTLM__STATUS_MAP(XX)
#undef XX
    default: return "UNKNOWN";
    }
}

int32_t ltlm__succeed(ltlm_error *err)
{
    if (err) {
        err->status = LTLM_OK;
        err->engine_code = 0;
        err->reason[0] = '\0';
    }
    return LTLM_OK;
}

/* Where to cut `text` of at least `limit` bytes so that no UTF-8 sequence is split. Text that is not UTF-8
 * is cut at the limit: a sequence has at most three bytes to step back over. */
static size_t cut_point(const char *text, size_t limit)
{
    size_t cut = limit;
    while (cut > 0 && limit - cut < 4 && ((unsigned char)text[cut] & 0xC0) == 0x80) {
        cut--;
    }
    return ((unsigned char)text[cut] & 0xC0) == 0x80 ? limit : cut;
}

static void set_reason(ltlm_error *err, const char *reason)
{
    size_t length = strlen(reason);
    if (length >= sizeof err->reason) {
        length = cut_point(reason, sizeof err->reason - 1);
    }
    memcpy(err->reason, reason, length);
    err->reason[length] = '\0';
}

int32_t ltlm__fail(ltlm_error *err, int32_t status, const char *format, ...)
{
    if (err) {
        char text[sizeof err->reason + 4]; /* a little longer, so that set_reason sees where to cut */
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        err->status = status;
        err->engine_code = 0;
        set_reason(err, text);
    }
    return status;
}

int32_t ltlm__fail_no_memory(ltlm_error *err)
{
    return ltlm__fail(err, LTLM_E_NO_MEMORY, "out of memory");
}

int32_t ltlm__fail_engine(ltlm_error *err, int32_t status, int32_t engine_code, const char *reason)
{
    if (err) {
        err->status = status;
        err->engine_code = engine_code;
        set_reason(err, reason ? reason : "");
    }
    return status;
}

int32_t ltlm__absl_code(const char *text)
{
    static const char *const names[] = {
        "CANCELLED",          "UNKNOWN",           "INVALID_ARGUMENT",    "DEADLINE_EXCEEDED",
        "NOT_FOUND",          "ALREADY_EXISTS",    "PERMISSION_DENIED",   "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION", "ABORTED",          "OUT_OF_RANGE",        "UNIMPLEMENTED",
        "INTERNAL",           "UNAVAILABLE",       "DATA_LOSS",           "UNAUTHENTICATED",
    };
    size_t length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strlen(names[i]) == length && memcmp(names[i], text, length) == 0) {
            return (int32_t)i + 1; /* absl::StatusCode counts from 0, which is OK */
        }
    }
    return 2;
}
