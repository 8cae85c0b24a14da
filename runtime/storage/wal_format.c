/* Encoding and decoding of the log: see wal_format.h for the picture. */
#include "wal_format.h"

#include <assert.h>

#include "base/codec.h"
#include "base/crc32c.h"

static const uint8_t magic[8] = { 'F', 'L', 'O', 'T', 'W', 'A', 'L', '\n' };

uint32_t wal_format_seed(const struct wal_segment_header *segment)
{
    uint8_t all[24];
    store_u64(all, segment->number);
    store_u64(all + 8, segment->incarnation);
    store_u64(all + 16, segment->salt);
    return crc32c(0, bytes_from(all, sizeof all));
}

void wal_format_segment_header(const struct wal_segment_header *header, uint8_t *out)
{
    uint8_t *at = out;
    put_bytes(&at, bytes_from(magic, sizeof magic));
    put_u32(&at, WAL_FORMAT);
    put_u32(&at, 0);
    put_u64(&at, header->number);
    put_u64(&at, header->incarnation);
    put_u64(&at, header->bytes);
    put_u64(&at, header->salt);
    put_u32(&at, crc32c(0, bytes_from(out, (size_t)(at - out))));
    assert(at == out + WAL_SEGMENT_HEADER);
}

err_t wal_format_take_segment_header(struct bytes in, struct wal_segment_header *ret)
{
    struct bytes whole = in, seen;
    struct wal_segment_header header;
    uint32_t format, zero, crc;
    if (!take_bytes(&in, sizeof magic, &seen) || !take_u32(&in, &format) || !take_u32(&in, &zero) ||
        !take_u64(&in, &header.number) || !take_u64(&in, &header.incarnation) ||
        !take_u64(&in, &header.bytes) || !take_u64(&in, &header.salt) || !take_u32(&in, &crc))
        return ERR_SHORT;
    if (!bytes_equal(seen, bytes_from(magic, sizeof magic)) ||
        crc != crc32c(0, bytes_from(whole.data, WAL_SEGMENT_HEADER - 4)))
        return ERR_CORRUPTION;
    if (format != WAL_FORMAT || zero != 0)
        return ERR_UPGRADE_REQUIRED;
    *ret = header;
    return ERR_OK;
}

static uint32_t head_of(const struct wal_batch_header *header, uint32_t seed)
{
    uint8_t all[16];
    store_u32(all, header->length);
    store_u64(all + 4, header->number);
    store_u32(all + 12, header->records);
    return crc32c(seed, bytes_from(all, sizeof all));
}

void wal_format_batch_header(const struct wal_batch_header *header, uint32_t seed, uint8_t *out)
{
    uint8_t *at = out;
    put_u32(&at, header->length);
    put_u32(&at, header->crc);
    put_u64(&at, header->number);
    put_u32(&at, header->records);
    put_u32(&at, head_of(header, seed));
    assert(at == out + WAL_BATCH_HEADER);
}

err_t wal_format_take_batch_header(struct bytes in, uint32_t seed, uint64_t room,
                                   struct wal_batch_header *ret)
{
    struct wal_batch_header header;
    uint32_t head;
    if (!take_u32(&in, &header.length) || !take_u32(&in, &header.crc) ||
        !take_u64(&in, &header.number) || !take_u32(&in, &header.records) || !take_u32(&in, &head))
        return ERR_SHORT;
    if (head != head_of(&header, seed) || header.length < WAL_BATCH_HEADER + WAL_RECORD_HEADER ||
        header.length > room || header.length > WAL_BATCH_MAX || header.number == 0 ||
        header.records == 0 ||
        header.records > (header.length - WAL_BATCH_HEADER) / WAL_RECORD_HEADER)
        return ERR_CORRUPTION;
    *ret = header;
    return ERR_OK;
}

uint32_t wal_format_batch_crc(uint32_t seed, struct bytes whole)
{
    static const uint8_t zero[4];
    assert(whole.len >= WAL_BATCH_HEADER);
    uint32_t crc = crc32c(seed, bytes_from(whole.data, 4));
    crc = crc32c(crc, bytes_from(zero, sizeof zero));
    return crc32c(crc, bytes_from(whole.data + 8, whole.len - 8));
}

void wal_format_put_record(uint8_t **at, enum wal_kind kind, uint32_t length)
{
    put_u8(at, (uint8_t)kind);
    put_u8(at, 0);
    put_u16(at, 0);
    put_u32(at, length);
}

void wal_format_put_append(uint8_t **at, uint64_t region, struct raft_hs hs, raft_index first,
                           uint32_t count)
{
    put_u64(at, region);
    put_u64(at, hs.term);
    put_u64(at, hs.vote);
    put_u64(at, hs.commit);
    put_u64(at, first);
    put_u32(at, count);
    put_u32(at, 0);
}

