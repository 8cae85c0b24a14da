/* Base64 (RFC 4648 section 4). Strict: what decodes is exactly what encodes, so that equal bytes
 * have equal text. */
#pragma once

#include "base/buf.h"

/* Appends the text, padded with '='. On ERR_NOMEM nothing has changed. */
MUST_USE err_t base64_encode(struct bytes in, struct buf *ret);
/* Appends the bytes. ERR_INVALID_ARGUMENT for anything but the text that base64_encode() makes:
 * other characters (spaces and line ends too), missing padding, stray bits. On an error nothing
 * changes. */
MUST_USE err_t base64_decode(struct bytes text, struct buf *ret);
