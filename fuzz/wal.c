/* The write-ahead log as somebody else may have left it. The first byte chooses:
 *
 *   0  headers and records, straight from the input
 *   1  a log whose segment holds the input as it is, opened
 *   2  a log of batches with right checksums, whose records are the input: "a later version, or our own bug"
 *   3  a whole store with such batches behind its own, opened alone
 *   4  the same, opened for consensus
 *
 * Opening answers a code and a text, never an assert; a log that opened can be written and
 * opened again, and a store that opened answers reads, tells its regions and reads their entries back. */
#include "base/crc32c.h"
#include "fuzz.h"
#include "sim_world/disk.h"
#include "sim_world/world.h"
#include "storage/engine_mem.h"
#include "storage/log.h"
#include "wal.h"

enum { SEGMENT = 64 << 10, INCARNATION = 0x1234, RECORDS_MAX = 16 << 10 };

static const struct wal_config config = {
    .dir = "/wal", .segment_bytes = SEGMENT, .spares = 1, .incarnation = INCARNATION
};

static void fuzz_formats(struct bytes in)
{
    struct wal_segment_header segment;
    struct wal_batch_header batch;
    (void)!wal_format_take_segment_header(in, &segment);
    if (wal_format_take_batch_header(in, 0, in.len, &batch) == ERR_OK)
        FUZZ_CHECK(batch.length >= WAL_BATCH_HEADER && batch.length <= in.len);
    while (in.len > 0) {
        struct wal_record record;
        size_t before = in.len;
        if (wal_format_take_record(&in, &record) != ERR_OK) {
            FUZZ_CHECK(in.len == before);
            return;
        }
        FUZZ_CHECK(in.len < before);
        struct raft_ent ent;
        uint32_t count = 0;
        if (record.kind == WAL_APPEND) {
            size_t size = 0, whole = record.append.entries.len;
            for (; wal_format_take_entry(&record.append.entries, &ent); count++) {
                FUZZ_CHECK(ent.type <= RAFT_ENT_CONF);
                size += WAL_ENTRY_HEADER + ent.len;
            }
            FUZZ_CHECK(size == whole);
            FUZZ_CHECK(count == record.append.count && record.append.entries.len == 0);
        }
    }
}

/* What the checksums of the segment's batches begin with. */
static uint32_t seed_of(struct sim_disk *disk, const char *path)
{
    struct buf all = { 0 };
    struct wal_segment_header header;
    FUZZ_CHECK(sim_disk_peek(disk, path, &all) == ERR_OK);
    FUZZ_CHECK(wal_format_take_segment_header(buf_bytes(&all), &header) == ERR_OK);
    buf_free(&all);
    return wal_format_seed(&header);
}

/* Writes the input's chunks (u16 length, bytes) as batches with right headers and checksums,
 * from `offset` on. Answers how many. */
static unsigned put_batches(struct sim_disk *disk, const char *path, uint64_t offset,
                            uint64_t number, struct bytes in)
{
    unsigned count = 0;
    uint32_t seed = seed_of(disk, path);
    uint8_t *whole = malloc(WAL_BATCH_HEADER + RECORDS_MAX);
    FUZZ_CHECK(whole != NULL);
    while (in.len > 2) {
        size_t len = ((size_t)in.data[0] << 8 | in.data[1]) % RECORDS_MAX;
        in = bytes_from(in.data + 2, in.len - 2);
        if (len > in.len)
            len = in.len;
        struct bytes records = { in.data, len };
        struct wal_batch_header header = { .length = (uint32_t)(WAL_BATCH_HEADER + len),
                                           .number = number++ };
        for (struct wal_record record; records.len > 0; header.records++)
            if (wal_format_take_record(&records, &record) != ERR_OK)
                break;
        wal_format_batch_header(&header, seed, whole);
        memcpy(whole + WAL_BATCH_HEADER, in.data, len);
        header.crc = wal_format_batch_crc(seed, bytes_from(whole, header.length));
        wal_format_batch_header(&header, seed, whole);
        if (offset + header.length > SEGMENT)
            break;
        FUZZ_CHECK(sim_disk_poke(disk, path, offset, bytes_from(whole, header.length)) == ERR_OK);
        offset += (header.length + WAL_BLOCK - 1) / WAL_BLOCK * WAL_BLOCK;
        in = bytes_from(in.data + len, in.len - len);
        count++;
    }
    free(whole);
    return count;
}

