/* Everything that a node can be told, as one plain value.
 *
 *   config/NAME.lua --(cli: config/schema.lua checks)--> struct node_config --> node_main()
 *
 * No pointers: a config is copied by assignment and outlives whoever made it. Units are in the
 * names. An empty text means "off", or the default that the comment names. The schema's names are
 * the field names, a group being a table: `limits.frame_max`, `http.address`. Options that are not
 * about the server (the client's endpoint) are the CLI's own. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum {
    NODE_PATH_MAX = 512,    /* bytes with the NUL */
    NODE_ADDRESS_MAX = 108, /* as a unix socket's path */
    NODE_STORES_MAX = 16,   /* members of one Raft group (RAFT_MAX_PEERS) */
    NODE_PARAMS_MAX = 64,
    NODE_PARAM_NAME_MAX = 32, /* bytes with the NUL, as the script's name */
    NODE_PARAM_TEXT_MAX = 128,
};

struct node_store {
    uint64_t id;
    char address[NODE_ADDRESS_MAX]; /* where clients and the other nodes connect */
};

/* A parameter of a policy. What it may be is the script's business (runtime/script/params.h). */
struct node_param {
    char script[NODE_PARAM_NAME_MAX], name[NODE_PARAM_NAME_MAX];
    enum node_param_kind { NODE_PARAM_NUMBER, NODE_PARAM_BOOLEAN, NODE_PARAM_TEXT } kind;
    bool boolean;
    double number;
    char text[NODE_PARAM_TEXT_MAX];
};

struct node_config {
    char data_dir[NODE_PATH_MAX];   /* the store's directory; made by init alone */
    char address[NODE_ADDRESS_MAX]; /* clients: "127.0.0.1:7700"; port 0: any free one */
    bool allow_remote; /* addresses need not be loopback, although nothing is sealed yet */
    bool accept_panic; /* start despite a panic mark: a flag of `start`, never in a file */

    struct {
        uint64_t store_id;   /* of `init`; at least 1 */
        char cluster_id[33]; /* of `init`: 32 hex digits; empty: drawn at random */
    } init;

    /* Static: the same list on every node; it makes the first members. Empty: a node alone. */
    struct {
        uint32_t count;
        struct node_store stores[NODE_STORES_MAX];
    } cluster;

    struct {
        /* "unix:/path"; empty: unix:<data_dir>/console.sock; "off": no console */
        char address[NODE_ADDRESS_MAX];
        uint32_t sessions_max;
        uint32_t idle_s; /* an idle session is closed after that */
    } console;

    struct {
        /* /metrics, /healthz, /readyz: "127.0.0.1:7780"; empty: off */
        char address[NODE_ADDRESS_MAX];
    } http;

    struct {
        char level[8];            /* debug, info, warn, error */
        char format[8];           /* logfmt, json */
        char file[NODE_PATH_MAX]; /* empty: standard error; reopened at SIGHUP */
    } log;

    /* For data in flight and in caches: one number, divided (node_memory_divide). */
    uint64_t memory_bytes;

    struct {
        uint64_t segment_bytes;        /* of the write-ahead log */
        uint32_t spare_segments;       /* kept zero-filled ahead */
        uint32_t background_jobs;      /* of RocksDB; at least 3 */
        uint32_t disk_reserve_percent; /* free space below which writes answer DISK_FULL */
        uint64_t ballast_bytes;        /* of the file BALLAST; 0: none */
    } storage;

    struct {
        uint32_t frame_max; /* bytes */
        uint32_t connections_max;
        uint32_t inflight_max;       /* unanswered requests of one connection */
        uint64_t inflight_bytes_max; /* request bodies of all connections; 0: memory's share */
        uint64_t backlog_max;        /* unsent reply bytes of one connection */
        uint32_t hello_ms;           /* deadline of the first frame */
        uint32_t idle_ms;            /* a connection without a frame is closed after that */
    } limits;

    struct {
        /* Writes proposed and not yet answered, by bytes and by count; above: SERVER_IS_BUSY. */
        uint64_t uncommitted_bytes_max;
        uint32_t uncommitted_max;
        uint32_t busy_backoff_ms;    /* suggested with SERVER_IS_BUSY */
        uint32_t reads_max;          /* reads queued for the disk; above: SERVER_IS_BUSY */
        uint32_t apply_inline_bytes; /* a turn up to that size is applied on the loop thread */
        uint32_t scan_rows_max;      /* of one answer */
        uint32_t scan_bytes_max;
        uint32_t samples; /* keys sampled for the policies */
    } region;

    struct {
        uint32_t max_offset_ms; /* a client's stamp further ahead is HLC_REFUSED */
        uint32_t window_ms;     /* how far ahead the bound is saved */
    } hlc;

    struct {
        uint32_t window_ms; /* how far ahead the window is saved */
        uint32_t count_max; /* stamps of one request */
    } tso;

    struct {
        uint32_t interval_ms;        /* between two plans; 0: never asks */
        char lua_dir[NODE_PATH_MAX]; /* empty: the scripts embedded in the program */
        bool watch;                  /* reload when lua_dir changes */
        struct {
            uint32_t count;
            struct node_param items[NODE_PARAMS_MAX];
        } params;
        uint64_t memory_bytes;         /* of the policies' Lua state */
        uint64_t instructions;         /* of one plan */
        uint32_t deadline_ms;          /* of one plan, by the watchdog */
        uint64_t session_memory_bytes; /* the same for a console session, and for an admin verb */
        uint64_t session_instructions;
        uint32_t session_deadline_ms;
    } policy;

    uint32_t drain_ms; /* SIGTERM: how long in-flight requests may take; below 5,000 */
};

/* Fills every field; only data_dir stays empty. config/node.lua shows the same values. */
void node_config_defaults(struct node_config *config);
/* The store that this node is, in the cluster's list; NULL: it has none, or is not in it. */
const struct node_store *node_config_self(const struct node_config *config);
/* What the schema cannot say. ERR_INVALID_ARGUMENT names the option and what to write instead. */
MUST_USE err_t node_config_check(const struct node_config *config, struct err *e);

/* How memory_bytes is shared out. Each part is a metric (flotilla_memory_bytes{part=...}). */
struct node_memory {
    uint64_t block_cache, memtables, requests, lua;
};
struct node_memory node_memory_divide(const struct node_config *config);
