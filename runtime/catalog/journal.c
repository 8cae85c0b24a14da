/* The journal: a ring of encoded deltas. They are contiguous, so a version is a place. */
#include "catalog/journal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "catalog/error.h"
#include "catalog/hash.h"

struct entry {
    struct catalog_stamp stamp; /* that it leads to */
    struct buf bytes;
};

struct catalog_journal {
    struct catalog_journal_config config;
    struct catalog_stamp floor, head;
    struct entry *ring; /* deltas_max of them */
    size_t first, count, bytes;
};

struct catalog_journal *catalog_journal_new(const struct catalog_journal_config *config)
{
    assert(config->deltas_max > 0);
    struct catalog_journal *j = calloc(1, sizeof *j);
    if (j == NULL || (j->ring = calloc(config->deltas_max, sizeof *j->ring)) == NULL)
        abort();
    j->config = *config;
    return j;
}

static struct entry *entry_at(const struct catalog_journal *j, size_t place)
{
    return &j->ring[(j->first + place) % j->config.deltas_max];
}

/* The floor rises by one delta. */
static void drop_oldest(struct catalog_journal *j)
{
    struct entry *oldest = entry_at(j, 0);
    j->floor = oldest->stamp;
    j->first = (j->first + 1) % j->config.deltas_max;
    j->count--;
    j->bytes -= oldest->bytes.len;
    buf_free(&oldest->bytes);
}

void catalog_journal_reset(struct catalog_journal *j, const struct catalog_stamp *head)
{
    struct catalog_stamp to = *head; /* which may be our own */
    while (j->count > 0)
        drop_oldest(j);
    j->floor = j->head = to;
}

void catalog_journal_free(struct catalog_journal *j)
{
    if (j == NULL)
        return;
    catalog_journal_reset(j, &j->head);
    free(j->ring);
    free(j);
}

static err_t check_next(const struct catalog_journal *j, const struct catalog_stamp *stamp,
                        struct err *e)
{
    err_t rc = catalog_hash_check(&j->head, stamp, e);
    if (rc == ERR_OK && stamp->version - 1 != j->head.version)
        rc = catalog_error(e, ERR_CATALOG_INTEGRITY,
                           "a hole: version %" PRIu64 " cannot follow version %" PRIu64,
                           stamp->version, j->head.version);
    return rc;
}

err_t catalog_journal_add(struct catalog_journal *j, const struct catalog_delta *delta,
                          struct err *e)
{
    err_t rc = check_next(j, &delta->stamp, e);
    if (rc != ERR_OK)
        return rc;
    struct buf bytes = { 0 };
    rc = catalog_delta_encode(delta, &bytes, e);
    if (rc != ERR_OK) {
        buf_free(&bytes);
        return rc;
    }
    if (j->count == j->config.deltas_max)
        drop_oldest(j);
    *entry_at(j, j->count++) = (struct entry){ .stamp = delta->stamp, .bytes = bytes };
    j->head = delta->stamp;
    j->bytes += bytes.len;
    while (j->bytes > j->config.bytes_max)
        drop_oldest(j);
    return ERR_OK;
}

/* The stamp of a version from the floor to the head. */
static const struct catalog_stamp *stamp_of(const struct catalog_journal *j, uint64_t version)
{
    assert(version >= j->floor.version && version <= j->head.version);
    uint64_t place = version - j->floor.version;
    return place == 0 ? &j->floor : &entry_at(j, place - 1)->stamp;
}

err_t catalog_journal_resume(const struct catalog_journal *j, const struct catalog_stamp *cursor,
                             enum catalog_resume *ret, struct err *e)
{
    err_t rc = catalog_hash_check(&j->head, cursor, e);
    if (rc != ERR_OK)
        return rc;
    if (cursor->version > j->head.version)
        return catalog_error(e, ERR_CATALOG_CURSOR_AHEAD,
                             "it is at version %" PRIu64 ", the reader at %" PRIu64,
                             j->head.version, cursor->version);
    if (cursor->version == j->head.version) {
        *ret = CATALOG_RESUME_NOTHING;
        return ERR_OK;
    }
    if (cursor->version < j->floor.version) {
        *ret = CATALOG_RESUME_SNAPSHOT;
        return ERR_OK;
    }
    rc = catalog_hash_check(stamp_of(j, cursor->version), cursor, e);
    if (rc == ERR_OK)
        *ret = CATALOG_RESUME_DELTAS;
    return rc;
}

struct bytes catalog_journal_after(const struct catalog_journal *j, uint64_t version)
{
    if (version < j->floor.version || version >= j->head.version)
        return (struct bytes){ 0 };
    return buf_bytes(&entry_at(j, version - j->floor.version)->bytes);
}

void catalog_journal_stats(const struct catalog_journal *j, struct catalog_journal_stats *ret)
{
    *ret = (struct catalog_journal_stats){
        .floor = j->floor.version, .head = j->head.version, .deltas = j->count, .bytes = j->bytes
    };
}
