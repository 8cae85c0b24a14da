/* The bytes of a region's meta (meta.h has the picture). */
#include "region/meta.h"

#include <assert.h>

#include "base/codec.h"

enum { META_FORMAT = 1, META_HEAD = 36, META_PEER = 16, FLAG_UNBOUNDED = 1, FLAG_AUTO_LEAVE = 2 };

void region_meta_first(struct region_meta *ret, const uint64_t *stores, unsigned n)
{
    assert(n >= 1 && n <= RAFT_MAX_PEERS);
    *ret = (struct region_meta){ .id = 1, .conf_ver = 1, .version = 1, .end_unbounded = true };
    ret->conf.n = (uint8_t)n;
    for (unsigned i = 0; i < n; i++) {
        assert(stores[i] != 0 && (i == 0 || stores[i - 1] < stores[i]));
        ret->conf.id[i] = ret->store[i] = stores[i];
        ret->conf.voters |= (uint16_t)(1u << i);
    }
}

void region_meta_free(struct region_meta *meta)
{
    buf_free(&meta->start);
    buf_free(&meta->end);
}

err_t region_meta_encode(const struct region_meta *meta, struct buf *ret)
{
    const struct raft_conf *c = &meta->conf;
    size_t len = META_HEAD + (size_t)c->n * META_PEER + 8 + meta->start.len + meta->end.len;
    uint8_t *at = buf_reserve(ret, len);
    if (at == NULL)
        return ERR_NOMEM;
    ret->len += len;
    put_u8(&at, META_FORMAT);
    put_u8(&at, (uint8_t)((meta->end_unbounded ? FLAG_UNBOUNDED : 0) |
                          (c->auto_leave ? FLAG_AUTO_LEAVE : 0)));
    put_u8(&at, c->n);
    put_u8(&at, 0);
    put_u64(&at, meta->id);
    put_u64(&at, meta->conf_ver);
    put_u64(&at, meta->version);
    put_u16(&at, c->voters);
    put_u16(&at, c->outgoing);
    put_u16(&at, c->learners);
    put_u16(&at, c->learners_next);
    for (unsigned i = 0; i < c->n; i++) {
        put_u64(&at, c->id[i]);
        put_u64(&at, meta->store[i]);
    }
    put_u32(&at, (uint32_t)meta->start.len);
    put_bytes(&at, buf_bytes(&meta->start));
    put_u32(&at, (uint32_t)meta->end.len);
    put_bytes(&at, buf_bytes(&meta->end));
    return ERR_OK;
}

static bool take_peers(struct bytes *in, struct region_meta *m)
{
    for (unsigned i = 0; i < m->conf.n; i++)
        if (!take_u64(in, &m->conf.id[i]) || !take_u64(in, &m->store[i]) || m->conf.id[i] == 0 ||
            m->store[i] == 0 || (i > 0 && m->conf.id[i - 1] >= m->conf.id[i]))
            return false;
    return true;
}

static bool take_key(struct bytes *in, struct bytes *ret)
{
    uint32_t len;
    return take_u32(in, &len) && len <= REGION_KEY_MAX && take_bytes(in, len, ret);
}

static bool masks_sane(const struct raft_conf *c)
{
    unsigned all = (1u << c->n) - 1;
    return c->voters != 0 &&
           ((c->voters | c->outgoing | c->learners | c->learners_next) & ~all) == 0 &&
           (c->learners & (c->voters | c->outgoing)) == 0;
}

