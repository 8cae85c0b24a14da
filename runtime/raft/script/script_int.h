/* The inside of the nodes of one file, shared by wire.c, nodes.c and commands.c. */
#pragma once

#include "script.h"

struct queue {
    struct wire *items;
    size_t n, cap;
};

struct snapshot {
    struct raft_snap meta;
    struct buf data; /* the state machine: everything that was applied, one behind the other */
};

struct node {
    struct env_nodes *env;
    raft_id id;
    struct raft *r;
    struct raft_cfg cfg;
    struct raft_ent *cache; /* payloads of the whole log from cache_first on */
    size_t ncache, cache_cap;
    raft_index cache_first;
    struct raft_ent *stable; /* what is on disk, from stable_first on */
    size_t nstable, stable_cap;
    raft_index stable_first;
    raft_term stable_base_term;
    struct raft_snap stable_snap;
    struct raft_hs hs;
    struct snapshot applied;
    raft_index applied_index;
    struct queue append_work, apply_work;
};

struct env_nodes {
    struct node *nodes[NODES_MAX];
    unsigned n;
    struct queue flight;
    bool quiet, no_jitter;
    unsigned cut[NODES_MAX + 1]; /* partition: the group of each id; 0: with everybody */
    uint64_t shuffle;
};

/* wire.c */
void *must(void *memory); /* aborts if memory is gone */
struct raft_msg *wire_msg(struct wire *w);
void queue_push(struct queue *q, struct wire w);
struct wire queue_take(struct queue *q, size_t at);
void queue_free(struct queue *q);
void ents_put(struct raft_ent **ents, size_t *n, size_t *cap, raft_index *first,
              const struct raft_ent *more, uint32_t count);
void ents_drop(struct raft_ent *ents, size_t *n, raft_index *first, raft_index upto);

/* nodes.c */
struct node *node_new(struct env_nodes *env, const struct raft_cfg *cfg,
                      const struct raft_snap *snap);
void node_open(struct node *node, bool restarted);
void node_free(struct node *node);
struct wire node_wire(const struct node *node, const struct raft_msg *m);
void node_store(struct node *node, const struct raft_hs *hs, const struct raft_ent *ents,
                uint32_t n, const struct raft_snap *snap);
void node_print_log(const struct node *node, struct buf *out);
void node_ready(struct env_nodes *env, struct node *node, struct buf *out);
void node_thread(struct env_nodes *env, struct node *node, bool append, struct buf *out);
bool local_message(const struct raft_msg *m);
bool cut_off(const struct env_nodes *env, raft_id a, raft_id b);
void to_flight(struct env_nodes *env, struct wire w);
