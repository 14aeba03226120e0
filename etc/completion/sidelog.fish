# Completion of sidelog for fish; `sidelog completion fish` prints this file.
function __sidelog_completion
    set -l program (commandline --tokenize --cut-at-cursor --current-process)[1]
    set -l line (commandline --cut-at-cursor --current-process | string collect)
    for answer in (env COMP_WORDS="$line" _SIDELOG_COMPLETE=fish $program 2>/dev/null </dev/null)
        set -l parts (string split \t -- $answer)
        switch $parts[1]
            case file
                __fish_complete_path (commandline --current-token)
            case dir
                __fish_complete_directories (commandline --current-token)
            case open plain
                printf '%s\t%s\n' $parts[2] "$parts[3]"
        end
    end
end
complete --command sidelog --no-files --arguments '(__sidelog_completion)'
