/* From a member back to the struct that holds it: how intrusive lists, heaps, timers and jobs
 * find their owner. */
#pragma once

#include <stddef.h>

#define container_of(member_ptr, type, member)                                                     \
    ((type *)(void *)((char *)(member_ptr)-offsetof(type, member)))
