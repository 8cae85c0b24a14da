#include "cluster.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/value.h"

enum { READY_MS = 20000, LOG_SHOWN = 1500 };

static void sleep_ms(unsigned ms)
{
    struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };
    nanosleep(&t, NULL);
}

/* ---- Making ------------------------------------------------------------------------------- */

/* Ports that are free now, all different: held until all are found. */
static bool find_ports(unsigned *ports, unsigned count)
{
    int fds[2 * CLUSTER_NODES_MAX];
    unsigned n = 0;
    for (; n < count; n++) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t len = sizeof a;
        fds[n] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fds[n] < 0 || bind(fds[n], (struct sockaddr *)&a, sizeof a) != 0 ||
            getsockname(fds[n], (struct sockaddr *)&a, &len) != 0) {
            n += fds[n] >= 0;
            break;
        }
        ports[n] = ntohs(a.sin_port);
    }
    bool found = n == count;
    while (n-- > 0)
        close(fds[n]);
    return found;
}

static int write_config(struct cli *cli, const struct cluster *c, unsigned i)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%u.lua", c->dir, i + 1);
    FILE *f = fopen(path, "w");
    if (f == NULL)
        return cli_fail(cli, CLI_FAILED, "could not write %s: %s", path, strerror(errno));
    fprintf(f,
            "return {\n  data_dir = '%s/%u',\n  address = '127.0.0.1:%u',\n"
            "  http = { address = '127.0.0.1:%u' },\n  log = { file = '%s/%u.log' },\n"
            "  memory_bytes = '256MiB',\n  storage = { segment_bytes = '16MiB' },\n"
            "  init = { store_id = %u, cluster_id = '%032x' },\n  cluster = { stores = {\n",
            c->dir, i + 1, c->nodes[i].port, c->nodes[i].http_port, c->dir, i + 1, i + 1,
            (unsigned)getpid());
    for (unsigned k = 0; k < c->count; k++)
        fprintf(f, "    { id = %u, address = '127.0.0.1:%u' },\n", k + 1, c->nodes[k].port);
    fprintf(f, "  } },\n}\n");
    return fclose(f) == 0 ? CLI_OK : cli_fail(cli, CLI_FAILED, "could not write %s", path);
}

