# bash completion for flotilla. The words come from the program itself, so that they are never out of date.
_flotilla() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    case $prev in
    --config | -c) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    *)
        mapfile -t COMPREPLY < <("$1" help --complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
        [ ${#COMPREPLY[@]} -gt 0 ] || mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        ;;
    esac
}
complete -F _flotilla flotilla
