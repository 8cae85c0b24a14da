/* The last deltas of a catalog, in memory, for readers that follow it; and the rules by which
 * one resumes (trap D59).
 *
 *   floor                                   head
 *     5  --delta--> 6 --delta--> 7 --delta--> 8          a cursor is the stamp of the version that a reader has
 *
 *   cursor 8             nothing to do                   cursor 4    below the floor: a whole snapshot
 *   cursor 5, 6 or 7     the deltas from there           cursor 9    refused: this catalog is behind its reader
 *   same version, other hash; other incarnation          integrity alarm
 *
 * Deltas are contiguous or they are not taken: there is nothing here in which an event can be
 * missed. */
#pragma once

#include "catalog/delta.h"

struct catalog_journal;

struct catalog_journal_config {
    size_t deltas_max, bytes_max; /* above either the oldest are dropped, and the floor rises */
};

struct catalog_journal *catalog_journal_new(
    const struct catalog_journal_config *config);     /* aborts without memory */
void catalog_journal_free(struct catalog_journal *j); /* NULL is welcome */
/* Forgets all; `head` is the catalog as it is. How a new leader begins. */
void catalog_journal_reset(struct catalog_journal *j, const struct catalog_stamp *head);
/* Takes the delta that leads from the head. ERR_CATALOG_INTEGRITY for any other (a hole, another
 * catalog); then nothing has changed. */
MUST_USE err_t catalog_journal_add(struct catalog_journal *j, const struct catalog_delta *delta,
                                   struct err *e);

enum catalog_resume { CATALOG_RESUME_NOTHING, CATALOG_RESUME_DELTAS, CATALOG_RESUME_SNAPSHOT };
/* How a reader goes on. ERR_CATALOG_CURSOR_AHEAD, ERR_CATALOG_INTEGRITY. */
MUST_USE err_t catalog_journal_resume(const struct catalog_journal *j,
                                      const struct catalog_stamp *cursor, enum catalog_resume *ret,
                                      struct err *e);
/* The encoded delta that leads on from `version`; empty at the head and below the floor. A view
 * until the next change. */
struct bytes catalog_journal_after(const struct catalog_journal *j, uint64_t version);

struct catalog_journal_stats {
    uint64_t floor, head;
    size_t deltas, bytes;
};
void catalog_journal_stats(const struct catalog_journal *j, struct catalog_journal_stats *ret);
