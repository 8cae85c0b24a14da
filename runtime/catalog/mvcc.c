/* Batches as bytes. */
#include "catalog/mvcc.h"

#include <stdlib.h>

#include "base/codec.h"

enum {
    FORMAT = 1,
    HEAD_SIZE = 1 + 8 + 8 + 4,
    MUTATION_MIN = 1 + 4, /* a remove of the empty key */
};

static err_t mutation_encode(const struct mvcc_mutation *m, struct buf *out)
{
    size_t size = MUTATION_MIN + m->key.len + (m->remove ? 0 : 4 + m->value.len);
    if (m->key.len > UINT32_MAX || m->value.len > UINT32_MAX)
        return ERR_TOO_LARGE;
    uint8_t *at = buf_reserve(out, size);
    if (at == NULL)
        return ERR_NOMEM;
    put_u8(&at, m->remove);
    put_u32(&at, (uint32_t)m->key.len);
    put_bytes(&at, m->key);
    if (!m->remove) {
        put_u32(&at, (uint32_t)m->value.len);
        put_bytes(&at, m->value);
    }
    out->len += size;
    return ERR_OK;
}

err_t mvcc_batch_encode(const struct mvcc_batch *batch, struct buf *out, struct err *e)
{
    size_t before = out->len;
    if (batch->count > UINT32_MAX)
        return err_set(e, ERR_TOO_LARGE, "%zu mutations in one batch", batch->count);
    uint8_t *at = buf_reserve(out, HEAD_SIZE);
    err_t rc = at == NULL ? ERR_NOMEM : ERR_OK;
    if (rc == ERR_OK) {
        put_u8(&at, FORMAT);
        put_u64(&at, batch->start_ts);
        put_u64(&at, batch->commit_ts);
        put_u32(&at, (uint32_t)batch->count);
        out->len += HEAD_SIZE;
    }
    for (size_t i = 0; i < batch->count && rc == ERR_OK; i++)
        rc = mutation_encode(&batch->mutations[i], out);
    if (rc == ERR_OK)
        return ERR_OK;
    out->len = before;
    return err_set(e, rc, "could not encode a batch of %zu mutations", batch->count);
}

/* A length and that many bytes. */
static bool take_piece(struct bytes *in, struct bytes *ret)
{
    uint32_t len;
    return take_u32(in, &len) && take_bytes(in, len, ret);
}

static bool take_mutation(struct bytes *in, struct mvcc_mutation *m)
{
    uint8_t remove;
    if (!take_u8(in, &remove) || remove > 1 || !take_piece(in, &m->key))
        return false;
    m->remove = remove;
    m->value = (struct bytes){ 0 };
    return m->remove || take_piece(in, &m->value);
}

err_t mvcc_batch_decode(struct bytes in, struct arena *arena, struct mvcc_batch *ret, struct err *e)
{
    size_t len = in.len;
    struct mvcc_batch b;
    uint8_t format;
    uint32_t count;
    if (!take_u8(&in, &format) || format != FORMAT || !take_u64(&in, &b.start_ts) ||
        !take_u64(&in, &b.commit_ts) || !take_u32(&in, &count) || count > in.len / MUTATION_MIN)
        return err_set(e, ERR_CORRUPTION, "%zu bytes are no batch", len);
    struct mvcc_mutation *m = arena_zalloc(arena, count, sizeof *m);
    if (m == NULL)
        return err_set(e, ERR_NOMEM, "no memory for a batch of %u mutations", count);
    for (uint32_t i = 0; i < count; i++) {
        if (!take_mutation(&in, &m[i]))
            return err_set(e, ERR_CORRUPTION, "a batch is damaged at byte %zu of %zu", len - in.len,
                           len);
    }
    if (in.len > 0)
        return err_set(e, ERR_CORRUPTION, "%zu bytes behind a batch of %zu", in.len, len - in.len);
    b.mutations = m;
    b.count = count;
    *ret = b;
    return ERR_OK;
}
