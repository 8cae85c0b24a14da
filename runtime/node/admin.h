/* Admin verbs on the wire: AdminRequest { verb 1, arguments 2 } runs a verb of lua/admin.lua,
 * AdminResponse { status 1, result 2 } is its JSON. */
#pragma once

#include "calls.h"
#include "script/script.h"

struct node_admin;

struct node_admin *node_admin_new(struct node_calls *calls);
/* The host may come later, and go earlier (NULL): requests then answer UNAVAILABLE. */
void node_admin_host(struct node_admin *a, struct script_host *host);
void node_admin_free(struct node_admin *a); /* NULL is welcome */
struct net_handler node_admin_handler(struct node_admin *a);
