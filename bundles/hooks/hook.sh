#!/bin/sh
# Each of the six hooks of config.json, and its program, is this script, and adds the line of its kind ($1) to the
# log beside it: in which namespaces and which root it runs. The first line has the host's, to compare with.

kind=$1
status=running
# The root of the container has it here. (Its args say "hook.sh", but the kernel gives a script its path.)
root=host
[ "$0" = /hook.sh ] && root=own
log=${0%hook.sh}log

namespace() {
    readlink "/proc/self/ns/$1" | tr -cd 0-9
}

whose() {
    if [ "$1" = "$2" ]; then echo host; else echo own; fi
}

line() {
    printf '%-16s %-9s %-6s %-6s %-6s %s\n' "$@" >>"$log"
}

# A hook gets the state of the container on its stdin (runtime.md, "State"); a program does not.
[ "$kind" = program ] || status=$(sed 's/.*"status": *"\([a-z]*\)".*/\1/')

if [ "$kind" = prestart ]; then
    echo "the host's: mnt $(namespace mnt) pid $(namespace pid) net $(namespace net)" >"$log"
    line hook status mount pid net root
fi
# poststart hooks run beside the program, which waits for its turn: so the log looks the same each time.
while [ "$kind" = program ] && ! grep -q poststart "$log"; do sleep 0.1; done

read -r _ _ _ mnt _ pid _ net <"$log"
line "$kind" "$status" "$(whose "$(namespace mnt)" "$mnt")" "$(whose "$(namespace pid)" "$pid")" \
    "$(whose "$(namespace net)" "$net")" "$root"
