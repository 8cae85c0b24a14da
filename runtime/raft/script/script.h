/* raft_script: groups driven by text, as etcd-io/raft's interaction tests are (cockroachdb/datadriven's format).
 *
 *   script.c   a file is stanzas: a command with arguments, input lines, ----, the expected output
 *   wire.c     owned copies of messages and entries
 *   nodes.c    a node: payloads, storage, its Ready, its storage threads
 *   commands.c the commands: what each does to the nodes of one file
 *   print.c    how messages, entries, configurations look
 *   table.c    the quorum and confchange tables
 *   main.c     runs files, prints them with the actual outputs, compares or rewrites */
#pragma once

#include "base/buf.h"
#include "raft/raft.h"

enum { ARGS_MAX = 16, VALUES_MAX = 32, NODES_MAX = 16 };

struct script_arg {
    char key[64];
    char value[VALUES_MAX][64];
    unsigned count; /* values; 0: a bare word */
};
struct script_cmd {
    char name[64];
    struct script_arg args[ARGS_MAX];
    unsigned nargs;
    char *input;    /* trimmed */
    char *expected; /* as in the file */
    unsigned line;
};

/* An entry, a snapshot, a message with everything that they refer to: owned copies. */
struct wire {
    struct raft_msg m; /* ents, snap and resp point into this wire */
    struct raft_ent *ents;
    struct raft_snap snap;
    struct wire *resp;
    uint32_t nresp;
};
void wire_free(struct wire *w);
void wire_copy(struct wire *to, const struct wire *from);
void ents_free(struct raft_ent *ents, uint32_t n);
struct raft_ent ent_copy(const struct raft_ent *ent);

/* script.c: NULL at the end of the text; `at` moves on. Aborts with the line on bad grammar. */
bool script_next(const char **at, unsigned *line, struct buf *echo, struct script_cmd *cmd);
void script_cmd_free(struct script_cmd *cmd);
const struct script_arg *script_arg(const struct script_cmd *cmd, const char *key);
const char *script_value(const struct script_cmd *cmd, const char *key, const char *otherwise);
unsigned long script_number(const struct script_cmd *cmd, const char *key, unsigned long otherwise);
bool script_flag(const struct script_cmd *cmd, const char *key);

/* commands.c */
struct env_nodes;
struct env_nodes *nodes_new(bool no_jitter);
void nodes_free(struct env_nodes *env);
/* Runs one command; appends its output. False: no such command. */
bool nodes_run(struct env_nodes *env, const struct script_cmd *cmd, struct buf *out);

/* table.c: the same for `committed`, `vote`, `simple`, `enter-joint`, `leave-joint`. */
struct table;
struct table *table_new(void);
void table_free(struct table *table);
bool table_run(struct table *table, const struct script_cmd *cmd, struct buf *out);

/* print.c */
void say(struct buf *out, const char *fmt, ...) PRINTF_LIKE(2, 3); /* aborts if memory is gone */
void print_entry(struct buf *out, const struct raft_ent *ent);
void print_message(struct buf *out, const struct wire *w, const char *indent);
void print_snap(struct buf *out, const struct raft_snap *snap);
void print_progress(struct buf *out, const struct raft_peer_status *peer);
void print_conf(struct buf *out, const struct raft_conf *conf);
const char *print_role(enum raft_role role);
/* "v1 l2 r3 u4" */
unsigned parse_changes(const char *text, struct raft_cc_one *ret);
int parse_type(const char *name);
