/* Batches of messages between stores (runtime/region/message.c). What is read is what protobuf-c reads; what was read
 * can be written, and says the same when it is read again. */
#include "message.h"

#include "decode/decode.h"
#include "fuzz.h"
#include "proto/raftpb.pb-c.h"

static void check_message(const struct region_message *m, const Flotilla__Raft__RaftMessage *p)
{
    const struct raft_msg *r = &m->raft;
    FUZZ_CHECK(m->region_id == p->region_id && m->conf_ver == p->conf_ver && m->held == p->held);
    FUZZ_CHECK(m->version == p->version && r->from == p->from_peer && r->to == p->to_peer);
    FUZZ_CHECK(r->term == p->term && r->log_term == p->log_term && r->index == p->index);
    FUZZ_CHECK(r->commit == p->commit && r->hint == p->hint && r->commit_term == p->commit_term);
    FUZZ_CHECK(r->ctx == p->ctx && r->reject == !!p->reject && r->forced == !!p->forced);
    FUZZ_CHECK(r->nents == p->n_entries && (r->snap == NULL) == (p->snapshot == NULL));
    for (uint32_t i = 0; i < r->nents; i++) {
        const Flotilla__Raft__RaftEntry *e = p->entries[i];
        FUZZ_CHECK(r->ents[i].term == e->term && r->ents[i].type == e->type);
        FUZZ_CHECK(bytes_equal(bytes_from(r->ents[i].data, r->ents[i].len),
                               bytes_from(e->data.data, e->data.len)));
    }
    if (r->snap != NULL) {
        FUZZ_CHECK(raft_conf_broken(&r->snap->conf) == NULL && r->snap->conf.voters != 0);
        FUZZ_CHECK(r->snap->index == p->snapshot->index && r->snap->term == p->snapshot->term);
        FUZZ_CHECK(r->snap->conf.n == p->snapshot->conf->n_members);
        FUZZ_CHECK(
            bytes_equal(m->snap_data, bytes_from(p->snapshot->data.data, p->snapshot->data.len)));
    }
}

/* Reads all of `in`, writes it to `again`; compares with what protobuf-c has read, if it has. */
static err_t copy(struct bytes in, const Flotilla__Raft__RaftBatch *theirs, struct buf *again)
{
    struct region_batch_reader r = { 0 };
    struct region_message m;
    struct err e = { 0 };
    size_t n = 0;
    err_t rc = region_batch_open(&r, in, &e);
    if (rc == ERR_OK)
        FUZZ_CHECK(region_batch_begin(again, r.from_store, r.to_store, r.hlc) == ERR_OK);
    while (rc == ERR_OK && (rc = region_batch_next(&r, &m, &e)) == ERR_OK) {
        if (theirs != NULL) {
            FUZZ_CHECK(n < theirs->n_messages);
            check_message(&m, theirs->messages[n]);
        }
        FUZZ_CHECK(region_batch_add(again, &m) == ERR_OK);
        n++;
    }
    FUZZ_CHECK((rc == ERR_CORRUPTION && e.msg[0] != '\0') || rc == ERR_NOT_FOUND);
    FUZZ_CHECK(rc != ERR_NOT_FOUND || theirs == NULL || n == theirs->n_messages);
    region_batch_reader_free(&r);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes in = fuzz_copy(bytes_from(data, len));
    struct buf once = { 0 }, twice = { 0 };
    Flotilla__Raft__RaftBatch *theirs = NULL;
    if (decode_check(&flotilla__raft__raft_batch__descriptor, in, DECODE_LIMITS, NULL) == ERR_OK) {
        theirs = flotilla__raft__raft_batch__unpack(NULL, in.len, in.data);
        FUZZ_CHECK(theirs != NULL);
    }
    if (copy(in, theirs, &once) == ERR_NOT_FOUND) {
        FUZZ_CHECK(copy(buf_bytes(&once), NULL, &twice) == ERR_NOT_FOUND);
        FUZZ_CHECK(bytes_equal(buf_bytes(&once), buf_bytes(&twice)));
    }
    if (theirs != NULL)
        flotilla__raft__raft_batch__free_unpacked(theirs, NULL);
    buf_free(&once);
    buf_free(&twice);
    free((void *)(uintptr_t)in.data);
    return 0;
}
