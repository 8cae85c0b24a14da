/* Faults and effects: what can go wrong at an operation, and how often it did. */
#include "disk_int.h"

#include <stdlib.h>

static const char *const names[SIM_FAULT_COUNT] = {
    [SIM_FAULT_WRITE] = "write", [SIM_FAULT_FULL] = "full",   [SIM_FAULT_SYNC] = "sync",
    [SIM_FAULT_LIE] = "lie",     [SIM_FAULT_NAME] = "name",   [SIM_FAULT_READ] = "read",
    [SIM_FAULT_FLIP] = "flip",   [SIM_FAULT_STALL] = "stall",
};

const char *sim_fault_name(enum sim_fault fault)
{
    return names[fault];
}

void sim_disk_fault(struct sim_disk *disk, enum sim_fault fault, const char *part, uint64_t nth)
{
    struct disk_plan *plan = disk_alloc(sizeof *plan);
    plan->fault = fault;
    plan->nth = nth;
    if (part != NULL && (plan->part = strdup(part)) == NULL)
        abort();
    list_push_back(&disk->plans, &plan->link);
}

void sim_disk_chance(struct sim_disk *disk, enum sim_fault fault, uint32_t per_million)
{
    disk->per_million[fault] = per_million;
}

uint64_t sim_disk_fault_count(const struct sim_disk *disk, enum sim_fault fault)
{
    return disk->count[fault];
}

uint64_t sim_disk_crash_count(const struct sim_disk *disk, enum sim_crash how)
{
    return disk->crashes[how];
}

void sim_disk_report(const struct sim_disk *disk, FILE *to)
{
    static const char *const crashes[SIM_CRASH_COUNT] = {
        [SIM_CRASH_KILL] = "kill",
        [SIM_CRASH_KEEP] = "power-keep",
        [SIM_CRASH_LOSE] = "power-lose",
        [SIM_CRASH_PREFIX] = "power-prefix",
        [SIM_CRASH_SECTORS] = "power-sectors",
    };
    fprintf(to, "effects=%llu", (unsigned long long)disk->effects);
    for (size_t i = 0; i < SIM_FAULT_COUNT; i++)
        if (disk->count[i] > 0)
            fprintf(to, " fault-%s=%llu", names[i], (unsigned long long)disk->count[i]);
    for (size_t i = 0; i < SIM_CRASH_COUNT; i++)
        if (disk->crashes[i] > 0)
            fprintf(to, " %s=%llu", crashes[i], (unsigned long long)disk->crashes[i]);
    fprintf(to, "\n");
}

void sim_disk_capacity(struct sim_disk *disk, uint64_t bytes)
{
    disk->capacity = bytes == 0 ? (uint64_t)1 << 40 : bytes;
}

void sim_disk_stall_ns(struct sim_disk *disk, uint64_t ns)
{
    disk->stall_ns = ns;
}

uint64_t sim_disk_effects(const struct sim_disk *disk)
{
    return disk->effects;
}

void sim_disk_stop_at(struct sim_disk *disk, uint64_t n)
{
    disk->stop_at = n;
}

bool sim_disk_stopped(const struct sim_disk *disk)
{
    return disk->stopped;
}

bool disk_hit(struct sim_disk *disk, enum sim_fault fault, const char *path)
{
    bool hit = false;
    list_for_each_safe(at, &disk->plans) {
        struct disk_plan *plan = container_of(at, struct disk_plan, link);
        if (plan->fault != fault || (plan->part != NULL && strstr(path, plan->part) == NULL))
            continue;
        if (--plan->nth == 0) {
            hit = true;
            list_remove(at);
            free(plan->part);
            free(plan);
        }
    }
    if (!hit && disk->per_million[fault] != 0)
        hit = prng_chance(&disk->chance, disk->per_million[fault], 1000000);
    if (hit) {
        disk->count[fault]++;
        if (disk->host.note != NULL)
            disk->host.note(disk->host.user, "fault", (uint64_t)fault, disk->effects, 0);
    }
    return hit;
}

err_t disk_alive(struct sim_disk *disk, const char *path, struct err *e)
{
    if (disk->stopped)
        return err_set(e, ERR_IO, "\"%s\": the simulated machine has stopped", path);
    return ERR_OK;
}

err_t disk_effect(struct sim_disk *disk, const char *what, const char *path, uint64_t id,
                  uint64_t a, uint64_t b, struct err *e)
{
    if (!disk->stopped && disk->stop_at != 0 && disk->effects + 1 >= disk->stop_at) {
        disk->stopped = true;
        if (disk->host.note != NULL)
            disk->host.note(disk->host.user, "stop", id, disk->effects, 0);
    }
    err_t rc = disk_alive(disk, path, e);
    if (rc != ERR_OK)
        return rc;
    disk->effects++;
    if (disk->host.note != NULL)
        disk->host.note(disk->host.user, what, id, a, b);
    return ERR_OK;
}

void disk_spend(struct sim_disk *disk, const char *path, uint64_t least_ns)
{
    uint64_t ns = prng_range(&disk->chance, least_ns, 4 * least_ns);
    if (disk_hit(disk, SIM_FAULT_STALL, path))
        ns += disk->stall_ns;
    if (disk->host.spent != NULL)
        disk->host.spent(disk->host.user, ns);
}
