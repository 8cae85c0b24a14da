#!/usr/bin/env bash
# The installed library works: installs into a temporary prefix, builds examples/c from there by pkg-config and by
# CMake, and runs every example against a node of the same build.
#
#   scripts/check-install.sh [BUILD_DIR]     default: build/release; exits 77 (skipped) if it has no node
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/release}
work=$(mktemp -d "${TMPDIR:-/tmp}/flotilla-install-XXXXXX")
node=
finish() {
    if [ -n "$node" ]; then
        kill "$node" 2>/dev/null || true
        wait "$node" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap finish EXIT
say() { echo "check-install: $*"; }
fail() {
    say "$*" >&2
    [ ! -f "$work/node.log" ] || tail -20 "$work/node.log" >&2
    exit 1
}

cmake --install "$build" --prefix "$work/usr" >"$work/install.log" || fail "cmake --install failed: $(tail -3 "$work/install.log")"
pc=$(find "$work/usr" -name flotilla.pc)
[ -n "$pc" ] || fail "flotilla.pc was not installed"
export PKG_CONFIG_PATH=${pc%/*}
library=$(pkg-config --variable=libdir flotilla)
export LD_LIBRARY_PATH=$library
unset FLOTILLA_LIBRARY LUA_PATH

mkdir "$work/pc"
for example in quickstart counter bulk_load; do
    # shellcheck disable=SC2046
    cc -std=c11 -Wall -Wextra -Werror -D_GNU_SOURCE "examples/c/$example.c" $(pkg-config --cflags --libs flotilla) \
        -o "$work/pc/$example" || fail "$example.c does not build with pkg-config"
done
# shellcheck disable=SC2046
cc -std=c11 -Wall -Wextra -Werror -D_GNU_SOURCE examples/c/event_loop.c $(pkg-config --cflags --libs flotilla-uv) \
    -o "$work/pc/event_loop" || fail "event_loop.c does not build with pkg-config"
cmake -S examples/c -B "$work/cmake" -DCMAKE_PREFIX_PATH="$work/usr" >"$work/cmake.log" &&
    cmake --build "$work/cmake" >>"$work/cmake.log" || fail "the examples do not build with CMake: $(tail -5 "$work/cmake.log")"
say "built by pkg-config and by CMake"

program=$work/usr/bin/flotilla
if [ ! -x "$program" ]; then
    say "SKIP: there is no installed node to run them against"
    exit 77
fi
cat >"$work/node.lua" <<LUA
return {
  data_dir = '$work/data',
  address = '127.0.0.1:0',
  http = { address = '' },
}
LUA
"$program" init --config "$work/node.lua" >"$work/node.log" 2>&1 || fail "flotilla init failed"
"$program" start --config "$work/node.lua" >>"$work/node.log" 2>&1 &
node=$!
endpoint=
for _ in $(seq 300); do
    endpoint=$(grep -oE '127\.0\.0\.1:[0-9]+' "$work/node.log" | head -1 || true)
    if [ -n "$endpoint" ] && "$work/pc/quickstart" "$endpoint" >"$work/out" 2>&1; then break; fi
    kill -0 "$node" 2>/dev/null || fail "the node has ended"
    sleep 0.1
done
grep -q 'bob is too late: ada has it' "$work/out" || fail "quickstart says: $(cat "$work/out")"
"$work/cmake/counter" "$endpoint" visits 50 >"$work/a" &
a=$!
"$work/pc/counter" "$endpoint" visits 50 >"$work/b" || fail "counter failed"
wait "$a" || fail "counter failed"
grep -qhE '^visits = 100 ' "$work/a" "$work/b" || fail "two counters of 50 say: $(cat "$work/a" "$work/b")"
"$work/cmake/bulk_load" "$endpoint" 5000 >"$work/out" || fail "bulk_load failed"
grep -q '^5000 rows' "$work/out" || fail "bulk_load says: $(cat "$work/out")"
for build in pc cmake; do
    "$work/$build/event_loop" "$endpoint" 500 >"$work/out" || fail "event_loop failed"
    grep -qx '500 writes, 0 failed' "$work/out" || fail "event_loop says: $(cat "$work/out")"
done
if command -v luajit >/dev/null; then
    export LUA_PATH="$work/usr/share/lua/5.1/?.lua;;"
    luajit examples/lua/quickstart.lua "$endpoint" >"$work/out" || fail "quickstart.lua failed"
    grep -q 'bob is too late: ada has it' "$work/out" || fail "quickstart.lua says: $(cat "$work/out")"
    luajit examples/lua/many.lua "$endpoint" 2000 >"$work/out" || fail "many.lua failed"
    grep -qx '2000 writes, 0 failed' "$work/out" || fail "many.lua says: $(cat "$work/out")"
    say "the Lua examples run against the installed node"
else
    say "SKIP: luajit is missing, so examples/lua were not run"
fi
say "quickstart, counter, bulk_load and event_loop run against the installed node"
