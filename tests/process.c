#include "process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "node/main.h"

#define DIE(...)                                                                                   \
    do {                                                                                           \
        fprintf(stderr, __VA_ARGS__);                                                              \
        fprintf(stderr, "\n");                                                                     \
        exit(1);                                                                                   \
    } while (0)

uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void sleep_ms(uint64_t ms)
{
    struct timespec t = { (time_t)(ms / 1000), (long)(ms % 1000 * 1000000) };
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        continue;
}

bool process_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#else
    return false;
#endif
}

/* ---- The child ---------------------------------------------------------------------------- */

static void raise_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void set_option(struct node_config *c, const char *word)
{
    unsigned long long n = 0;
    const char *equals = strchr(word, '=');
    if (equals != NULL)
        n = strtoull(equals + 1, NULL, 10);
    if (strncmp(word, "limits.connections_max=", 23) == 0)
        c->limits.connections_max = (uint32_t)n;
    else if (strncmp(word, "policy.interval_ms=", 19) == 0)
        c->policy.interval_ms = (uint32_t)n;
    else if (strncmp(word, "address=", 8) == 0)
        snprintf(c->address, sizeof c->address, "%s", word + 8);
    else if (strcmp(word, "http=on") == 0)
        snprintf(c->http.address, sizeof c->http.address, "127.0.0.1:0");
    else
        DIE("unknown option %s", word);
}

bool process_serve(int argc, char **argv, int *code)
{
    raise_files();
    if (argc < 3 || (strcmp(argv[1], "serve") != 0 && strcmp(argv[1], "init") != 0))
        return false;
    struct node_config c;
    node_config_defaults(&c);
    snprintf(c.data_dir, sizeof c.data_dir, "%s", argv[2]);
    snprintf(c.address, sizeof c.address, "127.0.0.1:0");
    c.http.address[0] = 0;
    snprintf(c.log.level, sizeof c.log.level, "warn");
    c.storage.segment_bytes = 4 << 20; /* so that rounds roll over and free segments */
    c.storage.ballast_bytes = 1 << 20;
    for (int i = 3; i < argc; i++)
        set_option(&c, argv[i]);
    *code = strcmp(argv[1], "init") == 0 ? node_init_main(&c, stdout) : node_main(&c, stdout);
    return true;
}

/* ---- The parent --------------------------------------------------------------------------- */

static pid_t spawn(const char *verb, const char *dir, const char *const *options, int *out)
{
    char self[512];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len < 0)
        DIE("no /proc/self/exe");
    self[len] = 0;
    const char *argv[32] = { self, verb, dir };
    size_t n = 3;
    for (; options != NULL && options[n - 3] != NULL && n < 31; n++)
        argv[n] = options[n - 3];
    int ends[2];
    if (pipe(ends) != 0)
        DIE("pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        char *copy[32];
        memcpy(copy, argv, sizeof copy);
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execv(self, copy);
        _exit(127);
    }
    close(ends[1]);
    if (pid < 0)
        DIE("fork: %s", strerror(errno));
    *out = ends[0];
    return pid;
}

int process_wait(struct process *p, uint64_t ms)
{
    int status;
    uint64_t until = ms == UINT64_MAX ? UINT64_MAX : now_ms() + ms;
    for (;;) {
        pid_t got = waitpid(p->pid, &status, ms == UINT64_MAX ? 0 : WNOHANG);
        if (got == p->pid) {
            p->pid = 0;
            return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
        }
        if (got < 0 && errno != EINTR)
            DIE("waitpid: %s", strerror(errno));
        if (now_ms() >= until)
            return -1;
        if (got == 0)
            sleep_ms(5);
    }
}

int process_end(struct process *p, int signum)
{
    if (p->pid == 0)
        DIE("the node is not running");
    kill(p->pid, signum);
    return process_wait(p, UINT64_MAX);
}

void process_init(const char *dir)
{
    int out;
    struct process p = { .pid = spawn("init", dir, NULL, &out) };
    int code = process_wait(&p, UINT64_MAX);
    close(out);
    if (code != 0)
        DIE("init ended with %d", code);
}

void process_start(struct process *p, const char *dir, const char *const *options)
{
    char line[512];
    int out;
    *p = (struct process){ .pid = spawn("serve", dir, options, &out) };
    FILE *f = fdopen(out, "r");
    if (f == NULL || fgets(line, sizeof line, f) == NULL)
        DIE("the node did not get ready: exit code %d", process_wait(p, UINT64_MAX));
    fclose(f);
    char *http = strstr(line, "http on ");
    if (sscanf(line, "ready: listening on %63[^,], console at %255[^,]", p->endpoint, p->console) <
        1)
        DIE("not a readiness line: %s", line);
    if (http != NULL)
        sscanf(http, "http on %63s", p->http);
}

uint64_t process_memory(const struct process *p)
{
    char path[64];
    unsigned long size = 0, resident = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)p->pid);
    FILE *f = fopen(path, "r");
    if (f == NULL || fscanf(f, "%lu %lu", &size, &resident) != 2)
        resident = 0;
    if (f != NULL)
        fclose(f);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}
