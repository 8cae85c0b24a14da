/* The memory store as bytes: what a snapshot of its log carries. Little-endian.
 *
 *   u32 magic | u8 format = 1 | u64 last commit | u64 floor | u64 keys | keys, ascending | u32 crc32c of all before it
 *   key:      u32 len | bytes | u32 versions, 1 or more | versions, the newest first
 *   version:  u64 commit ts | u8 removed | if it is a value: u32 len | bytes */
#include <assert.h>

#include "base/codec.h"
#include "base/crc32c.h"
#include "mvcc_int.h"

enum { FORMAT = 1, HEAD_SIZE = 4 + 1 + 8 + 8 + 8, CRC_SIZE = 4 };
static const uint32_t magic = 0x4343564d; /* "MVCC" */

/* ---- Out ---- */

static size_t node_size(const struct mvcc_node *node, uint32_t *versions)
{
    size_t size = 4 + node->key_len + 4;
    *versions = 0;
    for (const struct mvcc_version *v = node->newest; v != NULL; v = v->older) {
        size += 8 + 1 + (v->removed ? 0 : 4 + v->len);
        ++*versions;
    }
    return size;
}

static err_t node_encode(const struct mvcc_node *node, struct buf *out)
{
    uint32_t versions;
    size_t size = node_size(node, &versions);
    if (versions == 0)
        return ERR_OK;
    uint8_t *at = buf_reserve(out, size);
    if (at == NULL)
        return ERR_NOMEM;
    put_u32(&at, (uint32_t)node->key_len);
    put_bytes(&at, bytes_from(node->key, node->key_len));
    put_u32(&at, versions);
    for (const struct mvcc_version *v = node->newest; v != NULL; v = v->older) {
        put_u64(&at, v->commit_ts);
        put_u8(&at, v->removed);
        if (!v->removed) {
            put_u32(&at, (uint32_t)v->len);
            put_bytes(&at, bytes_from(v->data, v->len));
        }
    }
    out->len += size;
    return ERR_OK;
}

static err_t image_encode(const struct mvcc_mem *m, struct buf *out)
{
    size_t begin = out->len;
    uint8_t *at = buf_reserve(out, HEAD_SIZE);
    if (at == NULL)
        return ERR_NOMEM;
    put_u32(&at, magic);
    put_u8(&at, FORMAT);
    put_u64(&at, m->stats.last_commit_ts);
    put_u64(&at, m->stats.floor);
    put_u64(&at, m->stats.keys);
    out->len += HEAD_SIZE;
    for (const struct mvcc_node *node = m->head->next[0]; node != NULL; node = node->next[0]) {
        if (node_encode(node, out) != ERR_OK)
            return ERR_NOMEM;
    }
    uint8_t crc[CRC_SIZE];
    store_u32(crc, crc32c(0, bytes_from(out->data + begin, out->len - begin)));
    return buf_append(out, bytes_from(crc, sizeof crc));
}

err_t mvcc_mem_encode(const struct mvcc_mem *m, struct buf *out, struct err *e)
{
    size_t before = out->len;
    if (image_encode(m, out) == ERR_OK)
        return ERR_OK;
    out->len = before;
    return err_set(e, ERR_NOMEM, "no memory for an image of %zu keys", m->stats.keys);
}

/* ---- In ---- */

static bool take_piece(struct bytes *in, struct bytes *ret)
{
    uint32_t len;
    return take_u32(in, &len) && take_bytes(in, len, ret);
}

/* The newest comes first: each is at most `most`, and is hung behind the one before. */
static err_t take_version(struct bytes *in, struct mvcc_mem *m, struct mvcc_version ***end,
                          uint64_t *most)
{
    uint64_t ts;
    uint8_t removed;
    struct bytes value = { 0 };
    if (!take_u64(in, &ts) || ts == 0 || ts > *most || !take_u8(in, &removed) || removed > 1 ||
        (!removed && !take_piece(in, &value)))
        return ERR_CORRUPTION;
    struct mvcc_version *v = mvcc_version_new(ts, removed, value);
    if (v == NULL)
        return ERR_NOMEM;
    **end = v;
    *end = &v->older;
    *most = ts - 1;
    m->stats.versions++;
    m->stats.bytes += v->len;
    return ERR_OK;
}

static err_t take_node(struct bytes *in, struct mvcc_mem *m, struct bytes *previous)
{
    struct bytes key;
    uint32_t versions;
    if (!take_piece(in, &key) || !take_u32(in, &versions) || versions == 0 ||
        (previous->data != NULL && bytes_compare(*previous, key) >= 0))
        return ERR_CORRUPTION;
    *previous = key;
    struct mvcc_node *node = mvcc_node_take(m, key);
    if (node == NULL)
        return ERR_NOMEM;
    m->stats.keys++;
    m->stats.bytes += node->key_len;
    struct mvcc_version **end = &node->newest;
    uint64_t most = m->stats.last_commit_ts;
    err_t rc = ERR_OK;
    for (uint32_t i = 0; i < versions && rc == ERR_OK; i++)
        rc = take_version(in, m, &end, &most);
    return rc;
}

static err_t image_decode(struct bytes in, struct mvcc_mem *m)
{
    uint32_t have, crc;
    uint8_t format;
    uint64_t keys;
    if (in.len < HEAD_SIZE + CRC_SIZE)
        return ERR_CORRUPTION;
    crc = load_u32(in.data + in.len - CRC_SIZE);
    in.len -= CRC_SIZE;
    if (crc32c(0, in) != crc)
        return ERR_CORRUPTION;
    if (!take_u32(&in, &have) || have != magic || !take_u8(&in, &format) || format != FORMAT ||
        !take_u64(&in, &m->stats.last_commit_ts) || !take_u64(&in, &m->stats.floor) ||
        !take_u64(&in, &keys) || m->stats.floor > m->stats.last_commit_ts)
        return ERR_CORRUPTION;
    struct bytes previous = { 0 };
    err_t rc = ERR_OK;
    for (; keys > 0 && rc == ERR_OK; keys--)
        rc = take_node(&in, m, &previous);
    return rc == ERR_OK && in.len > 0 ? ERR_CORRUPTION : rc;
}

err_t mvcc_mem_decode(struct bytes in, struct mvcc_mem **ret, struct err *e)
{
    struct mvcc_mem *m = mvcc_mem_new();
    err_t rc = image_decode(in, m);
    if (rc != ERR_OK) {
        mvcc_mem_free(m);
        return err_set(e, rc, "%zu bytes are no image of a store", in.len);
    }
    *ret = m;
    return ERR_OK;
}
