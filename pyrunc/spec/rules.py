"""The MUSTs of config.md that types cannot say, one function each; config-linux.md's are in linux_rules.py.

A rule yields a SpecError for each place that breaks it. None looks at the host: whether a path exists or the
kernel can do a thing is found out where it is used.
"""

from __future__ import annotations

from pyrunc.errors import SpecError
from pyrunc.spec.linux_rules import LINUX_NAMESPACE_RULES, LINUX_RULES, RESOURCES_RULES, SECCOMP_RULES
from pyrunc.spec.read import member_path, number_ranges

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.spec.config import Spec
    from pyrunc.spec.hooks import Hook, Hooks
    from pyrunc.spec.linux import Linux
    from pyrunc.spec.mounts import Mount
    from pyrunc.spec.process import Process
    from pyrunc.spec.resources import Resources

_DIGITS = frozenset("0123456789")
_IDENTIFIER = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-")


def is_semver(text: str) -> bool:
    """Tell whether a text is a version of Semantic Versioning 2.0.0, such as "1.3.0-rc.1+dev"."""
    version, plus, build = text.partition("+")
    core, dash, pre_release = version.partition("-")
    numbers = core.split(".")
    return (
        len(numbers) == 3
        and all(number and _DIGITS.issuperset(number) and _no_leading_zero(number) for number in numbers)
        and (not dash or all(_no_leading_zero(part) for part in pre_release.split(".")))
        and (not dash or all(part and _IDENTIFIER.issuperset(part) for part in pre_release.split(".")))
        and (not plus or all(part and _IDENTIFIER.issuperset(part) for part in build.split(".")))
    )


def _no_leading_zero(identifier: str) -> bool:
    return len(identifier) < 2 or identifier[0] != "0" or not _DIGITS.issuperset(identifier)


def oci_version_is_one_we_know(spec: Spec) -> Iterator[SpecError]:
    """config.md#specification-version: a semantic version; releases are compatible within a major version."""
    if not is_semver(spec.oci_version):
        yield SpecError(".ociVersion", 'must be a semantic version such as "1.3.0"')
    elif not spec.oci_version.startswith("1."):
        yield SpecError(".ociVersion", "must have the major version 1")


def root_is_given(spec: Spec) -> Iterator[SpecError]:
    """config.md#root: required on every platform but Windows."""
    if spec.root is None:
        yield SpecError(".root", "is required")
    elif not spec.root.path:
        yield SpecError(".root.path", "must not be empty")


def annotation_keys_are_not_empty(spec: Spec) -> Iterator[SpecError]:
    """config.md#annotations: keys MUST NOT be an empty string."""
    if "" in spec.annotations:
        yield SpecError(member_path(".annotations", ""), "must have a key that is not empty")


def hostname_needs_uts(spec: Spec, namespaces: frozenset[str]) -> Iterator[SpecError]:
    """config.md#hostname: without its own uts namespace we would rename the host."""
    if spec.hostname and "uts" not in namespaces:
        yield SpecError(".hostname", "needs a uts entry in .linux.namespaces")


def domainname_needs_uts(spec: Spec, namespaces: frozenset[str]) -> Iterator[SpecError]:
    """config.md#domainname: without its own uts namespace we would rename the host's domain."""
    if spec.domainname and "uts" not in namespaces:
        yield SpecError(".domainname", "needs a uts entry in .linux.namespaces")


def idmap_has_something_to_map_by(spec: Spec, namespaces: frozenset[str]) -> Iterator[SpecError]:
    """config.md#linux-mount-options: idmap needs mappings of its own or the user namespace's."""
    if "user" in namespaces:
        return
    for i, mount in enumerate(spec.mounts):
        asked = "idmap" in mount.options or "ridmap" in mount.options
        if asked and not mount.uid_mappings and not mount.gid_mappings:
            yield SpecError(f".mounts[{i}].options", "idmap needs mappings here or a user namespace")


def mount_has_a_destination(mounts: tuple[Mount, ...]) -> Iterator[SpecError]:
    """config.md#mounts: a path inside the container, which may be relative (to "/") but not nothing."""
    for i, mount in enumerate(mounts):
        if not mount.destination:
            yield SpecError(f".mounts[{i}].destination", "must not be empty")


def mount_mappings_come_together(mounts: tuple[Mount, ...]) -> Iterator[SpecError]:
    """config.md#posix-platform-mounts: uidMappings and gidMappings only along with one another."""
    for i, mount in enumerate(mounts):
        if mount.uid_mappings and not mount.gid_mappings:
            yield SpecError(f".mounts[{i}].gidMappings", "is required along with uidMappings")
        if mount.gid_mappings and not mount.uid_mappings:
            yield SpecError(f".mounts[{i}].uidMappings", "is required along with gidMappings")


def args_name_a_program(process: Process) -> Iterator[SpecError]:
    """config.md#process: at least one entry, the file to execute."""
    if not process.args:
        yield SpecError(".process.args", "must have at least one entry")


def cwd_is_absolute(process: Process) -> Iterator[SpecError]:
    """config.md#process: cwd MUST be an absolute path."""
    if not process.cwd.startswith("/"):
        yield SpecError(".process.cwd", "must be an absolute path")


