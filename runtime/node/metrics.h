/* What a node tells about itself, as samples: rendered for Prometheus, or as values for scripts.
 *
 * The names are a contract (docs/operations.md lists them). Times are in seconds, sizes in bytes;
 * what only grows ends in _total. */
#pragma once

#include "base/buf.h"
#include "base/histogram.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* A family of samples: name, meaning, kind. */
struct metric {
    const char *name, *help;
    enum metric_kind kind;
};

/* Takes samples; one family after the other, its samples together. `labels` as Prometheus writes
 * them ("method=\"RawPut\""), or "". */
struct metrics_sink {
    void (*sample)(void *user, const struct metric *metric, const char *labels, double value);
    void (*histogram)(void *user, const struct metric *metric, const char *labels,
                      const struct histogram *h); /* its values are microseconds */
    void *user;
};

struct node;
/* Gives every sample of the node, in a fixed order. */
void node_metrics(struct node *node, const struct metrics_sink *sink);
/* The same as Prometheus text (version 0.0.4), appended. */
void node_metrics_text(struct node *node, struct buf *ret);
