/* What a replica holds, as one number: equal on all replicas of a region that have applied the same entry.
 *
 *   rows of all key spaces, tombstones, namespaces, the oracle's window         default, cas, meta
 *   each region's apply state (index, term, stamp) and its meta                 raft_state, kinds 2 and 3
 *   left out: what is this replica's own                                        raft_log, raft_state kind 1, tick */
#include "store_int.h"

static void add(struct digest_state *s, enum engine_family family, struct bytes key,
                struct bytes value)
{
    uint64_t head[3] = { (uint64_t)family, key.len, value.len };
    digest_add(s, bytes_from(head, sizeof head));
    digest_add(s, key);
    digest_add(s, value);
}

static bool is_own(enum engine_family family, struct bytes key)
{
    uint64_t region;
    enum layout_state kind;
    return family == ENGINE_RAFT_STATE &&
           (layout_take_raft_state_key(key, &region, &kind) != ERR_OK || kind == LAYOUT_HARD_STATE);
}

static err_t add_family(struct storage *store, enum engine_family family, struct digest_state *s,
                        struct err *e)
{
    struct engine_iter *it;
    struct bytes key, value;
    err_t rc = store->ops->scan(store->engine, family, BYTES(""), (struct bytes){ 0 }, &it, e);
    if (rc != ERR_OK)
        return rc;
    while (store->ops->iter_next(it, &key, &value))
        if (!is_own(family, key))
            add(s, family, key, value);
    rc = store->ops->iter_error(it, e);
    store->ops->iter_close(it);
    return rc;
}

err_t storage_digest(struct storage *store, struct digest *ret, struct err *e)
{
    static const enum engine_family families[] = { ENGINE_DEFAULT, ENGINE_CAS, ENGINE_META,
                                                   ENGINE_SYSTEM, ENGINE_RAFT_STATE };
    struct digest_state s;
    digest_begin(&s);
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        err_t rc = add_family(store, families[i], &s, e);
        if (rc != ERR_OK)
            return err_wrap(e, rc, "could not read all of the store");
    }
    *ret = digest_end(&s);
    return ERR_OK;
}
