#!/usr/bin/env bash
# The shared library shows flotilla_* and nothing else, has its SONAME, and needs the C library alone.
#
#   client/symbols_test.sh PATH/libflotilla.so
set -euo pipefail
library=${1:?usage: client/symbols_test.sh LIBRARY}
fail() { echo "symbols: $*" >&2; exit 1; }

shown=$(nm -D --defined-only "$library" | awk '{ print $NF }' | sed 's/@.*//')
grep -qx flotilla_open <<<"$shown" || fail "flotilla_open is missing"
strays=$(grep -vE '^flotilla_' <<<"$shown" || true)
[ -z "$strays" ] || fail "these should be hidden: $strays"

here=$(cd "$(dirname "$0")" && pwd)
for name in $(sed "/^typedef/d" "$here/include/flotilla/client.h" | grep -oE "\bflotilla_[a-z_]+\(" | tr -d "(" | sort -u); do
    case $name in flotilla_bytes) continue ;; esac # inline
    grep -qx "$name" <<<"$shown" || fail "client.h declares $name, the library lacks it"
done

readelf -d "$library" | grep -q 'SONAME.*\[libflotilla\.so\.0\]' || fail "the SONAME is not libflotilla.so.0"
needed=$(readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -vE '^(libc|libasan|libubsan|libtsan|libgcc_s|libm|ld-linux.*)\.so' || true)
[ -z "$needed" ] || fail "it needs more than the C library: $needed"
echo "symbols: $(wc -l <<<"$shown") names, all flotilla_*"
