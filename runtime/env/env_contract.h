/* The contract of env.h as tests: one suite for every world.
 *
 *     static struct env_contract machine = { .open = ..., .run = ..., .close = ... };
 *     #define ADD(name) TEST(contract_##name) { env_contract_##name(&machine); }
 *     ENV_CONTRACT(ADD)
 *     TEST_MAIN() */
#pragma once

#include "env/env.h"

struct env_contract {
    /* A fresh world; `dir` becomes the path of an empty directory in it. */
    struct env *(*open)(struct env_contract *c);
    void (*run)(struct env_contract *c); /* until env_stop() */
    void (*close)(struct env_contract *c);
    bool threads;         /* lanes are threads, and other threads may post */
    uint32_t uid;         /* that credentials of unix sockets must show */
    const char *unix_dir; /* where unix sockets may be made; set by open */
    const char *dir;
    void *world; /* the factory's own */
};

/* X(name) for every test. */
#define ENV_CONTRACT(X)                                                                            \
    ENV_CONTRACT_LOOP(X)                                                                           \
    ENV_CONTRACT_STREAM(X)                                                                         \
    ENV_CONTRACT_FILE(X)

#define ENV_CONTRACT_LOOP(X)                                                                       \
    X(clocks)                                                                                      \
    X(random_differs)                                                                              \
    X(timers_fire_in_order_and_never_early)                                                        \
    X(timer_restart_and_stop)                                                                      \
    X(timer_stops_another_inside_fire)                                                             \
    X(timer_without_delay_starves_nobody)                                                          \
    X(turn_hooks_run_once_in_order)                                                                \
    X(turn_hook_work_makes_another_turn)                                                           \
    X(posts_arrive_in_order)                                                                       \
    X(stop_before_run)                                                                             \
    X(lane_is_a_fifo)                                                                              \
    X(lane_done_queues_more)                                                                       \
    X(lane_close_serves_everything)                                                                \
    X(lanes_do_not_wait_for_each_other)                                                            \
    X(locks)

/* Only for a world whose lanes are threads. */
#define ENV_CONTRACT_THREADS(X)                                                                    \
    X(posts_from_threads)                                                                          \
    X(posts_wake_a_loop_about_to_sleep)                                                            \
    X(stop_from_a_thread)                                                                          \
    X(lock_waits)

#define ENV_CONTRACT_STREAM(X)                                                                     \
    X(tcp_echo_of_megabytes)                                                                       \
    X(tcp6_echo)                                                                                   \
    X(unix_echo_with_credentials)                                                                  \
    X(stream_back_pressure)                                                                        \
    X(stream_writes_end_in_order_never_inside)                                                     \
    X(stream_half_close)                                                                           \
    X(stream_close_ends_pending_writes)                                                            \
    X(stream_close_inside_read)                                                                    \
    X(stream_started_later)                                                                        \
    X(stream_peer_gone)                                                                            \
    X(connect_refused)                                                                             \
    X(connect_cancelled)                                                                           \
    X(bad_addresses)                                                                               \
    X(address_in_use)                                                                              \
    X(many_connections)

#define ENV_CONTRACT_FILE(X)                                                                       \
    X(file_reads_what_was_written)                                                                 \
    X(file_short_reads_at_the_end)                                                                 \
    X(file_gaps_are_zero)                                                                          \
    X(file_many_pieces)                                                                            \
    X(file_open_flags)                                                                             \
    X(file_truncate)                                                                               \
    X(file_lives_without_a_name)                                                                   \
    X(file_lock_conflict)                                                                          \
    X(rename_replaces)                                                                             \
    X(remove_and_mkdir)                                                                            \
    X(dir_list_is_sorted)                                                                          \
    X(whole_files)                                                                                 \
    X(watch_sees_changes)                                                                          \
    X(disk_free_is_plausible)

#define ENV_CONTRACT_DECLARE(name) void env_contract_##name(struct env_contract *c);
ENV_CONTRACT(ENV_CONTRACT_DECLARE)
ENV_CONTRACT_THREADS(ENV_CONTRACT_DECLARE)

/* Runs the world until `reached(user)` is true at the end of a turn; fails the test after 60 s of its time. */
void env_contract_until(struct env_contract *c, struct env *env, bool (*reached)(void *user),
                        void *user);
