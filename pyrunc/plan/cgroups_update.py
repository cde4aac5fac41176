"""New limits for a container that runs: what they leave out is what holds, and the order of writing is what it takes.

Pure: the values that hold now come as text, by the names of their files. Between one write and the next the kernel
demands the same as at the end (memory <= memory and swap together, burst <= quota, quota/period within the parent's),
so which of two goes first depends on whether they rise or fall.
"""

from __future__ import annotations

from pyrunc.errors import ConfigError, SpecError
from pyrunc.plan.cgroups_devices import devices_v1, fold
from pyrunc.plan.steps_cgroups import DeviceRule, Write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.spec.resources import CPU, Memory, Resources

WHERE = ".linux.resources"
# The files whose present values decide.
PRESENT = (
    *("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.max", "memory.swap.max"),
    *("cpu.cfs_period_us", "cpu.cfs_burst_us", "cpu.rt_period_us", "cpu.max", "cpu.max.burst"),
)
_UNLIMITED = 1 << 62  # v1 says LONG_MAX, rounded down to whole pages


def complete(resources: Resources, present: dict[str, str]) -> Resources:
    """Fill in what the kernel, or the conversion to v2, needs to know besides what is to be changed.

    Raises ConfigError where a change contradicts what holds.
    """
    problems: list[SpecError] = []
    memory, cpu = resources.memory, resources.cpu
    if memory is not None:
        memory = _complete_memory(memory, present, problems)
    if cpu is not None and "cpu.max" in present:
        cpu = _complete_cpu(cpu, present["cpu.max"])
    if problems:
        raise ConfigError("resources", tuple(problems))
    return resources.but(memory=memory, cpu=cpu)


def _complete_memory(memory: Memory, present: dict[str, str], problems: list[SpecError]) -> Memory:
    """`swap` counts memory as well, so one of the two alone leaves open what the other is."""
    limit, swap = memory.limit or 0, memory.swap or 0
    now = _number(present.get("memory.limit_in_bytes", present.get("memory.max", "")))
    if swap > 0 and not limit:
        return memory.but(limit=now)
    if limit <= 0 or swap:
        return memory
    total = _number(present.get("memory.memsw.limit_in_bytes", ""))
    swap_now = _number(present.get("memory.swap.max", ""))
    if now is not None and swap_now is not None:
        total = now + swap_now
        memory = memory.but(swap=total)
    if total is not None and limit > total:
        problem = f"is more than the present limit of memory and swap together, {total}"
        problems.append(SpecError(f"{WHERE}.memory.limit", problem, hint="change swap as well"))
    return memory


def _complete_cpu(cpu: CPU, maximum: str) -> CPU:
    """Quota and period are one file in v2."""
    quota, _, period = maximum.strip().partition(" ")
    if cpu.quota and not cpu.period:
        return cpu.but(period=_number(period))
    if cpu.period and not cpu.quota:
        return cpu.but(quota=-1 if quota == "max" else _number(quota))
    return cpu


def _number(text: str) -> int | None:
    """Return a limit, None for none."""
    text = text.strip()
    number = int(text) if text.isascii() and text.isdigit() else None
    return number if number is not None and number < _UNLIMITED else None


def ordered(writes: tuple[Write, ...], present: dict[str, str]) -> tuple[Write, ...]:
    """Return the writes in an order that leads from what holds to what is wanted, by way of nothing impossible."""
    found = list(writes)
    if _rises("memory.memsw.limit_in_bytes", found, present):
        _put_before(found, "memory.memsw.limit_in_bytes", ("memory.limit_in_bytes",))
    for period, quota in (("cpu.cfs_period_us", "cpu.cfs_quota_us"), ("cpu.rt_period_us", "cpu.rt_runtime_us")):
        # A shorter period first would make a larger share of the cpu than either before or after.
        if _falls(period, found, present):
            _put_before(found, quota, (period,))
    for burst in ("cpu.cfs_burst_us", "cpu.max.burst"):
        if _falls(burst, found, present):
            _put_before(found, burst, ("cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.max"))
    return tuple(found)


