"""The options of a container: who creates it may choose among three messages, and means the same by them."""

from __future__ import annotations

import posix

from pyrunc.host.criu import CGROUP_MODES
from pyrunc.host.images import Options as Images
from pyrunc.shim.codec import decode
from pyrunc.shim.protos.options import CreateOptions, Options, RuntimeOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.shim.protos.options import CheckpointOptions
    from pyrunc.shim.protos.types import Any

_ENOUGH = 1 << 20
_SAME = ("no_pivot_root", "no_new_keyring", "shim_cgroup", "io_uid", "io_gid")


def options_of(packed: Any | None) -> Options:
    """Return what is asked for. Raises ValueError for what cannot be read, OSError for a file that is not there.

    Options of io.containerd.runc.v2; those of containerd 1's first runtime, which clients still send for runtimes they
    do not know; and a TOML document with the former's names, which the CRI plugin makes of its configuration.
    """
    if packed is None or not packed.type_url:
        return Options()
    name = packed.type_url.rpartition("/")[2]
    if name == "containerd.runc.v1.Options":
        return decode(Options, packed.value)
    if name == "containerd.linux.runc.CreateOptions":
        older = decode(CreateOptions, packed.value)
        return Options(**{field: getattr(older, field) for field in _SAME})
    if name in ("runtimeoptions.v1.Options", "cri.runtimeoptions.v1.Options"):
        return _of_document(decode(RuntimeOptions, packed.value))
    raise ValueError(f"options of an unknown kind: {name}")


def _of_document(options: RuntimeOptions) -> Options:
    import tomllib

    text = options.config_body.decode()
    if options.config_path:
        fd = posix.open(options.config_path, posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            text = posix.read(fd, _ENOUGH).decode()
        finally:
            posix.close(fd)
    document = tomllib.loads(text)
    found = Options()
    for field in Options._fields:
        for name in (_camel(field), field):  # SystemdCgroup, or systemd_cgroup
            value = document.pop(name, None)
            if value is None:
                continue
            if type(value) is not type(getattr(found, field)):
                raise ValueError(f"option {name}: {value!r} is of the wrong type")
            found = found.but(**{field: value})
    unknown = document.keys() - {_camel(field) for field in RuntimeOptions._fields}
    if unknown:
        raise ValueError(f"unknown options: {', '.join(sorted(unknown))}")
    return found


def _camel(field: str) -> str:
    return "".join(word.capitalize() for word in field.split("_"))


def images_of(path: str, asked: CheckpointOptions, options: Options) -> Images:
    """Return what is asked of criu for a checkpoint in `path`, or where options say. Raises ValueError."""
    path = path or asked.image_path or options.criu_image_path
    work = asked.work_path or options.criu_work_path
    if not path:
        raise ValueError("no path is given, and CriuImagePath is not among the options")
    for name in (path, work):
        if name and not name.startswith("/"):
            raise ValueError(f"{name} is not an absolute path")
    if any(each != "network" for each in asked.empty_namespaces):
        raise ValueError("only network can be among empty_namespaces")
    if asked.cgroups_mode not in ("", *CGROUP_MODES):
        raise ValueError(f"cgroups_mode {asked.cgroups_mode!r} is none of {', '.join(CGROUP_MODES)}")
    return Images(
        path,
        work,
        tcp_established=asked.open_tcp,
        ext_unix_sk=asked.external_unix_sockets,
        shell_job=asked.terminal,
        file_locks=asked.file_locks,
        cgroups_mode=asked.cgroups_mode,
        criu=options.criu_path,
    )
