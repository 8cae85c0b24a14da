#include "raft/raft.h"
typedef int raft_placeholder;
