/* Runs in processes of their own, their sums, and shrinking (seeds.h). */
#include "sim_cluster/seeds.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    JOBS_MAX = 64,
    WALL_SECONDS_MAX = 900, /* of one run: it hangs, and that is a failure too */
    SHRINK_RUNS_MAX = 60,
    FAILURES_MOST = 10,
};

/* ---- One run in a process ----------------------------------------------------------------------------------- */

struct child {
    pid_t pid;
    int from;
    struct run_plan plan;
};

static uint64_t wall_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool write_all(int to, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t n = write(to, at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static bool read_all(int from, void *data, size_t len)
{
    char *at = data;
    while (len > 0) {
        ssize_t n = read(from, at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static void child_run(const struct run_plan *plan, const struct run_output *output, int to)
{
    struct run_result ret;
    uint64_t began = wall_ns();
    alarm(WALL_SECONDS_MAX);
    if (output->trace != NULL)
        setvbuf(output->trace, NULL, _IOLBF, 1 << 16); /* an assertion leaves no time to flush */
    run_one(plan, output, &ret);
    ret.wall_ns = wall_ns() - began;
    fflush(NULL);
    _exit(write_all(to, &ret, sizeof ret) ? 0 : 1);
}

static struct child child_start(const struct run_plan *plan, const struct run_output *output)
{
    int ends[2];
    struct child c = { .plan = *plan };
    fflush(NULL); /* or the child would print it once more */
    if (pipe(ends) != 0 || (c.pid = fork()) < 0) {
        perror("could not start a run");
        abort();
    }
    if (c.pid == 0) {
        close(ends[0]);
        child_run(plan, output, ends[1]);
    }
    close(ends[1]);
    c.from = ends[0];
    return c;
}

static void child_end(struct child *c, struct run_result *ret)
{
    int status = 0;
    bool whole = read_all(c->from, ret, sizeof *ret);
    close(c->from);
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (whole)
        return;
    memset(ret, 0, sizeof *ret);
    ret->verdict = RUN_FAILED;
    ret->ended_s = c->plan.seconds;
    int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (number == SIGALRM)
        snprintf(ret->why, sizeof ret->why, "the run did not end within %d s of real time",
                 WALL_SECONDS_MAX);
    else
        snprintf(ret->why, sizeof ret->why,
                 "the code under test ended the process (%s %d): the reason is above",
                 number != 0 ? "signal" : "exit code", number != 0 ? number : WEXITSTATUS(status));
}

static void run_in_child(const struct run_plan *plan, struct run_result *ret)
{
    static const struct run_output none = { .log = LOGGER_ERROR };
    struct child c = child_start(plan, &none);
    child_end(&c, ret);
}

/* ---- Words -------------------------------------------------------------------------------------------------- */

static bool fault_named(const char *name, size_t len, unsigned *ret)
{
    for (unsigned i = 0; i < NEMESIS_KINDS; i++)
        if (strlen(nemesis_name(i)) == len && memcmp(nemesis_name(i), name, len) == 0) {
            *ret = i;
            return true;
        }
    return false;
}

bool seeds_parse_faults(const char *list, uint32_t *ret, char bad[32])
{
    uint32_t set = list[0] == '-' ? NEMESIS_ALL : 0;
    for (const char *at = list; *at != '\0';) {
        size_t len = strcspn(at, ",");
        bool off = at[0] == '-';
        unsigned kind;
        if (len == 3 && memcmp(at, "all", 3) == 0) {
            set = NEMESIS_ALL;
        } else if (len == 4 && memcmp(at, "none", 4) == 0) {
            set = 0;
        } else if (fault_named(at + off, len - off, &kind)) {
            set = off ? set & ~(UINT32_C(1) << kind) : set | UINT32_C(1) << kind;
        } else {
            snprintf(bad, 32, "%.*s", (int)len, at);
            return false;
        }
        at += len + (at[len] == ',');
    }
    *ret = set;
    return true;
}

bool seeds_parse_skip(const char *list, struct nemesis_plan *ret)
{
    for (const char *at = list; *at != '\0';) {
        char *end;
        if (*at < '0' || *at > '9')
            return false;
        unsigned long from = strtoul(at, &end, 10), to = from;
        if (*end == '-' && end[1] >= '0' && end[1] <= '9')
            to = strtoul(end + 1, &end, 10);
        if ((*end != ',' && *end != '\0') || to >= NEMESIS_ATTACKS_MAX || from > to)
            return false;
        for (unsigned long i = from; i <= to; i++)
            ret->skipped[i / 64] |= UINT64_C(1) << i % 64;
        at = end + (*end == ',');
    }
    return true;
}

static bool is_skipped(const struct nemesis_plan *p, unsigned i)
{
    return p->skipped[i / 64] >> i % 64 & 1;
}

static void print_skipped(const struct nemesis_plan *p, FILE *out)
{
    const char *before = " --skip ";
    for (unsigned i = 0; i < NEMESIS_ATTACKS_MAX; i++) {
        unsigned to = i;
        if (!is_skipped(p, i))
            continue;
        while (to + 1 < NEMESIS_ATTACKS_MAX && is_skipped(p, to + 1))
            to++;
        fprintf(out, to > i ? "%s%u-%u" : "%s%u", before, i, to);
        before = ",";
        i = to;
    }
}

static void print_allowed(uint32_t allowed, FILE *out)
{
    const char *before = " --faults ";
    if (allowed == NEMESIS_ALL)
        return;
    if (allowed == 0)
        fprintf(out, "%snone", before);
    if ((allowed & NEMESIS_ALL) == NEMESIS_ALL) {
        fprintf(out, "%sall", before);
        allowed &= ~NEMESIS_ALL;
        before = ",";
    }
    for (unsigned i = 0; i < NEMESIS_KINDS; i++)
        if (allowed >> i & 1) {
            fprintf(out, "%s%s", before, nemesis_name(i));
            before = ",";
        }
}

/* The line that repeats a run. */
static void print_command(const struct run_plan *p, FILE *out)
{
    fprintf(out, "flotilla sim --seed %" PRIu64, p->seed);
    if (p->nodes != RUN_NODES_DEFAULT)
        fprintf(out, " --nodes %u", p->nodes);
    if (p->seconds % 60 == 0 && p->seconds != RUN_SECONDS_DEFAULT)
        fprintf(out, " --minutes %" PRIu64, p->seconds / 60);
    else if (p->seconds % 60 != 0)
        fprintf(out, " --seconds %" PRIu64, p->seconds);
    print_allowed(p->faults.allowed, out);
    print_skipped(&p->faults, out);
}

/* ---- Results ------------------------------------------------------------------------------------------------ */

static void print_faults(const uint64_t faults[NEMESIS_KINDS], FILE *out)
{
    fprintf(out, "  faults ");
    for (unsigned i = 0; i < NEMESIS_KINDS; i++)
        if (faults[i] > 0)
            fprintf(out, " %s %" PRIu64, nemesis_name(i), faults[i]);
    fputc('\n', out);
}

static void print_ops(const struct workload_counts *c, FILE *out)
{
    fprintf(out,
            "  ops      acknowledged %" PRIu64 " undetermined %" PRIu64 " refused %" PRIu64
            " retries %" PRIu64 " hints %" PRIu64 " drops %" PRIu64 " conflicts %" PRIu64 ";",
            c->acknowledged, c->undetermined, c->refused, c->retries, c->hints, c->drops,
            c->conflicts);
    for (unsigned i = 0; i < SIM_CLIENT_KINDS; i++)
        fprintf(out, " %s %" PRIu64, sim_client_kind_name((enum sim_client_kind)i), c->kinds[i]);
    fputc('\n', out);
}

static void print_nodes(const struct sim_cluster_counts *c, FILE *out)
{
    fprintf(out,
            "  nodes    boots %" PRIu64 " crashes %" PRIu64 " ended %" PRIu64 " failed %" PRIu64
            " starts-refused %" PRIu64 "\n",
            c->boots, c->crashes, c->exits_clean, c->exits_failed, c->refused_starts);
}

static const char *verdict_name(enum run_verdict v)
{
    return v == RUN_PASSED ? "passed" : v == RUN_FAILED ? "FAILED" : "VOID";
}

static uint64_t speed(const struct run_result *r)
{
    return r->wall_ns == 0 ? 0 : r->virtual_ns / r->wall_ns;
}

/* One line a run, one block if it is the only one. */
static void print_result(const struct run_plan *p, const struct run_result *r, bool alone,
                         FILE *out)
{
    uint64_t s = r->virtual_ns / 1000000000u;
    fprintf(out,
            "seed %" PRIu64 "  virtual %" PRIu64 ":%02" PRIu64 " (%" PRIu64 "x)  events %" PRIu64
            "  acknowledged %" PRIu64 "  undetermined %" PRIu64 "  attacks %u  hash %016" PRIx64
            "  %s\n",
            p->seed, s / 60, s % 60, speed(r), r->events, r->ops.acknowledged, r->ops.undetermined,
            r->attacks, r->hash, verdict_name(r->verdict));
    if (alone) {
        print_ops(&r->ops, out);
        print_nodes(&r->nodes, out);
        print_faults(r->faults, out);
    }
    if (r->verdict != RUN_PASSED)
        fprintf(out, "%s: %s\n", verdict_name(r->verdict), r->why);
    fflush(out);
}

static void add(uint64_t *to, const uint64_t *from, size_t size)
{
    for (size_t i = 0; i < size / sizeof *to; i++)
        to[i] += from[i];
}

struct sum {
    struct run_result all; /* counts alone */
    uint64_t passed, failed, empty;
    uint32_t missing; /* kinds that were drawn and never hit */
};

static void sum_add(struct sum *s, const struct run_result *r)
{
    add((uint64_t *)&s->all.ops, (const uint64_t *)&r->ops, sizeof r->ops);
    add((uint64_t *)&s->all.nodes, (const uint64_t *)&r->nodes, sizeof r->nodes);
    add(s->all.faults, r->faults, sizeof r->faults);
    s->all.virtual_ns += r->virtual_ns;
    s->all.events += r->events;
    *(r->verdict == RUN_PASSED   ? &s->passed
      : r->verdict == RUN_FAILED ? &s->failed
                                 : &s->empty) += 1;
}

/* ---- Shrinking ---------------------------------------------------------------------------------------------- */

struct shrinker {
    struct run_plan plan; /* the smallest that fails so far */
    struct run_result result;
    unsigned runs;
};

static bool still_fails(struct shrinker *s, const struct run_plan *less)
{
    struct run_result r;
    if (s->runs++ >= SHRINK_RUNS_MAX)
        return false;
    run_in_child(less, &r);
    if (r.verdict != RUN_FAILED)
        return false;
    s->plan = *less;
    s->result = r;
    return true;
}

/* Cut where it failed; then by ever smaller steps, since what failed at the end may fail earlier too. */
static void shrink_time(struct shrinker *s)
{
    struct run_plan less = s->plan;
    less.seconds = s->result.ended_s + 1;
    if (less.seconds < s->plan.seconds)
        (void)still_fails(s, &less);
    for (uint64_t step = s->plan.seconds / 2; step > 0 && s->runs < SHRINK_RUNS_MAX / 2;
         step /= 2) {
        less = s->plan;
        less.seconds -= step;
        if (less.seconds > 0)
            (void)still_fails(s, &less);
    }
}

static void shrink_kinds(struct shrinker *s)
{
    s->plan.faults.allowed &= s->result.swarm != 0 ? s->result.swarm : NEMESIS_ALL;
    for (unsigned i = 0; i < NEMESIS_KINDS; i++) {
        struct run_plan less = s->plan;
        less.faults.allowed &= ~(UINT32_C(1) << i);
        if (less.faults.allowed != s->plan.faults.allowed)
            (void)still_fails(s, &less);
    }
}

/* Leaves out attacks by halves, quarters, ... */
static void shrink_attacks(struct shrinker *s)
{
    unsigned n = s->result.attacks < NEMESIS_ATTACKS_MAX ? s->result.attacks : NEMESIS_ATTACKS_MAX;
    for (unsigned size = (n + 1) / 2; size >= 1; size /= 2)
        for (unsigned from = 0; from < n; from += size) {
            struct run_plan less = s->plan;
            bool any = false;
            for (unsigned i = from; i < from + size && i < n; i++) {
                any |= !is_skipped(&less.faults, i);
                less.faults.skipped[i / 64] |= UINT64_C(1) << i % 64;
            }
            if (any)
                (void)still_fails(s, &less);
        }
}

static void fail(const struct seeds_plan *plan, const struct run_plan *failed,
                 const struct run_result *result, FILE *out)
{
    struct shrinker s = { .plan = *failed, .result = *result };
    fprintf(out, "  again: ");
    print_command(failed, out);
    fprintf(out, " --trace\n");
    fflush(out);
    if (!plan->shrink)
        return;
    shrink_time(&s);
    shrink_kinds(&s);
    shrink_time(&s);
    shrink_attacks(&s);
    fprintf(out, "  less:  ");
    print_command(&s.plan, out);
    fprintf(out, " --trace\n         %s\n", s.result.why);
    fflush(out);
}

/* ---- All of them -------------------------------------------------------------------------------------------- */

static void check_repeats(const struct seeds_plan *plan, const struct run_plan *p,
                          struct run_result *r)
{
    struct run_result again;
    if (plan->twice_every == 0 || (p->seed - plan->first.seed) % plan->twice_every != 0 ||
        r->verdict == RUN_FAILED)
        return;
    run_in_child(p, &again);
    if (again.hash == r->hash && again.verdict == r->verdict)
        return;
    r->verdict = RUN_FAILED;
    snprintf(r->why, sizeof r->why, "two runs have two hashes, %016" PRIx64 " and %016" PRIx64,
             r->hash, again.hash);
}

/* Kinds that some seed had and that never hit. */
static void print_missing(const struct sum *s, FILE *out)
{
    const char *before = "  never    ";
    for (unsigned i = 0; i < NEMESIS_KINDS; i++)
        if ((s->missing >> i & 1) && s->all.faults[i] == 0) {
            fprintf(out, "%s%s", before, nemesis_name(i));
            before = " ";
        }
    if (before[1] == '\0')
        fputc('\n', out);
}

static int conclude(const struct seeds_plan *plan, struct sum *s, FILE *out)
{
    if (plan->count > 1) {
        fprintf(out, "total: seeds %" PRIu64 ", virtual minutes %" PRIu64 ", events %" PRIu64 "\n",
                s->passed + s->failed + s->empty, s->all.virtual_ns / 60000000000u, s->all.events);
        print_ops(&s->all.ops, out);
        print_nodes(&s->all.nodes, out);
        print_faults(s->all.faults, out);
        print_missing(s, out);
        fprintf(out, "%" PRIu64 " passed, %" PRIu64 " failed, %" PRIu64 " void\n", s->passed,
                s->failed, s->empty);
    }
    return s->failed > 0 ? RUN_FAILED : s->empty > 0 ? RUN_VOID : RUN_PASSED;
}

int seeds_run(const struct seeds_plan *plan, FILE *out)
{
    struct child children[JOBS_MAX];
    unsigned jobs = plan->jobs < 1 ? 1 : plan->jobs > JOBS_MAX ? JOBS_MAX : plan->jobs;
    uint64_t started = 0, ended = 0;
    struct sum sum = { 0 };
    fprintf(out, "flotilla sim: %" PRIu64 " seeds from %" PRIu64 "; ", plan->count,
            plan->first.seed);
    print_command(&plan->first, out);
    fputc('\n', out);
    while (ended < plan->count && sum.failed < FAILURES_MOST) {
        for (; started < plan->count && started < ended + jobs; started++) {
            struct run_plan p = plan->first;
            p.seed += started;
            children[started % jobs] = child_start(&p, &plan->output);
        }
        struct child *c = &children[ended++ % jobs];
        struct run_result r;
        child_end(c, &r);
        check_repeats(plan, &c->plan, &r);
        print_result(&c->plan, &r, plan->count == 1, out);
        sum_add(&sum, &r);
        sum.missing |= r.swarm & plan->first.faults.allowed;
        if (r.verdict == RUN_FAILED)
            fail(plan, &c->plan, &r, out);
    }
    for (; ended < started; ended++) { /* those that nobody waits for any more */
        struct run_result r;
        kill(children[ended % jobs].pid, SIGKILL);
        child_end(&children[ended % jobs], &r);
    }
    return conclude(plan, &sum, out);
}
