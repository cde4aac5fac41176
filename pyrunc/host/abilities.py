"""What this host cannot do of what a config asks for: `check --host`.

Looked up where the kernel or the file system say so without anything being made. What create finds out by the
plan, such as a missing cgroup controller, is not here.
"""

from __future__ import annotations

import posix

from pyrunc.errors import SpecError
from pyrunc.kernel import flags
from pyrunc.kernel.capabilities import get_sets, last_capability
from pyrunc.spec.linux import Linux, sysctl_file
from pyrunc.spec.read import member_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyrunc.spec.config import Spec
    from pyrunc.spec.mounts import Mount

    # Whether create fails of it, and what it is.
    Inability = tuple[bool, SpecError]


def inabilities(spec: Spec, bundle: str) -> Iterator[Inability]:
    """Yield all that this host, as this process sees it, lacks for a config; relative paths are of the bundle."""
    linux = spec.linux or Linux()
    yield from _root(spec, bundle)
    for i, mount in enumerate(spec.mounts):
        yield from _mount(f".mounts[{i}]", mount, bundle)
    yield from _hooks(spec)
    yield from _namespaces(linux)
    yield from _security_modules(spec, linux)
    yield from _seccomp(linux)
    yield from _devices_and_interfaces(linux)
    yield from _sysctls(linux)
    yield from _capabilities(spec)


def _missing(path: str, problem: str) -> Inability:
    return True, SpecError(path, problem)


def _text(path: str) -> str:
    """Return what a small file of the kernel says; "" where there is none."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
    except OSError:
        return ""
    try:
        return posix.read(fd, 65536).decode("utf-8", "replace").strip()
    except OSError:
        return ""
    finally:
        posix.close(fd)


def _there(path: str) -> bool:
    try:
        posix.stat(path)
    except (OSError, ValueError):
        return False
    return True


def _in_bundle(path: str, bundle: str) -> str:
    return path if path.startswith("/") else f"{bundle}/{path}"


def _root(spec: Spec, bundle: str) -> Iterator[Inability]:
    path = _in_bundle(spec.root.path, bundle) if spec.root else bundle
    try:
        kind = posix.lstat(path).st_mode & 0o170000
    except OSError:
        yield _missing(".root.path", f"{path} is not there")
        return
    if kind != 0o040000:
        yield _missing(".root.path", f"{path} is not a directory")


def _mount(at: str, mount: Mount, bundle: str) -> Iterator[Inability]:
    if mount.is_bind:
        source = _in_bundle(mount.source or "", bundle)
        if mount.source and not _there(source):
            yield _missing(f"{at}.source", f"{source} is not there")
    elif mount.type and mount.type != "cgroup" and "remount" not in mount.options:
        known = {line.split()[-1] for line in _text("/proc/filesystems").splitlines()}
        if mount.type.partition(".")[0] not in known:
            yield _unknown_filesystem(f"{at}.type", mount.type)
    for option in mount.options:
        key, _, layers = option.partition("=")
        if mount.type == "overlay" and key in ("lowerdir", "upperdir", "workdir"):
            absent = [each for each in layers.split(":") if each and not _there(_in_bundle(each, bundle))]
            yield from (_missing(f"{at}.options", f"{key} {each} is not there") for each in absent)


def _unknown_filesystem(path: str, fstype: str) -> Inability:
    """A kernel with modules may load one for it, so that only a try can tell."""
    modules = _there(f"/lib/modules/{posix.uname().release}") and bool(_text("/proc/sys/kernel/modprobe"))
    hope = ", unless it loads a module for it" if modules else ""
    return not modules, SpecError(path, f"this kernel has no file system {fstype}{hope}")


def _hooks(spec: Spec) -> Iterator[Inability]:
    """config.md#posix-platform-hooks: all but startContainer are looked up in the runtime's namespaces."""
    if spec.hooks is None:
        return
    lists = {
        "prestart": spec.hooks.prestart,
        "createRuntime": spec.hooks.create_runtime,
        "createContainer": spec.hooks.create_container,
        "poststart": spec.hooks.poststart,
        "poststop": spec.hooks.poststop,
    }
    for name, hooks in lists.items():
        for i, hook in enumerate(hooks):
            if not posix.access(hook.path, posix.X_OK):
                yield _missing(f".hooks.{name}[{i}].path", f"{hook.path} is not there or not executable")


