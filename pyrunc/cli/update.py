"""pyrunc update: change the limits of a running container."""

from __future__ import annotations

import posix

from pyrunc.cli import Context
from pyrunc.errors import ConfigError, UsageError, reason
from pyrunc.host.update import update
from pyrunc.jsontext import dump
from pyrunc.record import Record
from pyrunc.spec.linux import IntelRdt, Linux
from pyrunc.spec.linux_rules import mem_bw_schema_is_a_line, schemata_are_lines
from pyrunc.spec.load import parse_resources
from pyrunc.state.store import open_entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cli.arguments import Arguments
    from pyrunc.spec.resources import Resources

_STDIN = 0
_CHUNK = 65536


class Limit(Record):
    """Where a flag's value goes in linux.resources, and how it is written: "size", "number" or "text"."""

    member: str
    kind: str


FLAGS = {
    "blkio-weight": Limit("blockIO.weight", "number"),
    "cpu-period": Limit("cpu.period", "number"),
    "cpu-quota": Limit("cpu.quota", "number"),
    "cpu-burst": Limit("cpu.burst", "number"),
    "cpu-share": Limit("cpu.shares", "number"),
    "cpu-idle": Limit("cpu.idle", "number"),
    "cpu-rt-period": Limit("cpu.realtimePeriod", "number"),
    "cpu-rt-runtime": Limit("cpu.realtimeRuntime", "number"),
    "cpuset-cpus": Limit("cpu.cpus", "text"),
    "cpuset-mems": Limit("cpu.mems", "text"),
    "memory": Limit("memory.limit", "size"),
    "memory-reservation": Limit("memory.reservation", "size"),
    "memory-swap": Limit("memory.swap", "size"),
    "pids-limit": Limit("pids.limit", "number"),
}
_WITHOUT_EFFECT = ("kernel-memory", "kernel-memory-tcp")


def main(context: Context, arguments: Arguments) -> int:
    """Change limits: those of a JSON document, or those that flags name."""
    source = arguments.text("resources")
    if source:
        for name in FLAGS:
            if name in arguments.flags:
                context.log.warning(f"--{name} is not looked at together with --resources")
        resources = parse_resources(_read(source), "standard input" if source == "-" else source)
    else:
        resources = _of_flags(arguments)
    for name in _WITHOUT_EFFECT:
        if name in arguments.flags:
            context.log.warning(f"--{name} has no effect: kernels count this memory into the limit")
    with open_entry(context.root, arguments.positional[0]) as entry:
        update(entry, resources, _rdt_of_flags(arguments))
    return 0


def _rdt_of_flags(arguments: Arguments) -> IntelRdt | None:
    """Return what resctrl is to be told, judged as linux.intelRdt of config.json is. Raises ConfigError."""
    l3, bandwidth = (arguments.text(name) or None for name in ("l3-cache-schema", "mem-bw-schema"))
    rdt = IntelRdt(None, arguments.texts("schemata"), l3, bandwidth)
    problems = (*schemata_are_lines(Linux(intel_rdt=rdt)), *mem_bw_schema_is_a_line(Linux(intel_rdt=rdt)))
    if problems:
        raise ConfigError("the flags", problems)
    return rdt if rdt != IntelRdt() else None


def _of_flags(arguments: Arguments) -> Resources:
    """Make of the flags the document that they stand for, so that both are judged alike."""
    document: dict[str, dict[str, object]] = {}
    for name, limit in FLAGS.items():
        text = arguments.text(name)
        if text:  # runc takes an empty value for an absent one, and has callers
            chapter, _, member = limit.member.partition(".")
            document.setdefault(chapter, {})[member] = _value(arguments, name, limit)
    return parse_resources(dump(document), "the flags")


def _value(arguments: Arguments, name: str, limit: Limit) -> object:
    if limit.kind == "size":
        return arguments.size(name)
    text = arguments.text(name)
    if limit.kind == "text":
        return text
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 32):
        raise UsageError(f"--{name} needs a number, not {text!r}")
    return int(text)


def _read(source: str) -> str:
    try:
        fd = _STDIN if source == "-" else posix.open(source, posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            text = b"".join(iter(lambda: posix.read(fd, _CHUNK), b""))
        finally:
            if fd != _STDIN:
                posix.close(fd)
        return text.decode()
    except OSError as err:
        raise UsageError(f"--resources: cannot read {source}: {reason(err)}") from err
    except UnicodeDecodeError as err:
        raise UsageError(f"--resources: {source} is not UTF-8 (byte {err.start} is not)") from err
