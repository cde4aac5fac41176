"""Device programs of cgroup v2: what devices.allow and devices.deny are in v1 is eBPF here (bpf(2)).

The programs are made elsewhere, as plain bytes; here they are loaded, attached to a cgroup, and found again.
"""

from __future__ import annotations

import _struct

from pyrunc.kernel import libc
from pyrunc.kernel.flags import (
    BPF_CGROUP_DEVICE,
    BPF_F_ALLOW_MULTI,
    BPF_F_REPLACE,
    BPF_OBJ_GET_INFO_BY_FD,
    BPF_PROG_ATTACH,
    BPF_PROG_DETACH,
    BPF_PROG_GET_FD_BY_ID,
    BPF_PROG_LOAD,
    BPF_PROG_QUERY,
    BPF_PROG_TYPE_CGROUP_DEVICE,
)

INSTRUCTION_SIZE = 8
_LICENSE = b"Apache-2.0\0"  # only helpers marked GPL ask for another, and device programs call none
_NAME = b"pyrunc_devices"
_LOG_SIZE = 65536
# struct bpf_prog_info up to its name, which begins at 64.
_INFO_SIZE, _NAME_AT = 80, 64
_PROGRAMS_MAX = 64  # what the kernel lets be attached to one cgroup


def load_device_program(program: bytes) -> int:
    """Return the fd of a device program: bpf(2), BPF_PROG_LOAD. Its context is struct bpf_cgroup_dev_ctx.

    Raises OSError: EPERM without CAP_BPF and CAP_NET_ADMIN, EACCES or EINVAL with the verifier's last words.
    """
    try:
        return _load(program, bytearray())
    except OSError as error:
        log = bytearray(_LOG_SIZE)
        try:
            return _load(program, log)  # once more, since the verifier is slower when it has to explain
        except OSError:
            words = log.rstrip(b"\0").decode("utf-8", "replace").strip().split("\n")[-3:]
            raise OSError(error.errno, f"{error.strerror}: {'; '.join(words)}") from None


def attach(cgroup_fd: int, prog_fd: int, replace: int = -1) -> None:
    """Attach a device program to a cgroup v2 directory: BPF_PROG_ATTACH with BPF_F_ALLOW_MULTI.

    A device must be allowed by every program attached to the cgroup and those above it. With `replace`, the
    fd of a program attached here, there is no moment without one. Raises OSError.
    """
    flags = BPF_F_ALLOW_MULTI | (BPF_F_REPLACE if replace >= 0 else 0)
    _bpf(BPF_PROG_ATTACH, "=5I", cgroup_fd, prog_fd, BPF_CGROUP_DEVICE, flags, max(replace, 0))


def detach(cgroup_fd: int, prog_fd: int) -> None:
    """Detach a device program from a cgroup v2 directory: BPF_PROG_DETACH.

    Raises OSError(ENOENT) if not attached.
    """
    _bpf(BPF_PROG_DETACH, "=4I", cgroup_fd, prog_fd, BPF_CGROUP_DEVICE, 0)


def query(cgroup_fd: int) -> tuple[int, ...]:
    """Return the ids of the device programs attached to this very cgroup: BPF_PROG_QUERY. Raises OSError."""
    ids = bytearray(4 * _PROGRAMS_MAX)
    answer = _bpf(
        BPF_PROG_QUERY, "=4IQII", cgroup_fd, BPF_CGROUP_DEVICE, 0, 0, libc.address_of(ids), _PROGRAMS_MAX, 0
    )
    (count,) = _struct.unpack_from("=I", answer, 24)
    return _struct.unpack_from(f"={count}I", ids)


def open_program(program_id: int) -> int:
    """Return the fd of a loaded program by its id: BPF_PROG_GET_FD_BY_ID.

    Raises OSError(ENOENT) if it is gone.
    """
    attributes = bytearray(_struct.pack("=3I", program_id, 0, 0))
    return libc.syscall(libc.number_of("bpf"), BPF_PROG_GET_FD_BY_ID, attributes, len(attributes))


def is_ours(prog_fd: int) -> bool:
    """Tell whether a program has the name that load_device_program gives: BPF_OBJ_GET_INFO_BY_FD.

    systemd attaches device programs of its own to the same cgroups. Raises OSError.
    """
    info = bytearray(_INFO_SIZE)
    _bpf(BPF_OBJ_GET_INFO_BY_FD, "=IIQ", prog_fd, len(info), libc.address_of(info))
    return info[_NAME_AT:].rstrip(b"\0") == _NAME


def _bpf(command: int, layout: str, *values: int) -> bytearray:
    """Call bpf(2) and return the attributes, into which the kernel writes its answers."""
    attributes = bytearray(_struct.pack(layout, *values))
    libc.syscall(libc.number_of("bpf"), command, attributes, len(attributes))
    return attributes


def _load(program: bytes, log: bytearray) -> int:
    code, license_ = bytearray(program), bytearray(_LICENSE)
    # prog_type insn_cnt insns license, log_level log_size log_buf, kern_version prog_flags prog_name
    # ifindex attach_type
    attributes = bytearray(
        _struct.pack(
            "=IIQQIIQII16sII",
            BPF_PROG_TYPE_CGROUP_DEVICE,
            len(program) // INSTRUCTION_SIZE,
            libc.address_of(code),
            libc.address_of(license_),
            1 if log else 0,
            len(log),
            libc.address_of(log) if log else 0,
            0,
            0,
            _NAME,
            0,
            BPF_CGROUP_DEVICE,
        )
    )
    return libc.syscall(libc.number_of("bpf"), BPF_PROG_LOAD, attributes, len(attributes))