err_t region_meta_decode(struct bytes in, struct region_meta *ret)
{
    struct region_meta m = { 0 };
    struct bytes start, end;
    uint8_t format, flags, zero;
    if (!take_u8(&in, &format))
        return ERR_CORRUPTION;
    if (format > META_FORMAT)
        return ERR_UPGRADE_REQUIRED;
    struct raft_conf *c = &m.conf;
    bool good = take_u8(&in, &flags) && take_u8(&in, &c->n) && take_u8(&in, &zero) &&
                take_u64(&in, &m.id) && take_u64(&in, &m.conf_ver) && take_u64(&in, &m.version) &&
                take_u16(&in, &c->voters) && take_u16(&in, &c->outgoing) &&
                take_u16(&in, &c->learners) && take_u16(&in, &c->learners_next) && c->n >= 1 &&
                c->n <= RAFT_MAX_PEERS && zero == 0 && m.id != 0 && take_peers(&in, &m) &&
                take_key(&in, &start) && take_key(&in, &end) && in.len == 0 && masks_sane(c);
    if (!good || format != META_FORMAT || (flags & ~(FLAG_UNBOUNDED | FLAG_AUTO_LEAVE)) != 0)
        return ERR_CORRUPTION;
    m.end_unbounded = (flags & FLAG_UNBOUNDED) != 0;
    c->auto_leave = (flags & FLAG_AUTO_LEAVE) != 0;
    if (m.end_unbounded ? end.len != 0 : bytes_compare(start, end) >= 0)
        return ERR_CORRUPTION;
    if (buf_append(&m.start, start) != ERR_OK || buf_append(&m.end, end) != ERR_OK) {
        region_meta_free(&m);
        return ERR_NOMEM;
    }
    *ret = m;
    return ERR_OK;
}

/* The store of a newcomer, from the bytes behind the change; 0: it is not there. */
static uint64_t newcomer(struct bytes in, raft_id peer)
{
    uint64_t id, store;
    while (take_u64(&in, &id) && take_u64(&in, &store))
        if (id == peer)
            return store;
    return 0;
}

err_t region_meta_adopt(struct region_meta *meta, const struct raft_conf *conf,
                        const struct raft_cc *cc, struct bytes entry)
{
    uint8_t head[RAFT_CC_BYTES_MAX];
    uint64_t store[RAFT_MAX_PEERS] = { 0 };
    size_t len = raft_cc_encode(cc, head);
    struct bytes behind =
        len < entry.len ? bytes_from(entry.data + len, entry.len - len) : (struct bytes){ 0 };
    for (unsigned i = 0; i < conf->n; i++) {
        store[i] = region_meta_store(meta, conf->id[i]);
        if (store[i] == 0)
            store[i] = newcomer(behind, conf->id[i]);
        if (store[i] == 0)
            return ERR_CORRUPTION;
    }
    memcpy(meta->store, store, sizeof store);
    meta->conf = *conf;
    meta->conf_ver++;
    return ERR_OK;
}

raft_id region_meta_peer(const struct region_meta *meta, uint64_t store)
{
    for (unsigned i = 0; i < meta->conf.n; i++)
        if (meta->store[i] == store)
            return meta->conf.id[i];
    return RAFT_NONE;
}

uint64_t region_meta_store(const struct region_meta *meta, raft_id peer)
{
    for (unsigned i = 0; i < meta->conf.n; i++)
        if (meta->conf.id[i] == peer)
            return meta->store[i];
    return 0;
}

/* Negative, 0 or positive: the key in two parts beside an encoded one. */
static int compare(uint32_t ns, struct bytes key, struct bytes with)
{
    uint8_t head[4];
    store_u32_be(head, ns);
    size_t first = with.len < sizeof head ? with.len : sizeof head;
    int order = memcmp(head, with.data != NULL ? with.data : head, first);
    if (order != 0 || first < sizeof head)
        return order != 0 ? order : 1; /* the encoded one ends within the namespace */
    return bytes_compare(key, bytes_from(with.data + sizeof head, with.len - sizeof head));
}

bool region_meta_begins(const struct region_meta *meta, uint32_t ns, struct bytes key)
{
    return meta->start.len == 0 || compare(ns, key, buf_bytes(&meta->start)) >= 0;
}

bool region_meta_holds(const struct region_meta *meta, uint32_t ns, struct bytes key)
{
    return region_meta_begins(meta, ns, key) &&
           (meta->end_unbounded || compare(ns, key, buf_bytes(&meta->end)) < 0);
}
