# The program of the isolated bundle, bind mounted at /isolated.sh: what is the container's own, and what its limits do.

show() {
    echo
    echo "== $1"
}

# The first of these files that is there: cgroup v1 and v2 name and place the same thing differently.
cgroup_file() {
    for file in "$@"; do
        if [ -r "/sys/fs/cgroup/$file" ]; then
            echo "/sys/fs/cgroup/$file"
            return 0
        fi
    done
    return 1
}

cpu_microseconds() {
    if [ -r /sys/fs/cgroup/cpu.stat ]; then
        sed -n 's/^usage_usec //p' /sys/fs/cgroup/cpu.stat
    else
        echo $(($(cat "$(cgroup_file cpuacct/cpuacct.usage cpu,cpuacct/cpuacct.usage)") / 1000))
    fi
}

milliseconds() {
    sed 's/^\([0-9]*\)\.\([0-9]*\) .*/\1\20/' /proc/uptime
}

show "hostname"
hostname

show "message queues of System V"
tail -n +2 /proc/sysvipc/msg | wc -l

show "processes"
for directory in /proc/[0-9]*; do
    echo "${directory#/proc/} $(cat "$directory/comm" 2>/dev/null)"
done | grep -v ' $'

show "who am I"
echo "uid $(id -u), gid $(id -g), groups $(id -G)"
echo "the map of uids: inside, outside, how many"
sed 's/  */ /g; s/^ //' /proc/self/uid_map

show "out of the root"
sh /escape.sh

if ! cgroup_file cpu/cpu.cfs_quota_us cpu,cpuacct/cpu.cfs_quota_us cpu.max >/dev/null; then
    show "limits"
    echo "none: this user has no cgroup"
    exit 0
fi

show "10 % of a processor"
begin=$(milliseconds)
before=$(cpu_microseconds)
while :; do :; done &
sleep 4
kill $!
used=$((($(cpu_microseconds) - before) / 1000))
echo "used $used ms in $(($(milliseconds) - begin)) ms"

show "5 MiB of memory"
dd if=/dev/zero of=/dev/null bs=3M count=1 2>/dev/null && echo "3 MiB: there"
dd if=/dev/zero of=/dev/null bs=20M count=1 2>/dev/null
echo "20 MiB: exit code $?"

show "1 MiB a second to the disk"
before=$(milliseconds)
dd if=/dev/zero of=/data/file bs=64k count=64 oflag=direct 2>/dev/null
echo "wrote $(stat -c %s /data/file) bytes in $(($(milliseconds) - before)) ms"
rm /data/file
