/* The memory engine's hooks for tests and the simulator; see engine_mem.c for what it models. */
#pragma once

#include "storage/engine.h"

/* While held, no batch reaches the disk by itself: durable() stands still until force(). */
void engine_mem_hold(struct engine *engine, bool hold);

/* Ends the engine as a crash would that takes every batch above `keep` and no other: durable() <= keep <= last().
 * The next open finds exactly the batches up to `keep`. Frees the engine, open iterators must be closed before. */
MUST_USE err_t engine_mem_crash(struct engine *engine, uint64_t keep, struct err *e);
