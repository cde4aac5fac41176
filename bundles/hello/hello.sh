# The program of the hello bundle: shows from inside what config.json asked for. It is bind mounted at /hello.sh.

show() {
    echo
    echo "== $1"
}

# The first of these files that is there: cgroup v1 and v2 name and place the same limit differently.
limit() {
    label=$1
    shift
    for file in "$@"; do
        if [ -r "/sys/fs/cgroup/$file" ]; then
            echo "$label: $(cat "/sys/fs/cgroup/$file") (/sys/fs/cgroup/$file)"
            return
        fi
    done
    echo "$label: no such file in /sys/fs/cgroup"
}

status() {
    grep -E "^($1):" /proc/self/status
}

show "hostname (its own uts namespace)"
hostname

show "pid 1 (its own pid namespace)"
echo "pid $$: $(tr '\0' ' ' < /proc/1/cmdline)"

show "processes"
for directory in /proc/[0-9]*; do
    echo "${directory#/proc/} $(cat "$directory/comm" 2>/dev/null)"
done | grep -v ' $'

show "network interfaces (its own network namespace)"
ls /sys/class/net

show "mounts"
while read -r _ _ _ _ where options _; do
    echo "$where $options"
done < /proc/self/mountinfo

show "ids, capabilities, no new privileges"
id
status 'CapEff|CapBnd|NoNewPrivs'

show "limits"
limit "memory, bytes" memory/memory.limit_in_bytes memory.max
limit "cpu, microseconds" cpu/cpu.cfs_quota_us cpu,cpuacct/cpu.cfs_quota_us cpu.max
limit "processes" pids/pids.max pids.max
echo "open files: $(ulimit -S -n) (at most $(ulimit -H -n))"

show "what is kept from it"
touch /etc/passwd 2>&1
[ -s /proc/keys ] && echo "/proc/keys can be read" || echo "/proc/keys: empty (maskedPaths)"
( echo 1 > /proc/sys/kernel/panic ) 2>&1 | sed 's/^.*can/can/'
