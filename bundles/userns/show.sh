# The program of the userns bundle: who it is, and whose files are whose. It is bind mounted at /show.sh.

owner() {
    stat -c 'uid %u, gid %g' "$1"
}

echo "== who am I"
echo "inside: uid $(id -u), gid $(id -g)"

echo "== the map: inside, outside, how many"
sed 's/  */ /g; s/^ //' /proc/self/uid_map

echo "== what root may do here"
hostname renamed && echo "the name of the container is $(hostname)"
mount -t tmpfs tmpfs /tmp && echo "a tmpfs is mounted"

echo "== and what it may not"
(date -s 2001-01-01 >/dev/null) 2>&1
(echo 1 >/proc/sys/kernel/panic) 2>&1 | sed 's/.*: can/can/'

echo "== a volume as it is on the host"
echo "/plain/file belongs to $(owner /plain/file)"
touch /plain/new 2>&1 | sed 's/^touch: //'

echo "== the same volume with mapped ids"
echo "/mapped/file belongs to $(owner /mapped/file)"
echo "written inside" >/mapped/new && echo "/mapped/new belongs to $(owner /mapped/new)"
