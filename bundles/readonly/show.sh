# The program of the readonly bundle: tries what it must not do. It is bind mounted at /show.sh.

attempt() {
    if reason=$(sh -c "$1" 2>&1 >/dev/null); then
        echo "allowed: $1"
    else
        echo "refused: $1: ${reason##*: }"
    fi
}

echo "== the root is read-only, a tmpfs is not"
attempt 'touch /etc/motd'
attempt 'touch /tmp/file'

echo "== paths that are read-only"
attempt 'echo 1 > /proc/sys/kernel/panic'
attempt 'touch /proc/irq'

echo "== paths that are masked"
echo "/proc/keys: $(wc -c </proc/keys) bytes"
echo "/proc/timer_list: $(wc -c </proc/timer_list) bytes"
echo "/sys/firmware: $(ls /sys/firmware | wc -l) entries"

echo "== root without capabilities"
id -u
grep CapEff /proc/self/status
attempt 'hostname other'
attempt 'chown 1:1 /tmp/file'
attempt 'mount -t tmpfs t /dev'

echo "== a seccomp filter"
grep -w Seccomp /proc/self/status
attempt 'mkdir /tmp/directory'
attempt 'unshare -U true'

echo "== a set-user-ID program"
grep NoNewPrivs /proc/self/status
echo "the owner of /bin/id: $(stat -c '%u, mode %a' /bin/id)"
echo "whoever runs it is: $(/bin/id -u)"
