/* Records and bytes of the route catalog; the first byte chooses which: a route's record, small
 * records and keys, a delta, a snapshot, a batch, an image of the store. What is accepted
 * encodes to what came in, and nothing is allocated beyond what the input's length allows. */
#include "base/codec.h"
#include "base/crc32c.h"
#include "catalog/catalog.h"
#include "catalog/mvcc_mem.h"
#include "fuzz.h"

/* Bytes of memory that a byte of input may cost, at most: a mutation of 5 bytes is 40 in memory. */
enum { COST = 64 };

static void check_same(const struct buf *again, struct bytes in)
{
    FUZZ_CHECK(bytes_equal(buf_bytes(again), in));
}

static void fuzz_route(struct bytes in)
{
    struct route r = { 0 };
    struct err e = { 0 };
    struct buf again = { 0 };
    if (route_decode(in, &r, &e) != ERR_OK) {
        FUZZ_CHECK(e.msg[0] != '\0' && r.id == 0);
        return;
    }
    /* Its keys are views: there was nothing to allocate. */
    FUZZ_CHECK(r.start.data >= in.data && r.start.data + r.start.len <= in.data + in.len);
    FUZZ_CHECK(r.end_unbounded || r.end.data + r.end.len == in.data + in.len);
    FUZZ_CHECK(route_check(&r, &e) == ERR_OK && route_contains(&r, r.start));
    FUZZ_CHECK(r.end_unbounded || !route_contains(&r, r.end));
    FUZZ_CHECK(route_encoded_size(&r) == in.len);
    FUZZ_CHECK(route_encode(&r, &again, &e) == ERR_OK);
    check_same(&again, in);
    buf_free(&again);
}

static void fuzz_records(struct bytes in)
{
    uint8_t number[RECORD_NUMBER_SIZE], identity[RECORD_IDENTITY_SIZE], key[RECORD_ROUTE_KEY_SIZE];
    struct catalog_stamp stamp;
    uint64_t u;
    if (record_version_decode(in, &u, NULL) == ERR_OK) {
        record_version_encode(u, number);
        FUZZ_CHECK(bytes_equal(bytes_from(number, sizeof number), in));
        FUZZ_CHECK((record_next_route_id_decode(in, &u, NULL) == ERR_OK) == (u != 0));
    }
    if (record_identity_decode(in, &stamp, NULL) == ERR_OK) {
        record_identity_encode(&stamp, identity);
        FUZZ_CHECK(bytes_equal(bytes_from(identity, sizeof identity), in));
    }
    if (record_route_id_from_key(in, &u)) {
        record_route_key(u, key);
        FUZZ_CHECK(record_is_route_key(in) && bytes_equal(bytes_from(key, sizeof key), in));
    }
}

static void fuzz_delta(struct bytes in)
{
    struct arena arena;
    struct catalog_delta d;
    struct err e = { 0 };
    struct buf again = { 0 };
    arena_init(&arena, 64 + COST * in.len, NULL, 0);
    err_t rc = catalog_delta_decode(in, &arena, &d, &e);
    FUZZ_CHECK(!arena.refused);
    FUZZ_CHECK(rc == ERR_OK || e.msg[0] != '\0');
    if (rc == ERR_OK) {
        FUZZ_CHECK(catalog_delta_encode(&d, &again, &e) == ERR_OK);
        check_same(&again, in);
    }
    buf_free(&again);
    arena_free(&arena);
}

static void fuzz_snapshot(struct bytes in)
{
    struct catalog_snapshot s;
    struct err e = { 0 };
    struct buf again = { 0 };
    if (catalog_snapshot_decode(in, &s, &e) != ERR_OK) {
        FUZZ_CHECK(e.msg[0] != '\0');
        return;
    }
    FUZZ_CHECK(catalog_snapshot_encode(&s, &again, &e) == ERR_OK);
    check_same(&again, in);
    buf_free(&again);
    catalog_snapshot_free(&s);
}

static void fuzz_batch(struct bytes in)
{
    struct arena arena;
    struct mvcc_batch b;
    struct err e = { 0 };
    struct buf again = { 0 };
    arena_init(&arena, 64 + COST * in.len, NULL, 0);
    err_t rc = mvcc_batch_decode(in, &arena, &b, &e);
    FUZZ_CHECK(!arena.refused);
    FUZZ_CHECK(rc == ERR_OK || e.msg[0] != '\0');
    if (rc == ERR_OK) {
        struct mvcc_mem *m = mvcc_mem_new();
        FUZZ_CHECK(mvcc_batch_encode(&b, &again, &e) == ERR_OK);
        check_same(&again, in);
        FUZZ_CHECK(mvcc_mem_apply(m, &b, NULL, &e) == ERR_OK); /* it is empty: nothing conflicts */
        mvcc_mem_free(m);
    }
    buf_free(&again);
    arena_free(&arena);
}

/* With a checksum that is right, or nothing would get behind it. */
static void fuzz_image(struct bytes in)
{
    struct mvcc_mem *m;
    struct err e = { 0 };
    struct buf image = { 0 }, again = { 0 };
    uint8_t crc[4];
    store_u32(crc, crc32c(0, in));
    FUZZ_CHECK(buf_append(&image, in) == ERR_OK &&
               buf_append(&image, bytes_from(crc, 4)) == ERR_OK);
    if (mvcc_mem_decode(buf_bytes(&image), &m, &e) == ERR_OK) {
        FUZZ_CHECK(mvcc_mem_encode(m, &again, &e) == ERR_OK);
        check_same(&again, buf_bytes(&image));
        struct mvcc_mem_stats stats;
        mvcc_mem_stats(m, &stats);
        mvcc_mem_trim(m, stats.last_commit_ts); /* walks over everything */
        mvcc_mem_free(m);
    }
    buf_free(&image);
    buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static void (*const targets[])(struct bytes) = { fuzz_route,    fuzz_records, fuzz_delta,
                                                     fuzz_snapshot, fuzz_batch,   fuzz_image };
    if (len == 0)
        return 0;
    struct bytes exact = fuzz_copy(bytes_from(data + 1, len - 1));
    targets[data[0] % (sizeof targets / sizeof targets[0])](exact);
    free((void *)(uintptr_t)exact.data);
    return 0;
}
