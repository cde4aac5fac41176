"""Completion scripts of shells. What each of them completes comes from the table; how it is asked for is here.

A script asks `pyrunc list -q` for the ids of containers, with the --root that is on the line.
"""

from __future__ import annotations

from pyrunc.cli.help import value_of
from pyrunc.cli.table import GLOBAL_FLAGS, HELP, Command, Flag, all_commands
from pyrunc.kernel.flags import SIGNALS

# Their ID is a new one: there is nothing to choose from.
_MAKERS = ("create", "run", "restore")

_BASH = """\
# Completion of pyrunc for bash, printed by `pyrunc completion bash`.

_pyrunc_flags() {
    case $1 in
%(flags)s
    esac
}

# What the flag $2 of the command $1 wants; nothing for a switch.
_pyrunc_value() {
    case "$1 $2" in
%(values)s
    esac
}

# What the command $1 takes after $2 other arguments.
_pyrunc_argument() {
    case "$1 $2" in
%(arguments)s
    esac
}

_pyrunc_reply() {
    mapfile -t COMPREPLY < <(compgen "$@" -- "$cur")
}

_pyrunc_complete() {
    case $1 in
    DIR) compopt -o filenames; _pyrunc_reply -d ;;
    FILE | SOCKET) compopt -o filenames; _pyrunc_reply -f ;;
    ID) _pyrunc_reply -W "$("${COMP_WORDS[0]/#\\~/$HOME}" "${root[@]}" list -q 2>/dev/null)" ;;
    *'|'*) _pyrunc_reply -W "${1//|/ }" ;;
    esac
}

_pyrunc() {
    local cur=${COMP_WORDS[COMP_CWORD]} command= pending= skip= given=0 word i
    local -a root=()
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $word == = ]]; then # readline makes three words of --flag=value
            [[ $pending ]] || skip=1
        elif [[ $skip ]]; then
            skip=
        elif [[ $pending ]]; then
            [[ $pending == --root ]] && root=(--root "$word")
            pending=
        elif [[ $word == -* ]]; then
            [[ $word == -[!-]?* ]] && word=-$word # long flags may have one dash
            [[ $(_pyrunc_value "$command" "$word") ]] && pending=$word
        elif [[ ! $command ]]; then
            command=$word
        else
            given=$((given + 1))
        fi
    done
    [[ $cur == = ]] && cur=
    if [[ $pending ]]; then
        _pyrunc_complete "$(_pyrunc_value "$command" "$pending")"
    elif [[ $cur == -* ]]; then
        _pyrunc_reply -W "$(_pyrunc_flags "$command")"
    else
        _pyrunc_complete "$(_pyrunc_argument "$command" "$given")"
    fi
}

complete -F _pyrunc pyrunc
"""

_ZSH = """\
#compdef pyrunc
# Completion of pyrunc for zsh, printed by `pyrunc completion zsh`.

_pyrunc_ids() {
    local -a ids
    ids=(${(f)"$($pyrunc $root list -q 2>/dev/null)"})
    compadd -a ids
}

_pyrunc() {
    local curcontext=$curcontext context state state_descr line pyrunc=${(Q)~words[1]}
    local -a commands root
    typeset -A opt_args
    commands=(
%(commands)s
    )
    _arguments -C \\
%(flags)s
        '1: :->command' \\
        '*:: :->arguments' && return
    [[ -n ${opt_args[--root]} ]] && root=(--root ${(Q)~opt_args[--root]})
    case $state in
    command) _describe command commands ;;
    arguments)
        case $words[1] in
%(cases)s
        esac ;;
    esac
}

if [[ $funcstack[1] == _pyrunc ]]; then
    _pyrunc "$@"
else
    compdef _pyrunc pyrunc
fi
"""

_FISH = """\
# Completion of pyrunc for fish, printed by `pyrunc completion fish`.

function __pyrunc_valued
    switch "$argv[1]"
%(valued)s
    end
end

# The command on the line, and how many arguments it has; without one nothing and 0.
function __pyrunc_place
    set -l command
    set -l given 0
    set -l valued (__pyrunc_valued '')
    set -l skip no
    for word in (commandline -opc)[2..]
        if test $skip = yes
            set skip no
        else if contains -- (string replace -r '^-([^-].)' -- '--$1' $word) $valued
            set skip yes
        else if string match -q -- '-*' $word
            continue
        else if test -z "$command"
            set command $word
            set valued (__pyrunc_valued $command)
        else
            set given (math $given + 1)
        end
    end
    echo "$command $given"
end

function __pyrunc_in
    string match -q -- "$argv[1] *" (__pyrunc_place)
end

function __pyrunc_at
    test "$argv[1] $argv[2]" = (__pyrunc_place)
end

function __pyrunc_ids
    set -l words (commandline -opc)
    set -l root
    for at in (seq 2 (count $words))
        switch $words[$at]
            case --root -root
                set root --root $words[(math $at + 1)]
            case '--root=*' '-root=*'
                set root --root (string replace -r '^--?root=' '' -- $words[$at])
        end
    end
    $words[1] $root list -q 2>/dev/null
end

complete -c pyrunc -f
%(completions)s
"""


