"""What is written into cgroup files -> the properties by which systemd knows it (systemd.resource-control(5)).

Pure. It starts from the planned writes, not from config.json, so that all that is converted, defaulted or overridden
by `unified` on the way is said to systemd as it is written. What systemd has no property for stays with the file.
"""

from __future__ import annotations

from pyrunc.plan.cgroups_devices import fold
from pyrunc.plan.steps_cgroups import DeviceRule
from pyrunc.spec.read import number_ranges

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from pyrunc.plan.steps_cgroups import CgroupPlan, Write

    Property = tuple[str, str, Any]

INFINITY = (1 << 64) - 1
_SECOND = 1_000_000
_USUAL_PERIOD = 100_000  # microseconds; systemd's and the kernel's
_QUOTA_STEP = 10_000  # systemd writes quotas to its unit files in whole percent of a cpu

# Since these versions systemd has the property, or takes such a value (its NEWS).
_IDLE = 252
_PERIOD = 242
_CPUSET = 244
_OOM_POLICY = 253
_DEVICE_NUMBERS = 240


def resource_properties(writes: Iterable[Write], version: int) -> tuple[Property, ...]:
    """Return the properties for planned writes; of two writes to one file the later counts, as in the kernel."""
    files: dict[str, str] = {}
    for write in writes:
        file = write.path.rpartition("/")[2]
        if file == "io.bfq.weight" and write.otherwise:
            file, value = "io.weight", write.otherwise.value
        else:
            value = write.value
        if file != "io.weight" or ":" not in value:  # the weight of one device is left to the file
            files[file] = value
    found: dict[str, Property] = {}
    for file, value in files.items():
        since, convert = _FILES.get(file, (0, None))
        if convert is not None and version >= since:
            found |= {name: (name, kind, each) for name, kind, each in convert(value)}
    found |= {each[0]: each for each in _quota(files, version)}
    return tuple(found.values())


def _number(name: str, least: int = 0, most: int = INFINITY) -> Callable[[str], Iterator[Property]]:
    """Make a converter of a number or "max"; what systemd would refuse is left to the file."""

    def convert(value: str) -> Iterator[Property]:
        text = value.strip().removeprefix("default ")
        number = INFINITY if text in ("max", "-1") else int(text) if text.isascii() and text.isdigit() else -1
        if least <= number <= most:
            yield name, "t", number

    return convert


def _tasks(value: str) -> Iterator[Property]:
    # systemd refuses 0. A process that cannot fork is alone either way.
    yield from _number("TasksMax", 1)("1" if value == "0" else value)


def _idle(value: str) -> Iterator[Property]:
    if value.strip() == "1":
        yield "CPUWeight", "t", 0


def _oom_policy(value: str) -> Iterator[Property]:
    if value.strip() in ("0", "1"):
        yield "OOMPolicy", "s", "kill" if value.strip() == "1" else "continue"


