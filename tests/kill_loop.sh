#!/usr/bin/env bash
# kill_loop.sh [ROUNDS [WRITERS [SEED]]]: kill -9 under concurrent writers, on the release build (make test-deep). The
# program and what it checks: kill_loop.c.
set -euo pipefail
program=${KILL_LOOP:-$(cd "$(dirname "$0")/.." && pwd)/build/release/bin/kill_loop}
[ -x "$program" ] || {
    echo "kill_loop.sh: there is no $program: run make build first (or set KILL_LOOP)" >&2
    exit 1
}
exec "$program" "$@"
