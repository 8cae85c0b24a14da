/* The scripts' door to the node: script_door filled in. */
#pragma once

#include "node_int.h"

/* facts.c: what is known at once, as value trees; the caller frees. */
struct value *node_fact_status(struct node *n, const struct value *arguments);
struct value *node_fact_metrics(struct node *n, const struct value *arguments);
struct value *node_fact_region(struct node *n);
struct value *node_fact_region_list(struct node *n, const struct value *arguments);
struct value *node_fact_config(struct node *n, const struct value *arguments);
struct value *node_fact_plan(struct node *n, const struct value *arguments);