def _namespaces(linux: Linux) -> Iterator[Inability]:
    for i, each in enumerate(linux.namespaces):
        name = flags.PROC_NAMES[each.type]
        at = f".linux.namespaces[{i}]"
        if not _there(f"/proc/self/ns/{name}"):
            yield _missing(f"{at}.type", f"this kernel has no {each.type} namespaces")
        elif each.path is None and _text(f"/proc/sys/user/max_{name}_namespaces") == "0":
            yield _missing(f"{at}.type", f"/proc/sys/user/max_{name}_namespaces is 0")
        elif each.path is not None and not _there(each.path):
            yield _missing(f"{at}.path", f"{each.path} is not there")


def _security_modules(spec: Spec, linux: Linux) -> Iterator[Inability]:
    """config.md#linux-process: a label or profile that cannot be applied is an error."""
    process = spec.process
    if process is not None and process.apparmor_profile and process.apparmor_profile != "unconfined":
        profiles = _text("/sys/kernel/security/apparmor/profiles")
        if not _text("/sys/module/apparmor/parameters/enabled").startswith("Y"):
            yield _missing(".process.apparmorProfile", "AppArmor is off on this host")
        elif profiles and not any(line.split(" ")[0] == process.apparmor_profile for line in profiles.splitlines()):
            yield _missing(".process.apparmorProfile", f"{process.apparmor_profile} is not loaded")
    selinux = _there("/sys/fs/selinux/enforce")
    if process is not None and process.selinux_label and not selinux:
        yield _missing(".process.selinuxLabel", "SELinux is off on this host")
    if linux.mount_label and not selinux:
        yield _missing(".linux.mountLabel", "SELinux is off on this host")


def _seccomp(linux: Linux) -> Iterator[Inability]:
    if linux.seccomp is None:
        return
    from pyrunc.kernel.seccomp import action_available

    at = ".linux.seccomp"
    actions = {f"{at}.defaultAction": linux.seccomp.default_action}
    actions |= {f"{at}.syscalls[{i}].action": each.action for i, each in enumerate(linux.seccomp.syscalls)}
    able: dict[str, bool] = {}
    for path, action in actions.items():
        if action not in able:
            able[action] = _tried(action_available, action)
        if not able[action]:
            yield _missing(path, f"this kernel has no {action}")


def _tried(available: Callable[[str], bool], action: str) -> bool:
    try:
        return available(action)
    except OSError:  # a kernel without seccomp
        return False


def _devices_and_interfaces(linux: Linux) -> Iterator[Inability]:
    for name in linux.net_devices:
        if not _there(f"/sys/class/net/{name}"):
            yield _missing(member_path(".linux.netDevices", name), "this host has no such interface")
    if linux.intel_rdt is not None and "resctrl" not in _text("/proc/filesystems"):
        yield _missing(".linux.intelRdt", "this kernel has no resctrl")
    if linux.memory_policy is not None and not _there("/proc/self/numa_maps"):
        yield _missing(".linux.memoryPolicy", "this kernel knows nothing of NUMA")


def _sysctls(linux: Linux) -> Iterator[Inability]:
    """A new network namespace has other files than ours, so that only a try can tell."""
    for name in linux.sysctl:
        if not _there(f"/proc/sys/{sysctl_file(name)}"):
            yield False, SpecError(member_path(".linux.sysctl", name), "is not in /proc/sys of this host")


def _capabilities(spec: Spec) -> Iterator[Inability]:
    """config.md#linux-process: what cannot be granted is a reason to warn, not to fail."""
    if spec.process is None or spec.process.capabilities is None:
        return
    last, ours = last_capability(), get_sets().permitted
    for kind, names in spec.process.capabilities.__dict__.items():
        for i, name in enumerate(names):
            number = flags.CAPABILITIES.get(name)
            path = f".process.capabilities.{kind}[{i}]"
            if number is not None and number > last:
                yield False, SpecError(path, f"this kernel has no {name}")
            elif number is not None and number not in ours:
                yield False, SpecError(path, f"this process does not have {name}, and cannot give it")
