/* One skip list of keys, one chain of versions a key, the newest first. */
#include "catalog/mvcc_mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "catalog/error.h"
#include "mvcc_int.h"

/* ---- Nodes and versions ---- */

static struct mvcc_node *node_new(struct bytes key, unsigned height)
{
    size_t links = height * sizeof(struct mvcc_node *);
    struct mvcc_node *node = malloc(sizeof *node + links + key.len);
    if (node == NULL)
        return NULL;
    *node = (struct mvcc_node){ .height = height, .key_len = key.len };
    memset(node->next, 0, links);
    uint8_t *bytes = (uint8_t *)node->next + links;
    if (key.len > 0)
        memcpy(bytes, key.data, key.len);
    node->key = bytes;
    return node;
}

static struct bytes node_key(const struct mvcc_node *node)
{
    return bytes_from(node->key, node->key_len);
}

struct mvcc_node *mvcc_node_seek(const struct mvcc_mem *m, struct bytes key,
                                 struct mvcc_node ***links)
{
    struct mvcc_node *at = m->head;
    for (unsigned level = MVCC_HEIGHT_MAX; level-- > 0;) {
        while (at->next[level] != NULL && bytes_compare(node_key(at->next[level]), key) < 0)
            at = at->next[level];
        if (links != NULL)
            links[level] = &at->next[level];
    }
    return at->next[0];
}

static unsigned height_draw(struct mvcc_mem *m)
{
    unsigned height = 1;
    while (height < MVCC_HEIGHT_MAX && prng_chance(&m->prng, 1, 4))
        height++;
    return height;
}

struct mvcc_node *mvcc_node_take(struct mvcc_mem *m, struct bytes key)
{
    struct mvcc_node **links[MVCC_HEIGHT_MAX];
    struct mvcc_node *node = mvcc_node_seek(m, key, links);
    if (node != NULL && bytes_equal(node_key(node), key))
        return node;
    node = node_new(key, height_draw(m));
    if (node == NULL)
        return NULL;
    for (unsigned level = 0; level < node->height; level++) {
        node->next[level] = *links[level];
        *links[level] = node;
    }
    return node;
}

struct mvcc_version *mvcc_version_new(uint64_t commit_ts, bool removed, struct bytes value)
{
    struct mvcc_version *v = malloc(sizeof *v + value.len);
    if (v == NULL)
        return NULL;
    *v = (struct mvcc_version){ .commit_ts = commit_ts, .removed = removed, .len = value.len };
    if (value.len > 0)
        memcpy(v->data, value.data, value.len);
    return v;
}

static void version_drop(struct mvcc_mem *m, struct mvcc_node *node, struct mvcc_version **at)
{
    struct mvcc_version *v = *at;
    *at = v->older;
    m->stats.versions--;
    m->stats.bytes -= v->len;
    if (node->newest == NULL) {
        m->stats.keys--;
        m->stats.bytes -= node->key_len;
    }
    free(v);
}

void mvcc_version_push(struct mvcc_mem *m, struct mvcc_node *node, struct mvcc_version *version)
{
    if (node->newest != NULL && node->newest->commit_ts == version->commit_ts)
        version_drop(m, node, &node->newest);
    if (node->newest == NULL) {
        m->stats.keys++;
        m->stats.bytes += node->key_len;
    }
    version->older = node->newest;
    node->newest = version;
    m->stats.versions++;
    m->stats.bytes += version->len;
}

/* What a reader at `ts` sees of a key; NULL: nothing. */
static const struct mvcc_version *version_at(const struct mvcc_node *node, uint64_t ts)
{
    const struct mvcc_version *v = node->newest;
    while (v != NULL && v->commit_ts > ts)
        v = v->older;
    return v == NULL || v->removed ? NULL : v;
}

/* ---- The store ---- */

struct mvcc_mem *mvcc_mem_new(void)
{
    struct mvcc_mem *m = calloc(1, sizeof *m);
    if (m == NULL || (m->head = node_new((struct bytes){ 0 }, MVCC_HEIGHT_MAX)) == NULL)
        abort();
    prng_seed(&m->prng, 0);
    return m;
}

void mvcc_mem_free(struct mvcc_mem *m)
{
    if (m == NULL)
        return;
    for (struct mvcc_node *node = m->head, *next; node != NULL; node = next) {
        next = node->next[0];
        while (node->newest != NULL)
            version_drop(m, node, &node->newest);
        free(node);
    }
    free(m);
}

static err_t check_ts(const struct mvcc_mem *m, uint64_t ts, struct err *e)
{
    if (ts >= m->stats.floor)
        return ERR_OK;
    return catalog_error(e, ERR_CATALOG_HISTORY_TRIMMED,
                         "a read at %" PRIu64 ", and the floor is %" PRIu64, ts, m->stats.floor);
}

err_t mvcc_mem_get(const struct mvcc_mem *m, struct bytes key, uint64_t ts, struct bytes *ret,
                   struct err *e)
{
    err_t rc = check_ts(m, ts, e);
    if (rc != ERR_OK)
        return rc;
    const struct mvcc_node *node = mvcc_node_seek(m, key, NULL);
    const struct mvcc_version *v =
        node != NULL && bytes_equal(node_key(node), key) ? version_at(node, ts) : NULL;
    if (v == NULL)
        return err_set(e, ERR_NOT_FOUND, "no such row at %" PRIu64, ts);
    *ret = bytes_from(v->data, v->len);
    return ERR_OK;
}

