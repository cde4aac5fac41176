# The program of the limits bundle, bind mounted at /limits.sh: its argument says at which stop of the tour we are.
# It prints the file that config.json's setting is in, and what the setting does.

# The first of these files that is there: cgroup v1 and v2 name and place the same thing differently.
cgroup_file() {
    for file in "$@"; do
        for found in /sys/fs/cgroup/$file; do
            if [ -r "$found" ]; then
                echo "$found"
                return
            fi
        done
    done
    echo "no file of that name" >&2
    exit 1
}

say() {
    path=$(cgroup_file "$@") && echo "$path: $(tr '\n' ' ' <"$path")"
}

# Processor time of all processes here so far.
milliseconds_used() {
    if [ -r /sys/fs/cgroup/cpu.stat ]; then
        echo $(($(sed -n 's/^usage_usec //p' /sys/fs/cgroup/cpu.stat) / 1000))
    else
        echo $(($(cat "$(cgroup_file 'cpuacct*/cpuacct.usage' 'cpu*/cpuacct.usage')") / 1000000))
    fi
}

milliseconds() {
    sed 's/^\([0-9]*\)\.\([0-9]*\) .*/\1\20/' /proc/uptime
}

# A loop that would take a whole processor.
burn() {
    begin=$(milliseconds)
    before=$(milliseconds_used)
    while :; do :; done &
    sleep "$1"
    kill $!
    used=$(($(milliseconds_used) - before))
    echo "used $used ms of processor time in $(($(milliseconds) - begin)) ms"
}

# Take so much memory for a moment; dd has a buffer of that size.
take() {
    dd if=/dev/zero of=/dev/null bs="$1M" count=1 2>/dev/null
    code=$?
    [ $code = 0 ] && echo "$1 MiB: there" || echo "$1 MiB: exit code $code"
}

case $1 in
cpuset)
    say cpuset/cpuset.cpus cpuset.cpus
    echo "may run on processors: $(sed -n 's/^Cpus_allowed_list:.//p' /proc/self/status)"
    echo "nproc counts: $(nproc)"
    ;;
shares-*)
    say 'cpu*/cpu.shares' cpu.weight
    burn 6
    ;;
quota)
    say 'cpu*/cpu.cfs_quota_us' cpu.max
    burn 4
    say 'cpu*/cpu.stat' cpu.stat
    ;;
cpuacct)
    burn 1
    dd if=/dev/zero of=/dev/null bs=64k count=100000 2>/dev/null # nearly all of it in the kernel
    say 'cpu*/cpuacct.usage' cpu.stat
    say 'cpu*/cpuacct.stat' cpu.stat
    ;;
memory)
    say memory/memory.limit_in_bytes memory.max
    take 8
    take 32
    say memory/memory.failcnt memory.events
    say memory/memory.oom_control memory.events
    say memory/memory.max_usage_in_bytes memory.peak
    ;;
swap)
    say memory/memory.limit_in_bytes memory.max
    say memory/memory.memsw.limit_in_bytes memory.swap.max
    grep SwapTotal /proc/meminfo
    take 32
    take 64
    ;;
oom)
    # The program itself must touch the pages. What the kernel writes to for it, as dd's buffer, ends in an error instead.
    text=0123456789abcdef
    while [ ${#text} -lt 8388608 ]; do
        text=$text$text
    done
    ;;
throttle)
    say blkio/blkio.throttle.write_bps_device io.max
    before=$(milliseconds)
    dd if=/dev/zero of=/data/file bs=64k count=64 oflag=direct 2>/dev/null
    echo "wrote $(stat -c %s /data/file) bytes in $(($(milliseconds) - before)) ms"
    rm /data/file
    ;;
weight)
    say blkio/blkio.weight blkio/blkio.bfq.weight io.bfq.weight io.weight
    ;;
devices)
    if [ -r /sys/fs/cgroup/devices/devices.list ]; then
        say devices/devices.list
    else
        echo "v2 has no file: the rules are an eBPF program"
    fi
    (: >/dev/kmsg) && echo "/dev/kmsg: opened for writing"
    (: </dev/kmsg) 2>&1 | sed 's/^.*can/can/'
    mknod /dev/memory c 1 1 && echo "made a node of c 1:1"
    (: </dev/memory) 2>&1 | sed 's/^.*can/can/'
    (: </dev/zero) && echo "/dev/zero: opened"
    ;;
freezer)
    count=0
    while :; do
        count=$((count + 1))
        echo "$count"
        sleep 0.1
    done
    ;;
pids)
    say pids/pids.max pids.max
    (
        for number in 1 2 3 4 5 6 7 8 9 10; do
            sleep 2 &
        done
    ) 2>&1
    say pids/pids.events pids.events
    ;;
net_cls)
    say 'net_cls*/net_cls.classid'
    ping -c 1 -W 1 127.0.0.1 2>&1 | tail -n 1
    ;;
net_prio)
    say 'net_cls,net_prio/net_prio.ifpriomap' net_prio/net_prio.ifpriomap
    ping -c 1 -W 1 127.0.0.1 2>&1 | tail -n 1
    ;;
hugetlb)
    say hugetlb/hugetlb.2MB.limit_in_bytes unified/hugetlb.2MB.max hugetlb.2MB.max
    echo "huge pages of the host: $(sed -n 's/^HugePages_Total: *//p' /proc/meminfo)"
    fallocate -l 2M /huge/one 2>&1 && echo "2 MiB: there"
    fallocate -l 4M /huge/two 2>&1 && echo "4 MiB more: there"
    ;;
esac
