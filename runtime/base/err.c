/* Error codes and their context. */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static err_t closest(int number)
{
    switch (number) {
    case ENOMEM:
        return ERR_NOMEM;
    case ENOSPC:
    case EDQUOT:
        return ERR_DISK_FULL;
    case ENOENT:
        return ERR_NOT_FOUND;
    case EEXIST:
        return ERR_ALREADY_EXISTS;
    case EACCES:
    case EPERM:
        return ERR_PERMISSION_DENIED;
    case EADDRINUSE:
        return ERR_ADDRESS_IN_USE;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
        return ERR_CLOSED;
    case EMFILE:
    case ENFILE:
        return ERR_RESOURCE_EXHAUSTED;
    default:
        return ERR_IO;
    }
}

err_t err_set(struct err *e, err_t rc, const char *fmt, ...)
{
    if (e == NULL)
        return rc;
    va_list args;
    va_start(args, fmt);
    e->code = rc;
    vsnprintf(e->msg, sizeof e->msg, fmt, args);
    va_end(args);
    return rc;
}

err_t err_wrap(struct err *e, err_t rc, const char *fmt, ...)
{
    if (e == NULL)
        return rc;
    char inner[sizeof e->msg];
    memcpy(inner, e->msg, sizeof inner);
    va_list args;
    va_start(args, fmt);
    int used = vsnprintf(e->msg, sizeof e->msg, fmt, args);
    va_end(args);
    if (inner[0] != '\0' && used >= 0 && (size_t)used < sizeof e->msg)
        snprintf(e->msg + used, sizeof e->msg - (size_t)used, ": %s", inner);
    e->code = rc;
    return rc;
}

err_t err_errno(struct err *e, int number, const char *fmt, ...)
{
    err_t rc = closest(number);
    if (e == NULL)
        return rc;
    char what[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    char text[128];
    return err_set(e, rc, "%s: %s", what, strerror_r(number, text, sizeof text));
}

const char *err_name(err_t rc)
{
    switch (rc) {
#define ERR_CASE(number, name)                                                                     \
    case ERR_##name:                                                                               \
        return #name;
        ERR_TABLE(ERR_CASE)
#undef ERR_CASE
    }
    return "UNKNOWN";
}

bool err_is_wire(unsigned number)
{
    return number < ERR_SHORT && strcmp(err_name((err_t)number), "UNKNOWN") != 0;
}

err_t err_to_wire(err_t rc)
{
    if (err_is_wire((unsigned)rc))
        return rc;
    switch (rc) {
    case ERR_NOMEM:
    case ERR_BUDGET:
        return ERR_RESOURCE_EXHAUSTED;
    case ERR_CLOSED:
        return ERR_UNAVAILABLE;
    case ERR_SCRIPT:
    case ERR_CATALOG_ROUTE_ID_REQUIRED:
    case ERR_CATALOG_GROUP_ID_REQUIRED:
    case ERR_CATALOG_DUPLICATE_ROUTE_ID:
    case ERR_CATALOG_INVALID_ROUTE_RANGE:
    case ERR_CATALOG_INVALID_ROUTE_STATE:
    case ERR_ENGINE_SNAPSHOT_DUPLICATE_ID:
    case ERR_ENGINE_SNAPSHOT_ROUTE_OVERLAP:
    case ERR_ENGINE_SNAPSHOT_ROUTE_ORDER:
        return ERR_INVALID_ARGUMENT;
    case ERR_CATALOG_VERSION_MISMATCH: /* somebody else was faster: read again, decide again */
        return ERR_ABORTED;
    case ERR_CATALOG_VERSION_OVERFLOW:
    case ERR_CATALOG_ROUTE_ID_OVERFLOW:
        return ERR_OVERFLOW;
    case ERR_CATALOG_INVALID_VERSION_RECORD:
    case ERR_CATALOG_INVALID_NEXT_ROUTE_ID:
    case ERR_CATALOG_INVALID_ROUTE_RECORD:
    case ERR_CATALOG_INVALID_ROUTE_KEY:
    case ERR_CATALOG_ROUTE_KEY_ID_MISMATCH:
        return ERR_CORRUPTION;
    case ERR_ENGINE_SNAPSHOT_VERSION_STALE:
    case ERR_CATALOG_CURSOR_AHEAD:
    case ERR_CATALOG_HISTORY_TRIMMED:
        return ERR_FAILED_PRECONDITION;
    case ERR_CATALOG_INTEGRITY:
        return ERR_DATA_LOSS;
    default:
        return ERR_INTERNAL;
    }
}