def _bits(name: str) -> Callable[[str], Iterator[Property]]:
    """Make a converter of a list such as 0-3,7 to a bit mask, the lowest byte first."""

    def convert(value: str) -> Iterator[Property]:
        ranges = number_ranges(value)
        if ranges:
            mask = 0
            for each in ranges:
                mask |= ((1 << each.stop) - 1) & ~((1 << each.start) - 1)
            yield name, "ay", mask.to_bytes((mask.bit_length() + 7) // 8, "little")

    return convert


_WEIGHT = (1, 10000)
# File: the first version of systemd that has the property, and what makes it of the value.
_FILES: dict[str, tuple[int, Callable[[str], Iterator[Property]]]] = {
    # cgroup v2
    "memory.max": (0, _number("MemoryMax", 1)),
    "memory.high": (0, _number("MemoryHigh", 1)),
    "memory.low": (0, _number("MemoryLow")),
    "memory.min": (0, _number("MemoryMin")),
    "memory.swap.max": (0, _number("MemorySwapMax")),
    "memory.zswap.max": (253, _number("MemoryZSwapMax")),
    "memory.oom.group": (_OOM_POLICY, _oom_policy),
    "cpu.weight": (0, _number("CPUWeight", *_WEIGHT)),
    "cpu.idle": (_IDLE, _idle),
    "io.weight": (0, _number("IOWeight", *_WEIGHT)),
    "cpuset.cpus": (_CPUSET, _bits("AllowedCPUs")),
    "cpuset.mems": (_CPUSET, _bits("AllowedMemoryNodes")),
    # both
    "pids.max": (0, _tasks),
    # cgroup v1
    "memory.limit_in_bytes": (0, _number("MemoryLimit", 1)),
    "cpu.shares": (0, _number("CPUShares", 2, 262144)),
    "blkio.weight": (0, _number("BlockIOWeight", 10, 1000)),
}


def _quota(files: dict[str, str], version: int) -> Iterator[Property]:
    """cpu.max of v2 has quota and period in one file, v1 in two; systemd has time per second, and the period."""
    quota, _, period = files.get("cpu.max", "").partition(" ")
    quota = quota or files.get("cpu.cfs_quota_us", "")
    period = period.strip() or files.get("cpu.cfs_period_us", "")
    if not quota and not period:
        return
    if period.isdigit() and version >= _PERIOD:
        yield "CPUQuotaPeriodUSec", "t", int(period)
    if quota.isdigit():
        share = int(quota) * _SECOND // max(1, int(period) if period.isdigit() else _USUAL_PERIOD)
        yield "CPUQuotaPerSecUSec", "t", max(1, -(-share // _QUOTA_STEP)) * _QUOTA_STEP
    else:
        yield "CPUQuotaPerSecUSec", "t", INFINITY


def device_properties(cgroup: CgroupPlan, version: int) -> tuple[Property, ...]:
    """Return DevicePolicy and DeviceAllow for what the plan lets be used; nothing where it lets everything.

    What systemd allows may be more than the rules do, never less: on v2 its program and ours have both to agree, and
    on v1 the files are written after it. They are set at all because on v1 systemd writes its own list again at
    every `daemon-reload`, which without them would be "all devices".
    """
    rules = cgroup.device_rules if cgroup.device_rules is not None else _v1_rules(cgroup.writes)
    if not rules:
        return ()
    everything, exceptions, _ = fold(rules)
    if everything:
        return (("DevicePolicy", "s", "auto"), ("DeviceAllow", "a(ss)", []))
    if version < _DEVICE_NUMBERS and cgroup.device_rules is not None:
        return ()  # it could not be told of devices by their numbers, and would refuse them
    allowed = [(_device(rule, version), rule.access) for rule in exceptions]
    named = [(name, access) for name, access in allowed if name]
    return (("DevicePolicy", "s", "strict"), ("DeviceAllow", "a(ss)", named))


def _v1_rules(writes: tuple[Write, ...]) -> tuple[DeviceRule, ...]:
    """Read the rules back from what is written to devices.allow and devices.deny."""
    rules = []
    for write in writes:
        _, _, file = write.path.rpartition("/")
        if file in ("devices.allow", "devices.deny"):
            kind, _, rest = write.value.partition(" ")
            numbers, _, access = rest.partition(" ")
            major, _, minor = (numbers or "*:*").partition(":")
            rules.append(
                DeviceRule(
                    file == "devices.allow",
                    kind,
                    None if major == "*" else int(major),
                    None if minor == "*" else int(minor),
                    access or "rwm",
                )
            )
    return tuple(rules)


def _device(rule: DeviceRule, version: int) -> str:
    """Return the devices of a rule in the words of systemd.resource-control(5), "DeviceAllow="."""
    kind = {"b": "block", "c": "char"}[rule.type]
    if rule.major is None:
        return f"{kind}-*"
    if rule.minor is not None:
        return f"/dev/{kind}/{rule.major}:{rule.minor}"
    if version >= _DEVICE_NUMBERS:
        return f"{kind}-{rule.major}"
    return "char-pts" if (kind, rule.major) == ("char", 136) else ""
