/* A node as a real process, for tests: started, waited for, killed.
 *
 * The test program runs itself again with the word "serve": the child is a whole node (node_main:
 * libuv, RocksDB, real files), so that kill -9 is a kill -9. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process {
    pid_t pid;         /* 0: not running */
    char endpoint[64]; /* "127.0.0.1:port" */
    char console[256], http[64];
};

/* True if the program was called as a server: it has served, and main returns `*code`. */
bool process_serve(int argc, char **argv, int *code);
/* Creates a store in `dir`, which must not exist; ends the test program if that fails. */
void process_init(const char *dir);
/* Starts a node on the store; returns when it says that it is ready. `options`: words as
 * "limits.connections_max=6000", ended by NULL; NULL: none. Ends the test program if the node does
 * not get ready. */
void process_start(struct process *p, const char *dir, const char *const *options);
/* Sends a signal and waits for the end. Answers the exit code; 1000 + signal if one ended it. */
int process_end(struct process *p, int signum);
/* Only waits; UINT64_MAX ms: for ever. -1: still running after that time. */
int process_wait(struct process *p, uint64_t ms);
/* Resident memory of the process in bytes. */
uint64_t process_memory(const struct process *p);
/* Milliseconds on a clock that is never set. */
uint64_t now_ms(void);
void sleep_ms(uint64_t ms);
/* True in builds whose sanitizers make time and memory meaningless. */
bool process_sanitized(void);