static err_t count_record(void *user, const struct wal_place *place,
                          const struct wal_record *record, struct err *e)
{
    (void)record, (void)e;
    unsigned *count = user;
    FUZZ_CHECK(place->batch.len >= WAL_BATCH_HEADER);
    ++*count;
    return ERR_OK;
}

static void open_log(struct sim_disk *disk)
{
    struct err e = { 0 };
    struct sim_world *world = sim_world_new(1, disk);
    struct env *env = sim_world_env(world);
    struct wal *wal = NULL;
    unsigned first = 0, again = 0;
    err_t rc = wal_open(env, &config, count_record, &first, &wal, &e);
    FUZZ_CHECK((rc == ERR_OK) == (wal != NULL) && (rc == ERR_OK || e.msg[0] != '\0'));
    if (rc == ERR_OK) {
        struct wal_batch batch = { 0 };
        uint64_t before = wal_number(wal), number = 0;
        wal_batch_reset(&batch);
        wal_batch_cut(&batch, 1, 0, 0);
        rc = wal_write(wal, &batch, &number, &e);
        FUZZ_CHECK(rc != ERR_OK || number == before + 1);
        wal_batch_free(&batch);
        wal_close(wal);
        if (rc == ERR_OK) {
            FUZZ_CHECK(wal_open(env, &config, count_record, &again, &wal, &e) == ERR_OK);
            FUZZ_CHECK(wal_number(wal) == number && again == first + 1);
            wal_close(wal);
        }
    }
    sim_world_close(world);
}

static void fuzz_log(struct bytes in, bool repaired)
{
    struct err e = { 0 };
    struct sim_disk *disk = sim_disk_new(1);
    struct sim_world *world = sim_world_new(1, disk);
    FUZZ_CHECK(wal_create(sim_world_env(world), &config, &e) == ERR_OK);
    sim_world_close(world);
    const char *path = "/wal/0000000000000001.seg";
    if (repaired)
        put_batches(disk, path, WAL_BLOCK, 1, in);
    else
        FUZZ_CHECK(sim_disk_poke(disk, path, WAL_BLOCK, in) == ERR_OK);
    open_log(disk);
    sim_disk_free(disk);
}

/* Where the store's own batches end in its first segment, and the number of the next. */
static uint64_t end_of(struct sim_disk *disk, const char *path, uint64_t *number)
{
    struct buf all = { 0 };
    struct wal_batch_header header;
    uint64_t offset = WAL_BLOCK;
    uint32_t seed = seed_of(disk, path);
    *number = 1;
    FUZZ_CHECK(sim_disk_peek(disk, path, &all) == ERR_OK && all.len == SEGMENT);
    while (offset < SEGMENT &&
           wal_format_take_batch_header(bytes_from(all.data + offset, SEGMENT - offset), seed,
                                        SEGMENT - offset, &header) == ERR_OK) {
        offset += (header.length + WAL_BLOCK - 1) / WAL_BLOCK * WAL_BLOCK;
        *number = header.number + 1;
    }
    buf_free(&all);
    return offset;
}

static err_t any_row(void *user, struct bytes key, uint64_t version, struct bytes value)
{
    (void)user, (void)version, (void)value;
    FUZZ_CHECK(key.len > 0);
    return ERR_OK;
}

struct used {
    struct storage *store;
    uint64_t region, regions;
    raft_index last;
};

