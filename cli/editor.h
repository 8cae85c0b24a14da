/* A line editor for a terminal: prompt, history, completion. (libedit; a line is UTF-8.) */
#pragma once

#include <signal.h>
#include <stddef.h>
#include <stdio.h>

struct editor;

struct editor_config {
    FILE *in, *out, *err;
    const char *history; /* a file, loaded now and saved with every statement; NULL: none */
    /* Words that may stand where the word at the end of `line` begins (`*start`); the caller frees the answer with
     * `words_free`. NULL: nothing is offered. */
    char **(*complete)(void *user, const char *line, size_t *start, size_t *count);
    void (*words_free)(char **words);
    void *user;
    volatile sig_atomic_t
        *interrupted; /* set by SIGINT; while a line is read that is a Ctrl-C too */
};

enum editor_event {
    EDITOR_LINE,    /* a line, without its newline */
    EDITOR_DROPPED, /* Ctrl-C: the line is to be forgotten */
    EDITOR_END,     /* Ctrl-D at the beginning of a line, or the terminal is gone */
};

/* NULL: no terminal, or no memory. */
struct editor *editor_open(const struct editor_config *config);
/* `*line` is valid until the next call. While this waits Ctrl-C is a key; at other times it is a signal. */
enum editor_event editor_read(struct editor *ed, const char *prompt, const char **line);
/* Adds a statement to the history. */
void editor_remember(struct editor *ed, const char *statement);
void editor_close(struct editor *ed); /* NULL is welcome */
