# The program of the readonly bundle: tries what it must not do. It is bind mounted at /show.sh.

attempt() {
    # Only the reason counts; what a program prints when it goes well does not.
    if reason=$(sh -c "$1" 2>&1 >/dev/null); then
        echo "allowed: $1"
    else
        echo "refused: $1: ${reason##*: }"
    fi
}

echo "== the root is read-only, /tmp is not"
attempt 'touch /etc/motd'
attempt 'touch /tmp/file'

echo "== read-only and masked paths"
attempt 'echo 1 > /proc/sys/vm/drop_caches'
attempt 'echo h > /proc/sysrq-trigger'
echo "/proc/keys has $(wc -c </proc/keys) bytes, /proc/timer_list has $(wc -c </proc/timer_list)"
echo "/sys/firmware has $(ls /sys/firmware | wc -l) entries"

echo "== root without capabilities"
id -u
grep CapEff /proc/self/status
attempt 'hostname other'
attempt 'chown 1:1 /tmp/file'
attempt 'mount -t tmpfs t /tmp'

echo "== a seccomp filter, which knows nothing of users and files"
grep -w Seccomp /proc/self/status
attempt 'mkdir /tmp/directory'
attempt 'unshare -U true'

echo "== no_new_privs: a set-user-ID program gives nothing"
grep NoNewPrivs /proc/self/status
