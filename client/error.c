/* Codes: what they are called, and what to do with them. */
#include "flotilla/client.h"

#include "base/err.h"

enum flotilla_class flotilla_error_class(int code)
{
    switch (code) {
    case FLOTILLA_OK:
        return FLOTILLA_CLASS_OK;
    case FLOTILLA_SERVER_IS_BUSY:
    case FLOTILLA_UNAVAILABLE:
    case FLOTILLA_WRITE_FENCED:
        return FLOTILLA_CLASS_RETRY_SAME;
    case FLOTILLA_NOT_LEADER:
    case FLOTILLA_EPOCH_NOT_MATCH:
    case FLOTILLA_REGION_NOT_FOUND:
        return FLOTILLA_CLASS_RETRY_ROUTE;
    case FLOTILLA_CANCELLED:
    case FLOTILLA_INVALID_ARGUMENT:
    case FLOTILLA_DEADLINE_EXCEEDED:
    case FLOTILLA_NOT_FOUND:
    case FLOTILLA_ALREADY_EXISTS:
    case FLOTILLA_PERMISSION_DENIED:
    case FLOTILLA_RESOURCE_EXHAUSTED:
    case FLOTILLA_FAILED_PRECONDITION:
    case FLOTILLA_ABORTED:
    case FLOTILLA_UNIMPLEMENTED:
    case FLOTILLA_INTERNAL:
    case FLOTILLA_DATA_LOSS:
    case FLOTILLA_CONFLICT:
    case FLOTILLA_TOO_LARGE:
    case FLOTILLA_DISK_FULL:
    case FLOTILLA_MODE_MISMATCH:
    case FLOTILLA_UPGRADE_REQUIRED:
    case FLOTILLA_SESSION_EXPIRED:
    case FLOTILLA_CORRUPTION:
    case FLOTILLA_HLC_REFUSED:
    case FLOTILLA_OVERFLOW:
        return FLOTILLA_CLASS_FINAL;
    default: /* UNDETERMINED, and whatever a newer server may say: who does not know must look */
        return FLOTILLA_CLASS_UNDETERMINED;
    }
}

const char *flotilla_code_name(int code)
{
    return code >= 0 && err_is_wire((unsigned)code) ? err_name((err_t)code) : "UNKNOWN";
}
