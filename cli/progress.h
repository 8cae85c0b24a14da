/* A line on a terminal that says how far a long command is: rows, rate, time left. Without a terminal: nothing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct progress {
    FILE *err;
    bool shown;     /* a terminal is there */
    uint64_t total; /* bytes in all; 0: unknown */
    uint64_t began_ms, last_ms;
};

void progress_begin(struct progress *p, FILE *err, uint64_t total);
/* Called as often as one likes; draws at most ten times a second. */
void progress_update(struct progress *p, uint64_t bytes, uint64_t rows);
/* Removes the line. Answers the milliseconds since the beginning. */
uint64_t progress_end(struct progress *p);
/* The line itself, for `width` columns. */
void progress_line(uint64_t bytes, uint64_t total, uint64_t rows, uint64_t elapsed_ms, int width,
                   char *out, size_t cap);
