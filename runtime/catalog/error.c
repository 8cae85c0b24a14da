/* The words of the catalog's errors. */
#include "catalog/error.h"

#include <stdio.h>

const char *catalog_error_text(err_t rc)
{
    switch (rc) {
    case ERR_CATALOG_STORE_REQUIRED:
        return "catalog store is required";
    case ERR_CATALOG_VERSION_MISMATCH:
        return "catalog version mismatch";
    case ERR_CATALOG_VERSION_OVERFLOW:
        return "catalog version overflow";
    case ERR_CATALOG_ROUTE_ID_OVERFLOW:
        return "catalog route id overflow";
    case ERR_CATALOG_ROUTE_ID_REQUIRED:
        return "catalog route id is required";
    case ERR_CATALOG_GROUP_ID_REQUIRED:
        return "catalog group id is required";
    case ERR_CATALOG_DUPLICATE_ROUTE_ID:
        return "catalog route id must be unique";
    case ERR_CATALOG_INVALID_ROUTE_RANGE:
        return "catalog route range is invalid";
    case ERR_CATALOG_INVALID_VERSION_RECORD:
        return "catalog version record is invalid";
    case ERR_CATALOG_INVALID_NEXT_ROUTE_ID:
        return "catalog next route id record is invalid";
    case ERR_CATALOG_INVALID_ROUTE_RECORD:
        return "catalog route record is invalid";
    case ERR_CATALOG_INVALID_ROUTE_STATE:
        return "catalog route state is invalid";
    case ERR_CATALOG_INVALID_ROUTE_KEY:
        return "catalog route key is invalid";
    case ERR_CATALOG_ROUTE_KEY_ID_MISMATCH:
        return "catalog route key and record route id mismatch";
    case ERR_ENGINE_SNAPSHOT_VERSION_STALE:
        return "engine snapshot version is stale";
    case ERR_ENGINE_SNAPSHOT_DUPLICATE_ID:
        return "engine snapshot has duplicate route id";
    case ERR_ENGINE_SNAPSHOT_ROUTE_OVERLAP:
        return "engine snapshot has overlapping routes";
    case ERR_ENGINE_SNAPSHOT_ROUTE_ORDER:
        return "engine snapshot has invalid route order";
    case ERR_ENGINE_REQUIRED:
        return "engine is required";
    case ERR_CATALOG_INTEGRITY:
        return "catalog integrity alarm";
    case ERR_CATALOG_CURSOR_AHEAD:
        return "catalog is behind its reader";
    case ERR_CATALOG_HISTORY_TRIMMED:
        return "catalog history was trimmed";
    default:
        return "";
    }
}

err_t catalog_error(struct err *e, err_t rc, const char *fmt, ...)
{
    char details[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(details, sizeof details, fmt, args);
    va_end(args);
    return err_set(e, rc, "%s%s%s", catalog_error_text(rc), details[0] == '\0' ? "" : ": ",
                   details);
}
