/* Messages to other stores: gathered in a turn, one batch a store, sent at its end. */
#include "region_int.h"

#include <assert.h>
#include <stdlib.h>

#include "base/container.h"

static struct region_link *link_of(struct region_store *rs, uint64_t store)
{
    for (size_t i = 0; i < rs->link_count; i++)
        if (rs->links[i]->store == store)
            return rs->links[i];
    rs->links = realloc(rs->links, (rs->link_count + 1) * sizeof(void *));
    struct region_link *link = calloc(1, sizeof *link);
    if (rs->links == NULL || link == NULL)
        abort(); /* one a store of the cluster */
    link->store = store;
    list_init(&link->node);
    rs->links[rs->link_count++] = link;
    return link;
}

static void flush(struct region_store *rs, struct region_link *link)
{
    list_remove(&link->node);
    if (link->out.len == 0)
        return;
    rs->stats.batches_out++;
    if (rs->config.transport.send != NULL)
        rs->config.transport.send(rs->config.transport.user, link->store, &link->out);
    buf_free(&link->out);
}

/* The payloads that the message names by place. */
static void fill_entries(struct region *r, struct raft_msg *m)
{
    struct region_store *rs = r->rs;
    if (m->nents == 0 || m->ents != NULL)
        return;
    if (m->nents > rs->ents_cap) {
        rs->ents = realloc(rs->ents, m->nents * sizeof *rs->ents);
        if (rs->ents == NULL)
            abort(); /* a place a message's entry */
        rs->ents_cap = m->nents;
    }
    for (uint32_t i = 0; i < m->nents; i++) {
        const struct region_entry *entry = region_payload(r, m->first + i);
        assert(entry != NULL); /* log_fit() has said so, in this turn */
        rs->ents[i] = region_entry_ent(entry);
    }
    m->ents = rs->ents;
}

static err_t add(struct region_store *rs, struct region_link *link, const struct region_message *m)
{
    err_t rc = ERR_OK;
    if (link->out.len == 0)
        rc = region_batch_begin(&link->out, rs->store_id, link->store, region_hlc(rs));
    return rc == ERR_OK ? region_batch_add(&link->out, m) : rc;
}

void region_send(struct region *r, const struct raft_msg *m)
{
    struct region_store *rs = r->rs;
    uint64_t store = region_meta_store(&r->meta, m->to);
    if (store == 0 || store == rs->store_id || m->snap != NULL)
        return; /* it was removed meanwhile */
    struct region_link *link = link_of(rs, store);
    struct region_message out = { .region_id = r->meta.id,
                                  .conf_ver = r->meta.conf_ver,
                                  .version = r->meta.version,
                                  .held = r->role == RAFT_LEADER ? r->held : 0,
                                  .raft = *m };
    out.raft.resp = NULL;
    out.raft.nresp = 0;
    fill_entries(r, &out.raft);
    err_t rc = add(rs, link, &out);
    if (rc == ERR_TOO_LARGE) { /* the batch is full */
        flush(rs, link);
        rc = add(rs, link, &out);
    }
    if (rc != ERR_OK)
        return; /* no memory: as if it was lost on the way */
    rs->stats.messages_out++;
    if (!list_linked(&link->node))
        list_push_back(&rs->links_out, &link->node);
}

void region_send_flush(struct region_store *rs)
{
    while (!list_empty(&rs->links_out))
        flush(rs, container_of(rs->links_out.next, struct region_link, node));
}

void region_send_close(struct region_store *rs)
{
    for (size_t i = 0; i < rs->link_count; i++) {
        buf_free(&rs->links[i]->out);
        free(rs->links[i]);
    }
    free(rs->links);
    region_batch_reader_free(&rs->reader);
}
