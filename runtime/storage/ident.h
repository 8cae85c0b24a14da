/* IDENT: whose directory this is. Written last by init, so that its presence says "a whole store".
 *
 *   flotilla store
 *   format 1
 *   min_reader 1                      the oldest program that may open it
 *   cluster 00112233445566778899aabbccddeeff
 *   store 1
 *   incarnation 0123456789abcdef      random, drawn by init: a wiped store is not the one of yesterday (trap D24)
 *   crc32c 01234567                   of all lines above
 *
 * Text, so that `head IDENT` answers an operator; written back and compared byte for byte, so that
 * it has one form. */
#pragma once

#include "storage/store.h"

enum { IDENT_FORMAT = 1, IDENT_READER = 1 }; /* what this program writes, and what it is */

MUST_USE err_t ident_write(struct env *env, const char *path, const struct storage_ident *ident,
                           struct err *e);
/* ERR_NOT_FOUND; ERR_CORRUPTION; ERR_UPGRADE_REQUIRED: min_reader is above us. */
MUST_USE err_t ident_read(struct env *env, const char *path, struct storage_ident *ret,
                          struct err *e);
