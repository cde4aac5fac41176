# The program of the rootless bundle: what an ordinary user has become. It is bind mounted at /show.sh.

echo "== who am I"
echo "uid $(id -u), gid $(id -g), groups $(id -G)"
echo "setgroups: $(cat /proc/self/setgroups)"

echo "== the map: inside, outside, how many"
sed 's/  */ /g; s/^ //' /proc/self/uid_map

echo "== root of what is mine"
hostname renamed && echo "the name of the container is $(hostname)"
echo "network interfaces: $(ls /sys/class/net)"
touch /volume/file && echo "made /volume/file"

echo "== other users"
if chown 1:1 /volume/file 2>/dev/null; then
    echo "/volume/file belongs to $(stat -c 'uid %u, gid %g' /volume/file)"
else
    echo "there is only one id: a file cannot be given to another"
fi

echo "== not of what is not"
mknod /volume/device c 1 3 2>&1
(date -s 2001-01-01 >/dev/null) 2>&1
