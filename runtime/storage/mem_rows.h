/* Rows in memory with their older versions: the tables of the memory engine.
 *
 *   family -> key -> newest version {n, value or tombstone} -> older -> older
 *
 * A reader at number n sees the newest version <= n of every key. Versions are dropped only below the floor that the
 * owner names. No locks here, and no pointer into the rows outlives the next change. */
#pragma once

#include "storage/engine.h"

struct mem_rows;

struct mem_rows *mem_rows_new(void); /* small and fixed: aborts if memory is gone */
void mem_rows_free(struct mem_rows *rows);
/* Sets a value (NULL: a tombstone) as of batch `n`, which is none below any number before. */
MUST_USE err_t mem_rows_set(struct mem_rows *rows, enum engine_family family, struct bytes key,
                            const struct bytes *value, uint64_t n);
/* The value that a reader at `as_of` sees. A key is cold from mem_rows_cool() until it is set or read without
 * `cached_only`, as one whose block lies on the disk alone. */
enum mem_rows_found { MEM_ROWS_ABSENT, MEM_ROWS_COLD, MEM_ROWS_FOUND };
enum mem_rows_found mem_rows_get(struct mem_rows *rows, enum engine_family family, struct bytes key,
                                 uint64_t as_of, bool cached_only, struct bytes *value);
void mem_rows_cool(struct mem_rows *rows);
/* The first row at `from`, or behind it if `behind`, that a reader at `as_of` sees. */
bool mem_rows_seek(const struct mem_rows *rows, enum engine_family family, struct bytes from,
                   bool behind, uint64_t as_of, struct bytes *key, struct bytes *value);
/* Drops what no reader at `floor` or above can see. */
void mem_rows_prune(struct mem_rows *rows, uint64_t floor);
/* Bytes of the newest keys and values. */
uint64_t mem_rows_bytes(const struct mem_rows *rows);
