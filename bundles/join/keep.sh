# A hook of the join bundle: keep.sh keep|forget DIRECTORY NAMESPACE...
# A namespace lives as long as a process is in it, or its file is mounted somewhere (namespaces(7)): "ip netns add" does
# the same in /run/netns. The container's state comes on stdin; all that is wanted of it is the pid.

action=$1
directory=$2
shift 2

if [ "$action" = keep ]; then
    pid=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p')
    for namespace in "$@"; do
        : >"$directory/$namespace"
        mount --bind "/proc/$pid/ns/$namespace" "$directory/$namespace" || exit 1
    done
else
    for namespace in "$@"; do
        umount "$directory/$namespace" 2>/dev/null # it may not have come that far
        rm -f "$directory/$namespace"
    done
fi
exit 0
