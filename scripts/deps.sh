#!/usr/bin/env bash
# Installs the Debian packages that Flotilla needs, and says which. Nothing else is ever downloaded.
#
#   scripts/deps.sh [build|test|bench]...      default: build test
#
# Run as root, or by somebody who may sudo. Does nothing, and needs no network, when all are there.
set -euo pipefail

build=(
    gcc libc6-dev make cmake ninja-build pkg-config
    libluajit-5.1-dev librocksdb-dev libuv1-dev libprotobuf-c-dev protobuf-c-compiler libsodium-dev
    libmicrohttpd-dev libjansson-dev libedit-dev libxxhash-dev liblz4-dev libzstd-dev libcmocka-dev
)
# Tests: two compilers, the linters, the specs, and what the tests of whole processes call.
test=(
    expect
    clang clang-format clang-tidy libclang-rt-14-dev luajit lua-busted lua-check lua-filesystem
    git curl strace e2fsprogs mount util-linux procps
)
bench=(redis-server redis-tools etcd-server golang-go golang-etcd-server-dev)

groups=("$@")
[ ${#groups[@]} -gt 0 ] || groups=(build test)
wanted=()
for group in "${groups[@]}"; do
    case $group in
    build) wanted+=("${build[@]}") ;;
    test) wanted+=("${test[@]}") ;;
    bench) wanted+=("${bench[@]}") ;;
    *)
        echo "deps: there is no group \"$group\" (build, test, bench)" >&2
        exit 2
        ;;
    esac
done

missing=()
for package in "${wanted[@]}"; do
    state=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true)
    [ "${state:0:2}" = ii ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
    echo "deps: all ${#wanted[@]} packages are installed"
    exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        echo "deps: these packages are missing, and there is no sudo: run as root" >&2
        echo "      apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 1
    }
    as_root=(sudo)
fi
echo "deps: installing ${missing[*]}"

# Peers are measured by our own benchmarks alone: their daemons must not start when they are installed.
policy=/usr/sbin/policy-rc.d
made_policy=no
log=$(mktemp)
leave() {
    [ $made_policy = no ] || "${as_root[@]}" rm -f $policy
    rm -f "$log"
}
trap leave EXIT
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
    made_policy=yes
    "${as_root[@]}" chmod 755 $policy
fi

# The lists of a fresh machine are old or absent: refresh them, then install.
apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
"${as_root[@]}" "${apt[@]}" update >"$log" 2>&1 || true
if ! "${as_root[@]}" "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
    tail -20 "$log" >&2
    echo "deps: apt-get could not install them; its last lines are above" >&2
    exit 1
fi
echo "deps: done"