def rlimits_are_unique(process: Process) -> Iterator[SpecError]:
    """config.md#posix-process: two entries of one type are an error."""
    seen: dict[str, int] = {}
    for i, rlimit in enumerate(process.rlimits):
        first = seen.setdefault(rlimit.type, i)
        if first != i:
            yield SpecError(f".process.rlimits[{i}].type", f"is the same as in .process.rlimits[{first}]")


def rlimit_soft_is_within_hard(process: Process) -> Iterator[SpecError]:
    """config.md#posix-process: both must be what getrlimit(2) says, which soft above hard cannot."""
    for i, rlimit in enumerate(process.rlimits):
        if rlimit.soft > rlimit.hard:
            yield SpecError(f".process.rlimits[{i}]", f"has soft {rlimit.soft} above hard {rlimit.hard}")


def exec_cpu_affinity_is_a_list(process: Process) -> Iterator[SpecError]:
    """config.md#linux-process: CPUs separated by commas, ranges by dashes."""
    affinity = process.exec_cpu_affinity
    if affinity is None:
        return
    for key, text in (("initial", affinity.initial), ("final", affinity.final)):
        if text and number_ranges(text) is None:
            yield SpecError(f".process.execCPUAffinity.{key}", 'must be a list of CPUs such as "0-3,7"')


def hook_paths_are_absolute(at: str, hooks: tuple[Hook, ...]) -> Iterator[SpecError]:
    """config.md#posix-platform-hooks: path MUST be absolute."""
    for i, hook in enumerate(hooks):
        if not hook.path.startswith("/"):
            yield SpecError(f"{at}[{i}].path", "must be an absolute path")


def hook_timeouts_are_positive(at: str, hooks: tuple[Hook, ...]) -> Iterator[SpecError]:
    """config.md#posix-platform-hooks: if set, timeout MUST be greater than zero."""
    for i, hook in enumerate(hooks):
        if hook.timeout is not None and hook.timeout <= 0:
            yield SpecError(f"{at}[{i}].timeout", "must be greater than zero")


SPEC_RULES = (oci_version_is_one_we_know, root_is_given, annotation_keys_are_not_empty)
NAMESPACE_RULES = (hostname_needs_uts, domainname_needs_uts, idmap_has_something_to_map_by)
MOUNT_RULES = (mount_has_a_destination, mount_mappings_come_together)
PROCESS_RULES = (
    args_name_a_program, cwd_is_absolute, rlimits_are_unique, rlimit_soft_is_within_hard,
    exec_cpu_affinity_is_a_list,
)  # fmt: skip
HOOK_RULES = (hook_paths_are_absolute, hook_timeouts_are_positive)


def check(spec: Spec, namespaces_known: bool = True) -> Iterator[SpecError]:
    """Yield every broken rule; those that depend on .linux.namespaces only if that could be read."""
    for rule in SPEC_RULES:
        yield from rule(spec)
    for mount_rule in MOUNT_RULES:
        yield from mount_rule(spec.mounts)
    if spec.process is not None:
        yield from check_process(spec.process)
    if spec.hooks is not None:
        yield from check_hooks(spec.hooks)
    if spec.linux is not None:
        yield from check_linux(spec.linux)
    if namespaces_known:
        yield from check_namespaces(spec)


def check_process(process: Process) -> Iterator[SpecError]:
    """Yield what is wrong with a process, be it of config.json or given to `exec`."""
    for rule in PROCESS_RULES:
        yield from rule(process)


def check_linux(linux: Linux) -> Iterator[SpecError]:
    """Yield what is wrong with the `linux` object by itself."""
    for rule in LINUX_RULES:
        yield from rule(linux)
    if linux.seccomp is not None:
        for seccomp_rule in SECCOMP_RULES:
            yield from seccomp_rule(linux.seccomp)
    if linux.resources is not None:
        yield from check_resources(linux.resources)


def check_resources(resources: Resources) -> Iterator[SpecError]:
    """Yield what is wrong with resources, be they of config.json or given to `update`."""
    for rule in RESOURCES_RULES:
        yield from rule(resources)


def check_hooks(hooks: Hooks) -> Iterator[SpecError]:
    """Yield what is wrong with any of the six lists of hooks."""
    lists = (
        (".hooks.prestart", hooks.prestart),
        (".hooks.createRuntime", hooks.create_runtime),
        (".hooks.createContainer", hooks.create_container),
        (".hooks.startContainer", hooks.start_container),
        (".hooks.poststart", hooks.poststart),
        (".hooks.poststop", hooks.poststop),
    )
    for at, listed in lists:
        for rule in HOOK_RULES:
            yield from rule(at, listed)


def check_namespaces(spec: Spec) -> Iterator[SpecError]:
    """Yield what does not fit to the namespaces that the container gets."""
    namespaces = frozenset(each.type for each in spec.linux.namespaces) if spec.linux else frozenset()
    for rule in NAMESPACE_RULES:
        yield from rule(spec, namespaces)
    if spec.linux is not None:
        for linux_rule in LINUX_NAMESPACE_RULES:
            yield from linux_rule(spec.linux, namespaces)