/* What a store tells of a region it has. */
static err_t use_group(void *user, const struct storage_group *group, struct err *e)
{
    struct used *used = user;
    struct buf bytes = { 0 };
    struct raft_ent ents[16];
    uint32_t n = 0;
    FUZZ_CHECK(used->regions++ == 0 || group->region > used->region);
    FUZZ_CHECK(group->base <= group->last);
    FUZZ_CHECK(group->gone != NULL || group->applied <= group->last);
    FUZZ_CHECK(group->nruns == 0 ? group->base == group->last
                                 : group->runs[group->nruns - 1].last == group->last);
    raft_index before = group->base;
    for (uint32_t i = 0; i < group->nruns; before = group->runs[i++].last)
        FUZZ_CHECK(group->runs[i].last > before);
    for (raft_index lo = group->base + 1; lo <= group->last; lo += n) {
        buf_clear(&bytes);
        FUZZ_CHECK(storage_entries(used->store, group->region, lo, group->last + 1, 4096, 16,
                                   &bytes, ents, &n, e) == ERR_OK);
        FUZZ_CHECK(n > 0 && ents[0].index == lo);
    }
    used->region = group->region;
    used->last = group->last;
    buf_free(&bytes);
    return ERR_OK;
}

static void use_regions(struct storage *store)
{
    struct err e = { 0 };
    struct used used = { .store = store };
    FUZZ_CHECK(storage_groups(store, use_group, &used, &e) == ERR_OK);
    struct storage_records *records = storage_records_new(store);
    struct raft_hs hs = { .term = UINT64_MAX, .vote = 1 };
    struct raft_ent ent = { .term = UINT64_MAX, .index = used.last + 1 };
    bool room = used.regions > 0 && used.last < UINT64_MAX - 1;
    FUZZ_CHECK(storage_records_append(records, used.region, hs, &ent, room) == ERR_OK);
    FUZZ_CHECK(storage_sync(store, records, &e) == ERR_OK);
    FUZZ_CHECK(storage_tend(store, &e) == ERR_OK);
    storage_records_free(records);
}

static void use_store(struct storage *store)
{
    struct err e = { 0 };
    struct buf got = { 0 };
    bool more;
    for (unsigned cas = 0; cas < 2; cas++) {
        struct storage_scan scan = { .cas = cas, .ns = 1, .limit = 100, .limit_bytes = 1 << 20 };
        FUZZ_CHECK(storage_scan(store, &scan, any_row, NULL, &more, &got, &e) == ERR_OK);
        buf_clear(&got);
    }
    FUZZ_CHECK(storage_put_raw(store, 1, BYTES("after"), BYTES("v"), &e) == ERR_OK);
    FUZZ_CHECK(storage_get_raw(store, 1, BYTES("after"), &got, &e) == ERR_OK && got.len == 1);
    buf_free(&got);
}

static void fuzz_store(struct bytes in, bool alone)
{
    struct err e = { 0 };
    struct storage_config store_config = { .path = "/store",
                                           .engine = &engine_mem,
                                           .engine_config = { .memtable_bytes = 16 << 10 },
                                           .segment_bytes = SEGMENT,
                                           .spare_segments = 1,
                                           .alone = alone };
    struct storage_ident ident = { .cluster_id = { 1 }, .store_id = 7, .incarnation = INCARNATION };
    const char *path = "/store/wal/0000000000000001.seg";
    struct sim_disk *disk = sim_disk_new(1);
    struct sim_world *world = sim_world_new(1, disk);
    FUZZ_CHECK(storage_init(sim_world_env(world), &store_config, &ident, NULL, &e) == ERR_OK);
    uint64_t number, offset = end_of(disk, path, &number);
    put_batches(disk, path, offset, number, in);
    struct storage *store = NULL;
    err_t rc = storage_open(sim_world_env(world), &store_config, &store, &e);
    FUZZ_CHECK((rc == ERR_OK) == (store != NULL) && (rc == ERR_OK || e.msg[0] != '\0'));
    if (rc == ERR_OK) {
        if (alone)
            use_store(store);
        else
            use_regions(store);
        storage_abandon(store);
    }
    sim_world_close(world);
    sim_disk_free(disk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    struct bytes in = { data + 1, len - 1 };
    switch (data[0] % 5) {
    case 0:
        fuzz_formats(in);
        break;
    case 1:
        fuzz_log(in, false);
        break;
    case 2:
        fuzz_log(in, true);
        break;
    case 3:
        fuzz_store(in, true);
        break;
    case 4:
        fuzz_store(in, false);
        break;
    }
    return 0;
}
