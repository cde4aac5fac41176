# Runs in the guest once, before it is saved: wait for the boot to end, load the modules that tests need, and have
# the files in memory that every run reads.
modprobe -a 9p 9pnet_virtio overlay veth bridge tun fuse loop unix_diag inet_diag tcp_diag udp_diag raw_diag
systemctl is-system-running --wait || systemctl --failed
systemctl start user@1000
runc --version
crun --version
criu --version
systemctl --version
python3 -c 'import json, subprocess, jsonschema, jeepney, pyroute2, pytest, hypothesis'
cat /usr/bin/gcc /usr/libexec/gcc/*/*/cc1 /usr/bin/as /usr/bin/ld >/dev/null
cd / && setpriv --reuid 1000 --regid 1000 --init-groups env XDG_RUNTIME_DIR=/run/user/1000 \
    systemd-run --user --quiet --pipe --wait -p Delegate=yes true
cat /sys/fs/cgroup/cgroup.controllers /sys/kernel/security/apparmor/profiles
uname -r
sync
sleep 2
