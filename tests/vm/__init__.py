"""A machine with cgroup v2, systemd, AppArmor and CRIU inside a test run: a Debian guest that qemu emulates.

    recipe.py    what the guest is made of, and the directory its files are cached in
    debian.py    its root file system and its kernel, from the mirror that this machine's apt uses
    image.py     disk image, initramfs
    scratch.py   directories of runs that may be killed
    machine.py   one qemu: a new boot, or the saved one restored in a second or two
    cache.py     builds what is missing, removes what is out of date
    checkout.py  this checkout as the guest sees it, with pyrunc installed
    prepare.sh   what that takes, in the guest's root file system; collect.py finds the tests
    lane.py      the tests in it, as root and as an ordinary user
    guest/       files that lie in the guest; agent.py runs commands there

docs/testing.md tells how to use it.
"""
