/* What apply and store need of commands, beyond the face: entries, and bodies of the library's own. */
#pragma once

#include "base/codec.h"
#include "storage/command.h"

enum {
    COMMAND_ENTRY_VERSION = 2,
    COMMAND_ENTRY_HEADER = 24,
    COMMAND_HEADER = 8,
};

/* The limits of command_decode(), for a command that was not decoded. */
MUST_USE err_t command_check(const struct command *command, struct err *e);
/* Appends the body: what protobuf-c would write for the same fields (without a context). ERR_NOMEM. */
MUST_USE err_t command_encode(const struct command *command, struct buf *ret);

void command_put_entry_header(uint8_t *out, uint16_t count, uint64_t hlc, uint64_t version);
void command_put_header(uint8_t *out, enum command_kind kind, uint32_t len);
/* Draw from the bytes of an entry: first its header, then `count` commands. ERR_CORRUPTION,
 * ERR_UPGRADE_REQUIRED, and what command_decode() answers. */
MUST_USE err_t command_take_entry(struct bytes *in, uint16_t *count, uint64_t *hlc,
                                  uint64_t *version, struct err *e);
MUST_USE err_t command_take(struct bytes *in, struct command *ret, struct err *e);
