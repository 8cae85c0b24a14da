/* CRC-32C (Castagnoli, RFC 3720 appendix B.4): the checksum of frames, log records and small
 * files. */
#pragma once

#include "base/buf.h"

/* The checksum of what `crc` covers, followed by `more`; begin with 0. crc32c(crc32c(0, a), b)
 * is that of ab. */
uint32_t crc32c(uint32_t crc, struct bytes more);
/* The same by tables alone: what machines without SSE4.2 run, and what the tests compare with. */
uint32_t crc32c_portable(uint32_t crc, struct bytes more);