def bash() -> str:
    """Return the script for bash(1), "Programmable Completion"."""
    flags, values, arguments = [], [], []
    for name, command in _places().items():
        flags.append(f"    '{name}') echo '{' '.join(word for flag in command.flags for word in _words(flag))}' ;;")
        for flag in command.flags:
            patterns = " | ".join(f"'{name} {word}'" for word in _words(flag))
            values += [f"    {patterns}) echo '{value_of(flag)}' ;;"] if value_of(flag) else []
        for at, argument in enumerate(_arguments(name, command)):
            arguments.append(f"    '{name} {at}') echo '{argument}' ;;")
    return _BASH % {"flags": "\n".join(flags), "values": "\n".join(values), "arguments": "\n".join(arguments)}


def zsh() -> str:
    """Return the script for zshcompsys(1)."""
    places = _places()
    commands = [f"        {_quoted(f'{name}:{command.summary}')}" for name, command in all_commands().items()]
    cases = [line for name, command in places.items() if name for line in _zsh_case(name, command)]
    flags = [f"        {spec} \\" for flag in places[""].flags for spec in _zsh_flag(flag)]
    return _ZSH % {"commands": "\n".join(commands), "flags": "\n".join(flags), "cases": "\n".join(cases)}


def _zsh_case(name: str, command: Command) -> list[str]:
    specs = [spec for flag in command.flags for spec in _zsh_flag(flag)]
    for at, argument in enumerate(_arguments(name, command), 1):
        # An argument without an action would keep flags from being completed in its place.
        if _zsh_action(argument).strip():
            specs.append(_quoted(f"{at}:{argument.partition('|')[0].lower()}:{_zsh_action(argument)}"))
    lines = [f"            {spec}" for spec in specs]
    return [f"        {name})", "            _arguments \\", " \\\n".join(lines), "            ;;"]


def _zsh_flag(flag: Flag) -> list[str]:
    """_arguments wants one description for each spelling, and to be told which exclude one another."""
    help_ = flag.help.replace("]", "\\]")
    value = value_of(flag)
    tail = f":{value.replace(':', ' ')}:{_zsh_action(value)}" if value else ""
    before = "*" if flag.kind == "list" else f"({' '.join(_words(flag))})"
    return [_quoted(f"{before}{word}{'=' * (value != '' and word[1] == '-')}[{help_}]{tail}") for word in _words(flag)]


def _zsh_action(value: str) -> str:
    if "|" in value:
        return f"({value.replace('|', ' ')})"
    return {"DIR": "_files -/", "FILE": "_files", "SOCKET": "_files", "ID": "_pyrunc_ids"}.get(value, " ")


def fish() -> str:
    """Return the script for complete(1) of fish."""
    valued, lines = [], []
    for name, command in _places().items():
        words = " ".join(word for flag in command.flags if value_of(flag) for word in _words(flag))
        valued += [f"        case '{name}'", f"            string split -n ' ' -- '{words}'"]
        for flag in command.flags:
            short = f" -s {flag.short}" if flag.short else ""
            value = f" -r{_fish_action(value_of(flag))}" if value_of(flag) else ""
            lines.append(f"-n \"__pyrunc_in '{name}'\"{short} -l {flag.name}{value} -d {_fish_quoted(flag.help)}")
        for at, argument in enumerate(_arguments(name, command) if name else ()):
            lines.append(f"-n \"__pyrunc_at '{name}' {at}\"{_fish_action(argument)}")
    for name, command in all_commands().items():
        lines.append(f"-n \"__pyrunc_at '' 0\" -a {name} -d {_fish_quoted(command.summary)}")
    return _FISH % {"valued": "\n".join(valued), "completions": "\n".join(f"complete -c pyrunc {x}" for x in lines)}


def _fish_action(value: str) -> str:
    if "|" in value:
        return f" -a '{value.replace('|', ' ')}'"
    functions = {"DIR": "(__fish_complete_directories)", "ID": "(__pyrunc_ids)"}
    if value in functions:
        return f" -a '{functions[value]}'"
    return " -F" if value in ("FILE", "SOCKET") else ""


def _places() -> dict[str, Command]:
    """Return where flags may stand: after the name of a command, or, under no name, before all of them."""
    commands = all_commands()
    before = Command("", "", "|".join(commands), 1, 1, GLOBAL_FLAGS)
    return {"": before, **{name: each.but(flags=(*each.flags, HELP)) for name, each in commands.items()}}


def _arguments(name: str, command: Command) -> list[str]:
    """Return what each argument is: an ID, or words to choose from; nothing is known of others."""
    words = [word.strip("[].") for word in command.arguments.split()]
    known = {"SIGNAL": "|".join(signal.removeprefix("SIG") for signal in sorted(SIGNALS))}
    return ["" if word == "ID" and name in _MAKERS else known.get(word, word) for word in words]


def _words(flag: Flag) -> list[str]:
    return [f"--{flag.name}", *([f"-{flag.short}"] if flag.short else [])]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
