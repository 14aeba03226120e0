# Completion of sidelog for bash 4.4 and later; `sidelog completion bash` prints this file.
_sidelog_completion() {
    local kind value help
    COMPREPLY=()
    while IFS=$'\t' read -r kind value help; do
        case $kind in
            file) compopt -o default ;;
            dir) compopt -o dirnames ;;
            open) compopt -o nospace && COMPREPLY+=("$value") ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_WORDS="${COMP_LINE:0:COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" \
        _SIDELOG_COMPLETE=bash "$1" 2>/dev/null </dev/null)
}
complete -o nosort -F _sidelog_completion sidelog