static err_t check_conflicts(const struct mvcc_mem *m, const struct mvcc_batch *batch,
                             struct err *e)
{
    if (batch->start_ts < m->stats.floor)
        return err_set(e, ERR_CONFLICT,
                       "the batch began at %" PRIu64 ", below the floor of history %" PRIu64,
                       batch->start_ts, m->stats.floor);
    for (size_t i = 0; i < batch->count; i++) {
        struct bytes key = batch->mutations[i].key;
        const struct mvcc_node *node = mvcc_node_seek(m, key, NULL);
        if (node == NULL || !bytes_equal(node_key(node), key) || node->newest == NULL ||
            node->newest->commit_ts <= batch->start_ts)
            continue;
        return err_set(e, ERR_CONFLICT,
                       "a key of the batch was written at %" PRIu64 ", after %" PRIu64,
                       node->newest->commit_ts, batch->start_ts);
    }
    return ERR_OK;
}

/* What can fail comes first: nodes and versions for all mutations, not yet linked. */
struct write {
    struct mvcc_node *node;
    struct mvcc_version *version;
};

static err_t prepare(struct mvcc_mem *m, const struct mvcc_batch *batch, uint64_t commit_ts,
                     struct write *writes)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct mvcc_mutation *one = &batch->mutations[i];
        writes[i].node = mvcc_node_take(m, one->key);
        writes[i].version = mvcc_version_new(commit_ts, one->remove,
                                             one->remove ? (struct bytes){ 0 } : one->value);
        if (writes[i].node == NULL || writes[i].version == NULL)
            return ERR_NOMEM;
    }
    return ERR_OK;
}

err_t mvcc_mem_apply(struct mvcc_mem *m, const struct mvcc_batch *batch, uint64_t *committed,
                     struct err *e)
{
    err_t rc = check_conflicts(m, batch, e);
    if (rc != ERR_OK)
        return rc;
    if (m->stats.last_commit_ts == UINT64_MAX)
        return err_set(e, ERR_OVERFLOW, "the last timestamp was used");
    uint64_t ts = m->stats.last_commit_ts + 1;
    ts = batch->commit_ts > ts ? batch->commit_ts : ts;
    struct write *writes = calloc(batch->count + 1, sizeof *writes);
    rc = writes == NULL ? ERR_NOMEM : prepare(m, batch, ts, writes);
    for (size_t i = 0; i < batch->count && writes != NULL; i++) {
        if (rc == ERR_OK)
            mvcc_version_push(m, writes[i].node, writes[i].version);
        else
            free(writes[i].version);
    }
    free(writes);
    if (rc != ERR_OK)
        return err_set(e, rc, "no memory for a batch of %zu mutations", batch->count);
    m->stats.last_commit_ts = ts;
    if (committed != NULL)
        *committed = ts;
    return ERR_OK;
}

/* Keeps the newest version at `floor` and all above it; if that one is a tombstone, nobody
 * misses it either. */
static void node_trim(struct mvcc_mem *m, struct mvcc_node *node, uint64_t floor)
{
    struct mvcc_version **at = &node->newest;
    while (*at != NULL && (*at)->commit_ts > floor)
        at = &(*at)->older;
    if (*at != NULL && !(*at)->removed)
        at = &(*at)->older;
    while (*at != NULL)
        version_drop(m, node, at);
}

void mvcc_mem_trim(struct mvcc_mem *m, uint64_t before)
{
    uint64_t last = m->stats.last_commit_ts, floor = before < last ? before : last;
    if (floor <= m->stats.floor)
        return;
    m->stats.floor = floor;
    struct mvcc_node **links[MVCC_HEIGHT_MAX];
    for (unsigned level = 0; level < MVCC_HEIGHT_MAX; level++)
        links[level] = &m->head->next[level];
    for (struct mvcc_node *node = m->head->next[0], *next; node != NULL; node = next) {
        next = node->next[0];
        node_trim(m, node, floor);
        for (unsigned level = 0; level < node->height; level++) {
            if (node->newest == NULL)
                *links[level] = node->next[level];
            else
                links[level] = &node->next[level];
        }
        if (node->newest == NULL)
            free(node);
    }
}

void mvcc_mem_stats(const struct mvcc_mem *m, struct mvcc_mem_stats *ret)
{
    *ret = m->stats;
}

/* ---- The door ---- */

static err_t door_get_at(void *self, struct bytes key, uint64_t ts, struct buf *ret, struct err *e)
{
    struct bytes value;
    err_t rc = mvcc_mem_get(self, key, ts, &value, e);
    if (rc == ERR_OK && (rc = buf_append(ret, value)) != ERR_OK)
        err_set(e, rc, "no memory for a row of %zu bytes", value.len);
    return rc;
}

static err_t door_scan_at(void *self, const struct mvcc_range *range,
                          err_t (*each)(void *user, struct bytes key, struct bytes value,
                                        struct err *e),
                          void *user, struct err *e)
{
    err_t rc = check_ts(self, range->ts, e);
    size_t left = range->limit;
    for (struct mvcc_node *node = mvcc_node_seek(self, range->start, NULL);
         rc == ERR_OK && left > 0 && node != NULL && bytes_compare(node_key(node), range->end) < 0;
         node = node->next[0]) {
        const struct mvcc_version *v = version_at(node, range->ts);
        if (v == NULL)
            continue;
        rc = each(user, node_key(node), bytes_from(v->data, v->len), e);
        left--;
    }
    return rc;
}

static err_t door_apply(void *self, const struct mvcc_batch *batch, struct err *e)
{
    return mvcc_mem_apply(self, batch, NULL, e);
}

static uint64_t door_last_commit_ts(void *self)
{
    const struct mvcc_mem *m = self;
    return m->stats.last_commit_ts;
}

struct mvcc mvcc_mem_door(struct mvcc_mem *m)
{
    return (struct mvcc){ .self = m,
                          .get_at = door_get_at,
                          .scan_at = door_scan_at,
                          .apply = door_apply,
                          .last_commit_ts = door_last_commit_ts };
}
