/* The process around a node: world, log, signals, exit codes. The one place below cli/ that knows
 * which world and which engine a real node has. */
#include "node/main.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/node.h"
#include "uv/world.h"

struct process {
    struct world *world;
    struct env *env;
    struct logger *log;
    const struct node_config *config;
    atomic_int log_fd; /* any thread writes lines */
    struct node *node;
    enum node_exit code;
};

/* ---- The log ------------------------------------------------------------------------------ */

static uint64_t log_wall(void *user)
{
    return env_wall(((struct process *)user)->env);
}

static void log_write(void *user, struct bytes line)
{
    struct process *p = user;
    ssize_t n = write(atomic_load(&p->log_fd), line.data, line.len); /* a full disk of logs */
    (void)n;                                                         /* stops nobody (F-R6) */
}

static err_t log_open(struct process *p, struct err *e)
{
    if (p->config->log.file[0] == 0)
        return ERR_OK;
    int fd = open(p->config->log.file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0)
        return err_errno(e, errno, "could not open the log \"%s\"", p->config->log.file);
    int old = atomic_load(&p->log_fd);
    if (old <= STDERR_FILENO) {
        atomic_store(&p->log_fd, fd);
    } else { /* a thread may be about to write: the number stays, the file behind it changes */
        dup3(fd, old, O_CLOEXEC);
        close(fd);
    }
    return ERR_OK;
}

static err_t log_start(struct process *p, struct err *e)
{
    enum logger_level level;
    err_t rc = logger_level_parse(p->config->log.level, &level, e);
    if (rc == ERR_OK)
        rc = log_open(p, e);
    if (rc != ERR_OK)
        return rc;
    p->log = logger_new(&(struct logger_config){
        .level = level,
        .format = strcmp(p->config->log.format, "json") == 0 ? LOGGER_JSON : LOGGER_LOGFMT,
        .wall = log_wall,
        .write = log_write,
        .user = p,
        .burst = 50,
        .ring = 256,
    });
    return p->log != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "no memory for the log");
}

/* ---- Signals ------------------------------------------------------------------------------ */

static void on_stop(void *user, int signum)
{
    struct process *p = user;
    if (p->node == NULL) /* signals go on until the world is closed */
        return;
    logger_info(p->log, "signal", logger_i64("number", signum));
    node_drain(p->node);
}

static void on_reload(void *user, int signum)
{
    struct process *p = user;
    struct err e = { 0 };
    (void)signum;
    if (p->node == NULL)
        return;
    if (log_open(p, &e) != ERR_OK)
        logger_error(p->log, "the log was not reopened", logger_err(&e));
    node_reload(p->node);
}

static void on_stopped(void *user, enum node_exit code)
{
    struct process *p = user;
    p->code = code;
    env_stop(p->env);
}

/* ---- Running ------------------------------------------------------------------------------ */

static int fail(enum node_exit code, const struct err *e)
{
    fprintf(stderr, "flotilla: %s\n", e->msg);
    return (int)code;
}

static struct node_options options(struct process *p)
{
    return (struct node_options){ .env = p->env,
                                  .log = p->log,
                                  .engine = &engine_rocks,
                                  .config = p->config,
                                  .version = FLOTILLA_VERSION,
                                  .stopped = on_stopped,
                                  .user = p };
}

static void say_ready(const struct process *p, FILE *ready)
{
    const char *console = node_console_text(p->node), *http = node_http_text(p->node);
    fprintf(ready, "ready: listening on %s, console %s%s, http %s%s\n", node_address(p->node),
            console[0] != 0 ? "at " : "off", console, http[0] != 0 ? "on " : "off", http);
    fflush(ready);
}

static int run(struct process *p, FILE *ready)
{
    struct err e = { 0 };
    enum node_exit code = NODE_EXIT_FAILED;
    struct node_options o = options(p);
    err_t rc = node_open(&o, &p->node, &code, &e);
    if (rc != ERR_OK)
        return fail(code, &e);
    if ((rc = world_on_signal(p->world, SIGTERM, on_stop, p, &e)) != ERR_OK ||
        (rc = world_on_signal(p->world, SIGINT, on_stop, p, &e)) != ERR_OK ||
        (rc = world_on_signal(p->world, SIGHUP, on_reload, p, &e)) != ERR_OK) {
        node_close(p->node);
        p->node = NULL;
        return fail(NODE_EXIT_FAILED, &e);
    }
    say_ready(p, ready);
    world_run(p->world);
    node_close(p->node);
    p->node = NULL;
    logger_info(p->log, "stopped", logger_u64("exit_code", p->code));
    return (int)p->code;
}

static int with_world(const struct node_config *config, int (*what)(struct process *p, FILE *out),
                      FILE *out)
{
    struct err e = { 0 };
    struct process p = { .config = config, .log_fd = STDERR_FILENO, .code = NODE_EXIT_FAILED };
    if (node_config_check(config, &e) != ERR_OK)
        return fail(NODE_EXIT_USAGE, &e);
    if (world_open(NULL, &p.world, &e) != ERR_OK)
        return fail(NODE_EXIT_FAILED, &e);
    p.env = world_env(p.world);
    int code = log_start(&p, &e) == ERR_OK ? what(&p, out) : fail(NODE_EXIT_USAGE, &e);
    world_close(p.world);
    logger_free(p.log);
    if (atomic_load(&p.log_fd) > STDERR_FILENO)
        close(atomic_load(&p.log_fd));
    return code;
}

static int init(struct process *p, FILE *out)
{
    struct err e = { 0 };
    struct node_options o = options(p);
    err_t rc = node_init(&o, &e);
    if (rc != ERR_OK)
        return fail(rc == ERR_INVALID_ARGUMENT ? NODE_EXIT_USAGE : NODE_EXIT_STORE, &e);
    fprintf(out, "created a store in %s\n", p->config->data_dir);
    return NODE_EXIT_CLEAN;
}

int node_init_main(const struct node_config *config, FILE *out)
{
    return with_world(config, init, out);
}

int node_main(const struct node_config *config, FILE *ready)
{
    return with_world(config, run, ready);
}
