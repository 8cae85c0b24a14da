/* WATERMARK: how far the log was synced, kept outside the log (faults.md, rule R5).
 *
 *   block 0   | "FLOTMARK" | sequence u64 | batch u64 | incarnation u64 | crc u32 | zeros     little-endian
 *   block 1   the same                                     the newer valid one counts; each write goes to the other
 *
 * A log that has lost its end looks like a log that is shorter. So the number of the last synced
 * batch is written here at most a second after its sync, and at every clean stop: a store whose log
 * ends below it is amnesiac. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "env/env.h"

struct watermark;

/* Makes the file, with batch 0. The caller syncs the directory. */
MUST_USE err_t watermark_create(struct env *env, const char *path, uint64_t incarnation,
                                struct err *e);
/* Reads the file. ERR_NOT_FOUND: it is missing, or neither slot validates: the caller decides what
 * that means, and watermark_create() makes a new one. ERR_DATA_LOSS: it belongs to another store. */
MUST_USE err_t watermark_open(struct env *env, const char *path, uint64_t incarnation,
                              struct watermark **ret, struct err *e);
void watermark_close(struct watermark *mark); /* NULL is welcome */
uint64_t watermark_batch(const struct watermark *mark);
/* Writes and syncs `batch`; nothing is done if that is the one already there. After an error
 * nothing is known. */
MUST_USE err_t watermark_write(struct watermark *mark, uint64_t batch, struct err *e);
