/* Keys and values in the engine: see layout.h for the picture. */
#include "layout.h"

#include "base/codec.h"

static err_t prefixed(const uint8_t *head, size_t len, struct bytes rest, struct buf *ret)
{
    uint8_t *at = buf_reserve(ret, len + rest.len);
    if (at == NULL)
        return ERR_NOMEM;
    put_bytes(&at, bytes_from(head, len));
    put_bytes(&at, rest);
    ret->len += len + rest.len;
    return ERR_OK;
}

err_t layout_key(uint32_t ns, struct bytes key, struct buf *ret)
{
    uint8_t head[LAYOUT_KEY_HEAD];
    store_u32_be(head, ns);
    return prefixed(head, sizeof head, key, ret);
}

err_t layout_tombstone_key(uint32_t ns, struct bytes key, struct buf *ret)
{
    uint8_t head[LAYOUT_TOMBSTONE_HEAD] = { 't' };
    store_u32_be(head + 1, ns);
    return prefixed(head, sizeof head, key, ret);
}

err_t layout_cas_value(uint64_t version, struct bytes value, struct buf *ret)
{
    uint8_t head[LAYOUT_VERSION];
    store_u64_be(head, version);
    return prefixed(head, sizeof head, value, ret);
}

err_t layout_take_cas_value(struct bytes record, uint64_t *version, struct bytes *value)
{
    uint64_t v;
    if (!take_u64_be(&record, &v) || v == 0)
        return ERR_CORRUPTION;
    *version = v;
    *value = record;
    return ERR_OK;
}

err_t layout_take_tombstone(struct bytes record, uint64_t *version)
{
    uint64_t v;
    if (!take_u64_be(&record, &v) || v == 0 || record.len != 0)
        return ERR_CORRUPTION;
    *version = v;
    return ERR_OK;
}

void layout_raft_log_key(uint64_t region, raft_index index, uint8_t out[16])
{
    store_u64_be(out, region);
    store_u64_be(out + 8, index);
}

void layout_raft_state_key(uint64_t region, enum layout_state kind, uint8_t out[9])
{
    store_u64_be(out, region);
    out[8] = (uint8_t)kind;
}

err_t layout_take_raft_state_key(struct bytes key, uint64_t *region, enum layout_state *kind)
{
    uint64_t id;
    uint8_t what;
    if (!take_u64_be(&key, &id) || !take_u8(&key, &what) || key.len != 0)
        return ERR_CORRUPTION;
    *region = id;
    *kind = (enum layout_state)what;
    return ERR_OK;
}

enum { APPLY_STATE_VERSION = 1, NAMESPACE_VERSION = 1, TSO_VERSION = 1 };

void layout_apply_state(const struct layout_apply_state *state, uint8_t out[25])
{
    out[0] = APPLY_STATE_VERSION;
    store_u64_be(out + 1, state->index);
    store_u64_be(out + 9, state->term);
    store_u64_be(out + 17, state->hlc);
}

err_t layout_take_apply_state(struct bytes in, struct layout_apply_state *ret)
{
    struct layout_apply_state state;
    uint8_t version;
    if (!take_u8(&in, &version) || version != APPLY_STATE_VERSION ||
        !take_u64_be(&in, &state.index) || !take_u64_be(&in, &state.term) ||
        !take_u64_be(&in, &state.hlc) || in.len != 0)
        return ERR_CORRUPTION;
    *ret = state;
    return ERR_OK;
}

void layout_tso(uint64_t window_ms, uint8_t out[9])
{
    out[0] = TSO_VERSION;
    store_u64_be(out + 1, window_ms);
}

err_t layout_take_tso(struct bytes in, uint64_t *window_ms)
{
    uint64_t window;
    uint8_t version;
    if (!take_u8(&in, &version) || version != TSO_VERSION || !take_u64_be(&in, &window) ||
        in.len != 0)
        return ERR_CORRUPTION;
    *window_ms = window;
    return ERR_OK;
}

void layout_namespace_key(uint32_t id, uint8_t out[5])
{
    out[0] = 'n';
    store_u32_be(out + 1, id);
}

err_t layout_namespace(struct bytes name, struct bytes mode, struct buf *ret)
{
    uint8_t *at = buf_reserve(ret, 3 + name.len + mode.len);
    if (at == NULL)
        return ERR_NOMEM;
    put_u8(&at, NAMESPACE_VERSION);
    put_u8(&at, (uint8_t)name.len);
    put_bytes(&at, name);
    put_u8(&at, (uint8_t)mode.len);
    put_bytes(&at, mode);
    ret->len += 3 + name.len + mode.len;
    return ERR_OK;
}

err_t layout_take_namespace(struct bytes key, struct bytes value, uint32_t *id, struct bytes *name,
                            struct bytes *mode)
{
    uint8_t kind, version, length;
    uint32_t number;
    struct bytes n, m;
    if (!take_u8(&key, &kind) || kind != 'n' || !take_u32_be(&key, &number) || key.len != 0 ||
        !take_u8(&value, &version) || version != NAMESPACE_VERSION || !take_u8(&value, &length) ||
        length > LAYOUT_NAME_MAX || !take_bytes(&value, length, &n) || !take_u8(&value, &length) ||
        length > LAYOUT_MODE_MAX || !take_bytes(&value, length, &m) || value.len != 0)
        return ERR_CORRUPTION;
    *id = number;
    *name = n;
    *mode = m;
    return ERR_OK;
}