void wal_format_put_entry(uint8_t **at, raft_term term, uint8_t type, uint32_t length)
{
    put_u64(at, term);
    put_u32(at, length);
    put_u8(at, type);
    put_u8(at, 0);
    put_u16(at, 0);
}

/* A payload is cut out before it is read, so an input that ends within it is damage, not shortness. */
static err_t take_append(struct bytes in, struct wal_record *ret)
{
    uint32_t zero;
    if (!take_u64(&in, &ret->region) || !take_u64(&in, &ret->append.hs.term) ||
        !take_u64(&in, &ret->append.hs.vote) || !take_u64(&in, &ret->append.hs.commit) ||
        !take_u64(&in, &ret->append.first) || !take_u32(&in, &ret->append.count) ||
        !take_u32(&in, &zero) || zero != 0)
        return ERR_CORRUPTION;
    if (ret->append.count > in.len / WAL_ENTRY_HEADER ||
        (ret->append.count > 0 && ret->append.first == 0) ||
        ret->append.first > UINT64_MAX - ret->append.count)
        return ERR_CORRUPTION;
    ret->append.entries = in;
    for (uint32_t i = 0; i < ret->append.count; i++) {
        uint64_t term;
        uint32_t length;
        uint16_t rest;
        uint8_t type, pad;
        struct bytes data;
        if (!take_u64(&in, &term) || !take_u32(&in, &length) || !take_u8(&in, &type) ||
            !take_u8(&in, &pad) || !take_u16(&in, &rest) || !take_bytes(&in, length, &data) ||
            type > RAFT_ENT_CONF || pad != 0 || rest != 0)
            return ERR_CORRUPTION;
    }
    return in.len == 0 ? ERR_OK : ERR_CORRUPTION;
}

static err_t take_snap(struct bytes in, struct wal_record *ret)
{
    uint32_t conf, files;
    if (!take_u64(&in, &ret->region) || !take_u64(&in, &ret->snap.index) ||
        !take_u64(&in, &ret->snap.term) || !take_u32(&in, &conf) ||
        !take_bytes(&in, conf, &ret->snap.conf) || !take_u32(&in, &files) ||
        !take_bytes(&in, files, &ret->snap.files) || in.len != 0)
        return ERR_CORRUPTION;
    return ERR_OK;
}

static err_t take_payload(uint8_t kind, struct bytes in, struct wal_record *ret)
{
    uint32_t zero;
    switch (kind) {
    case WAL_APPEND:
        return take_append(in, ret);
    case WAL_SNAP:
    case WAL_SNAP_AGAIN:
        return take_snap(in, ret);
    case WAL_CUT:
        return take_u64(&in, &ret->region) && take_u64(&in, &ret->cut.index) &&
                       take_u64(&in, &ret->cut.term) && in.len == 0
                   ? ERR_OK
                   : ERR_CORRUPTION;
    case WAL_GONE:
    case WAL_GONE_AGAIN:
        return take_u64(&in, &ret->region) && take_u64(&in, &ret->gone.peer) &&
                       take_u64(&in, &ret->gone.conf_ver) && take_u64(&in, &ret->gone.version) &&
                       in.len == 0
                   ? ERR_OK
                   : ERR_CORRUPTION;
    case WAL_LOCAL:
        if (!take_u32(&in, &ret->local.kind) || !take_u32(&in, &zero) || zero != 0)
            return ERR_CORRUPTION;
        ret->local.value = in;
        return ERR_OK;
    case 0:
        return ERR_CORRUPTION;
    default:
        return ERR_UPGRADE_REQUIRED;
    }
}

err_t wal_format_take_record(struct bytes *in, struct wal_record *ret)
{
    struct bytes rest = *in, payload;
    struct wal_record record = { 0 };
    uint8_t kind, pad;
    uint16_t pad2;
    uint32_t length;
    if (!take_u8(&rest, &kind) || !take_u8(&rest, &pad) || !take_u16(&rest, &pad2) ||
        !take_u32(&rest, &length) || !take_bytes(&rest, length, &payload))
        return ERR_SHORT;
    if (pad != 0 || pad2 != 0)
        return ERR_CORRUPTION;
    record.kind = (enum wal_kind)kind;
    err_t rc = take_payload(kind, payload, &record);
    if (rc != ERR_OK)
        return rc;
    *in = rest;
    *ret = record;
    return ERR_OK;
}

bool wal_format_take_entry(struct bytes *entries, struct raft_ent *ret)
{
    uint16_t rest;
    uint8_t pad;
    struct bytes data;
    if (!take_u64(entries, &ret->term) || !take_u32(entries, &ret->len) ||
        !take_u8(entries, &ret->type) || !take_u8(entries, &pad) || !take_u16(entries, &rest) ||
        !take_bytes(entries, ret->len, &data))
        return false;
    ret->data = data.data;
    return true;
}
