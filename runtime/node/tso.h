/* GetTso on the wire: pdpb.GetTsoRequest { count 1 }, GetTsoResponse { status 1, first 2, count 3 }. */
#pragma once

#include "calls.h"
#include "pd/tso.h"

struct node_tso;

struct node_tso *node_tso_new(struct node_calls *calls, struct pd_tso *oracle);
void node_tso_free(struct node_tso *t); /* NULL is welcome */
struct net_handler node_tso_handler(struct node_tso *t);
