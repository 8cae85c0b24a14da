/* What the files of the node share. */
#pragma once

#include "admin.h"
#include "calls.h"
#include "http.h"
#include "kv.h"
#include "metrics.h"
#include "namespaces.h"
#include "node/console.h"
#include "node/node.h"
#include "net/peers.h"
#include "pd/pd.h"
#include "pd/tso.h"
#include "region/meta.h"
#include "region/region.h"
#include "script/script.h"
#include "storage/store.h"
#include "tso.h"

enum node_state { NODE_OPENING, NODE_SERVING, NODE_DRAINING, NODE_DRAINED, NODE_FAILED };

enum { NODE_HANDLERS = KV_HANDLERS + NODE_NAMESPACE_HANDLERS + 2 };

struct node {
    struct node_options options;
    struct node_config config;
    struct env *env;
    struct logger *log;
    enum node_state state;
    uint64_t opened; /* env_now() */
    uint64_t node_id;
    uint8_t cluster_id[STORAGE_CLUSTER_ID];
    char failure[512]; /* why it failed */
    bool told;         /* `stopped` was called */

    struct storage *store;
    struct net_peers *peers; /* the other stores */
    struct region_store *regions;
    struct pd_tso *oracle;
    struct node_calls calls;
    struct kv *kv;
    struct kv_backend backend;
    struct node_namespaces *namespaces;
    struct node_tso *tso;
    struct node_admin *admin;
    struct net_handler handlers[NODE_HANDLERS];
    struct net_server *server;
    struct script_host *scripts;
    struct pd *pd;
    struct node_console *console;
    struct node_http *http;
    char identity[64];
    char address[NODE_ADDRESS_MAX]; /* the bound one; stays when the server is gone */

    struct env_timer drain_deadline, publish, delay;
    struct buf snapshot; /* of the metrics, in turn with the HTTP thread's */
    uint64_t delay_due;
    struct histogram loop_delay_us;
};

/* door.c: what scripts may ask */
struct script_door node_door(struct node *n);

/* The wall clock in ms. */
uint64_t node_wall_ms(const struct node *n);
const char *node_state_name(enum node_state state);
/* Reasons why the node is not ready, a line each; "" when it is. */
void node_not_ready(const struct node *n, char *out, size_t len);
