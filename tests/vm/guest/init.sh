#!/bin/busybox sh
# The initramfs: loads the modules it was given, mounts the disk, hands over to systemd.
b=/bin/busybox
$b mount -t devtmpfs dev /dev
while read module; do $b insmod "/modules/$module"; done </modules/order
n=0
while [ ! -b /dev/vda ] && [ $n -lt 500 ]; do
    n=$((n + 1))
    $b usleep 10000
done
$b mount -t ext4 -o rw,noatime /dev/vda /new
$b mount --move /dev /new/dev
exec $b switch_root /new /lib/systemd/systemd