def _name(write: Write) -> str:
    return write.path.rpartition("/")[2]


def _wanted(name: str, writes: list[Write]) -> str:
    return next((write.value for write in writes if _name(write) == name), "")


def _rises(name: str, writes: list[Write], present: dict[str, str]) -> bool:
    wanted = _wanted(name, writes)
    if not wanted:
        return False
    new, now = _number(wanted), _number(present.get(name, ""))
    return now is not None and (new is None or new > now)


def _falls(name: str, writes: list[Write], present: dict[str, str]) -> bool:
    new, now = _number(_wanted(name, writes)), _number(present.get(name, ""))
    return new is not None and now is not None and new < now


def _put_before(writes: list[Write], name: str, others: tuple[str, ...]) -> None:
    places = [index for index, write in enumerate(writes) if _name(write) in others]
    moved = [write for write in writes if _name(write) == name]
    if places and moved:
        first = writes[places[0]]
        rest = [write for write in writes if _name(write) != name]
        at = rest.index(first)
        writes[:] = [*rest[:at], *moved, *rest[at:]]


def change_devices_v1(
    leaf: str, old: tuple[DeviceRule, ...], new: tuple[DeviceRule, ...], anew: bool = False
) -> tuple[tuple[Write, ...], tuple[Write, ...]]:
    """Return what makes the new rules hold where the old ones do, and what undoes it.

    Only what differs is written: a list made `anew` would for a moment deny the container /dev/null, and forget the
    devices that others allowed it (a GPU's hook). Raises ConfigError with what v1 cannot express.
    """
    default, exceptions, problems = fold(new)
    if problems:
        raise ConfigError("resources", problems)
    old_default, old_exceptions, _ = fold(old)
    if anew or default != old_default:
        return _anew(leaf, new), _anew(leaf, old)
    added = tuple(_without(exceptions, old_exceptions))
    removed = tuple(_without(old_exceptions, exceptions))
    to_add, to_remove = ("deny", "allow") if default else ("allow", "deny")
    forward = [*_lines(leaf, to_add, added), *_lines(leaf, to_remove, removed)]
    backward = [*_lines(leaf, to_add, removed), *_lines(leaf, to_remove, added)]
    return tuple(forward), tuple(backward)


def _anew(leaf: str, rules: tuple[DeviceRule, ...]) -> tuple[Write, ...]:
    return tuple(each for each in devices_v1(leaf, rules) if isinstance(each, Write))


def _lines(leaf: str, file: str, rules: tuple[DeviceRule, ...]) -> Iterator[Write]:
    for rule in rules:
        yield Write(f"{leaf}/devices.{file}", rule.match, rule.where)


def _without(rules: tuple[DeviceRule, ...], others: tuple[DeviceRule, ...]) -> Iterator[DeviceRule]:
    """Yield the rules less the accesses that others about the very same devices have: the kernel compares so, too."""
    known = {(other.type, other.major, other.minor): other.access for other in others}
    for rule in rules:
        access = "".join(sorted(set(rule.access) - set(known.get((rule.type, rule.major, rule.minor), ""))))
        if access:
            yield rule.but(access=access)


def rules_text(rules: tuple[DeviceRule, ...]) -> tuple[str, ...]:
    """Return rules as they are remembered: "allow c 1:3 rwm"."""
    return tuple(rule.describe() for rule in rules)


def rules_of_text(lines: tuple[str, ...]) -> tuple[DeviceRule, ...]:
    """Read back what rules_text wrote. Raises ValueError."""
    rules = []
    for line in lines:
        verdict, kind, place, access = line.split(" ")
        major, _, minor = place.partition(":")
        first, second = (None if each == "*" else int(each) for each in (major, minor))
        rules.append(DeviceRule(verdict == "allow", kind, first, second, access))
    return tuple(rules)
