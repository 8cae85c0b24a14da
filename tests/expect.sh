# What the tests of the program share: run a command, look at its exit code and what it said. Source it after lib.sh.
#
#   run CODE COMMAND...      runs it; fails the test if the exit code is another; sets $out and $err
#   says TEXT / errs TEXT    $out / $err contains TEXT
#   is TEXT                  $out is exactly TEXT
#   case_of WHAT             names what the following lines are about
failures=0 checks=0 about=''
tmp=$(mktemp -d "${TMPDIR:-/tmp}/flotilla-cli-XXXXXX")

case_of() { about=$1; }

failed() {
    failures=$((failures + 1))
    printf 'FAILED  %s: %s\n' "$about" "$1"
}

run() {
    local want=$1 have
    shift
    command="$*"
    "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
    have=$?
    out=$(tr -d '\0' <"$tmp/out") err=$(cat "$tmp/err")
    checks=$((checks + 1))
    [ "$have" = "$want" ] || failed "\"$command\" exits with $have, not $want: $out $err"
}

says() {
    checks=$((checks + 1))
    case $out in *"$1"*) ;; *) failed "\"$command\" says \"$out\", without \"$1\"" ;; esac
}

errs() {
    checks=$((checks + 1))
    case $err in *"$1"*) ;; *) failed "\"$command\" complains \"$err\", without \"$1\"" ;; esac
}

is() {
    checks=$((checks + 1))
    [ "$out" = "$1" ] || failed "\"$command\" says \"$out\", not \"$1\""
}

finish() {
    echo "$(basename "$0"): $checks checks, $failures failed"
    [ $failures -eq 0 ]
}
