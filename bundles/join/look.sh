# The program of the second container of the join bundle; `exec` runs it in the first. What is shared with process 1?

show() {
    echo
    echo "== $1"
}

show "hostname"
hostname

show "processes"
for directory in /proc/[0-9]*; do
    echo "${directory#/proc/} $(cat "$directory/comm" 2>/dev/null)"
done | grep -v ' $'

show "namespaces"
for namespace in cgroup ipc mnt net pid uts; do
    if [ "$(readlink /proc/1/ns/$namespace)" = "$(readlink /proc/self/ns/$namespace)" ]; then
        echo "$namespace shared"
    else
        echo "$namespace own"
    fi
done

show "the server of process 1, at 127.0.0.1"
printf 'GET /etc/hosts HTTP/1.0\r\n\r\n' | nc -w 2 127.0.0.1 80 | head -n 1

show "the root of process 1"
ls /proc/1/root/mark 2>/dev/null || echo "has no file mark"
show "my root"
ls /mark 2>/dev/null || echo "has no file mark"
exit 0