/* Runs this program with a node's config; its output goes where its log goes. Answers the pid, -1. */
static pid_t run(const struct cluster *c, unsigned i, const char *command)
{
    char config[300], log[300];
    snprintf(config, sizeof config, "%s/%u.lua", c->dir, i + 1);
    snprintf(log, sizeof log, "%s/%u.out", c->dir, i + 1);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    setpgid(0, 0); /* Ctrl-C is ours: we end the nodes in order */
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600), null = open("/dev/null", O_RDONLY);
    if (fd < 0 || null < 0 || dup2(null, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
        _exit(127);
    execl(c->program, "flotilla", command, "--config", config, (char *)NULL);
    _exit(127);
}

static void show_log(struct cli *cli, const struct cluster *c, unsigned i)
{
    char path[300], text[LOG_SHOWN + 1];
    snprintf(path, sizeof path, "%s/%u.out", c->dir, i + 1);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return;
    size_t n = fread(text, 1, LOG_SHOWN, f);
    text[n] = 0;
    fprintf(cli->err, "%s", text);
    fclose(f);
}

int cluster_make(struct cli *cli, struct cluster *c, unsigned count, const char *dir)
{
    unsigned ports[2 * CLUSTER_NODES_MAX];
    const char *tmp = getenv("TMPDIR");
    *c = (struct cluster){ .count = count };
    ssize_t len = readlink("/proc/self/exe", c->program, sizeof c->program - 1);
    if (len <= 0)
        return cli_fail(cli, CLI_FAILED, "could not find this program: %s", strerror(errno));
    if (dir != NULL)
        snprintf(c->dir, sizeof c->dir, "%s", dir);
    else
        snprintf(c->dir, sizeof c->dir, "%s/flotilla-demo-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (dir != NULL ? mkdir(c->dir, 0700) != 0 : mkdtemp(c->dir) == NULL)
        return cli_fail(cli, CLI_FAILED, "could not make %s: %s", c->dir, strerror(errno));
    if (!find_ports(ports, 2 * count))
        return cli_fail(cli, CLI_FAILED, "no free ports on 127.0.0.1: %s", strerror(errno));
    for (unsigned i = 0; i < count; i++) {
        c->nodes[i].port = ports[2 * i];
        c->nodes[i].http_port = ports[2 * i + 1];
    }
    for (unsigned i = 0; i < count; i++) {
        int status = 0, code = write_config(cli, c, i);
        if (code != CLI_OK)
            return code;
        pid_t pid = run(c, i, "init");
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
            show_log(cli, c, i);
            return cli_fail(cli, CLI_FAILED, "could not make the data directory of store %u",
                            i + 1);
        }
    }
    return CLI_OK;
}

/* ---- Running ------------------------------------------------------------------------------ */

struct flotilla *cluster_connect(const struct cluster *c, unsigned i)
{
    char endpoint[64];
    struct flotilla *db;
    snprintf(endpoint, sizeof endpoint, "127.0.0.1:%u", c->nodes[i].port);
    struct flotilla_options options = {
        .size = sizeof options, .endpoint = endpoint, .timeout_ms = 2000, .connect_ms = 1000
    };
    return flotilla_open(&options, &db, NULL) == FLOTILLA_OK ? db : NULL;
}

int cluster_start(struct cli *cli, struct cluster *c, unsigned i)
{
    struct cluster_node *node = &c->nodes[i];
    node->pid = run(c, i, "start");
    if (node->pid < 0) {
        node->pid = 0;
        return cli_fail(cli, CLI_FAILED, "could not start a process: %s", strerror(errno));
    }
    for (unsigned waited = 0; waited < READY_MS; waited += 20) {
        struct flotilla *db = cluster_connect(c, i);
        if (db != NULL) {
            flotilla_close(db);
            return CLI_OK;
        }
        if (waitpid(node->pid, NULL, WNOHANG) == node->pid) {
            node->pid = 0;
            break;
        }
        sleep_ms(20);
    }
    show_log(cli, c, i);
    return cli_fail(cli, CLI_FAILED, "store %u did not start; its log is %s/%u.log", i + 1, c->dir,
                    i + 1);
}

void cluster_end(struct cluster *c, unsigned i, int signum)
{
    struct cluster_node *node = &c->nodes[i];
    if (node->pid == 0)
        return;
    kill(node->pid, signum);
    for (unsigned waited = 0; waitpid(node->pid, NULL, WNOHANG) == 0; waited += 10) {
        if (waited == 10000)
            kill(node->pid, SIGKILL); /* it had its time */
        sleep_ms(10);
    }
    node->pid = 0;
}

void cluster_endpoints(const struct cluster *c, char *out, size_t size)
{
    size_t at = 0;
    out[0] = 0;
    for (unsigned i = 0; i < c->count && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s127.0.0.1:%u", i > 0 ? "," : "",
                               c->nodes[i].port);
}

bool cluster_status(const struct cluster *c, unsigned i, const char *name, double *ret)
{
    struct flotilla *db = c->nodes[i].pid != 0 ? cluster_connect(c, i) : NULL;
    struct value *answer = NULL;
    struct err e = { 0 };
    char *text = NULL;
    bool found = false;
    if (db != NULL && flotilla_admin(db, "status", NULL, &text, NULL) == FLOTILLA_OK &&
        value_from_json(BYTES(text), &answer, &e) == ERR_OK) {
        *ret = value_get_number(answer, name, -1);
        found = *ret >= 0;
    }
    value_free(answer);
    flotilla_free(text);
    flotilla_close(db);
    return found;
}

int cluster_leader(const struct cluster *c, unsigned ms)
{
    for (unsigned waited = 0; waited <= ms; waited += 50) {
        double leads;
        for (unsigned i = 0; i < c->count; i++)
            if (cluster_status(c, i, "leads", &leads) && leads > 0)
                return (int)i;
        sleep_ms(50);
    }
    return -1;
}

/* ---- The end ------------------------------------------------------------------------------ */

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *at)
{
    (void)s, (void)kind, (void)at;
    return remove(path);
}

void cluster_finish(struct cluster *c, bool keep)
{
    for (unsigned i = 0; i < c->count; i++)
        cluster_end(c, i, SIGTERM);
    if (!keep && c->dir[0] != 0)
        nftw(c->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
