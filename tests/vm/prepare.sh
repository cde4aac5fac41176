# Runs in the guest's root file system on this machine, at full speed: makes .venv of the checkout in the working
# directory, as `make` would, and has every module of the tests compiled.
#
# Its image (launcher/image.c) too: nothing in one depends on the processor or the kernel that it is made with.
set -eu
export HOME=/tmp
python3 -m venv --without-pip --system-site-packages .venv
python3 -m pip --quiet --python .venv/bin/python install --no-deps --no-build-isolation --no-compile .
# The launcher's python reads no .pth files: what pyrunc imports must lie beside it.
site=$(echo .venv/lib/python3*/site-packages)
for module in /usr/lib/python3/dist-packages/*; do
    [ -e "$site/${module##*/}" ] || ln -s "$module" "$site/"
done
# pytest keeps the modules that it has rewritten.
.venv/bin/python -m tests.vm.collect lanes.json >/tmp/collected 2>&1 || {
    cat /tmp/collected
    exit 1
}
.venv/bin/python -m compileall -q conformance
.venv/bin/python -m tests.scenario.rootfs programs
.venv/bin/python -c 'import pathlib, conformance.probe as it; it.build(pathlib.Path()).rename("programs/conformance")'
rm -rf build *.egg-info
