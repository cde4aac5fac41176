"""linux.resources.devices -> what the kernel is told about devices, in either cgroup version.

Pure. v1 keeps a default and a list of exceptions; v2 runs an eBPF program made of the rules in their order.
"""

from __future__ import annotations

from pyrunc.errors import SpecError
from pyrunc.plan.steps_cgroups import DeviceRule, Write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.spec.resources import DeviceCgroup

    Key = tuple[str, int | None, int | None]

WHERE = ".linux.resources.devices"

# Every container gets these after the rules of its config, as with runc: the default devices of
# config-linux.md, terminals, tun, and the right to make any node (which does not open it). Only where rules
# take something out of everything they are not added: that would give it back.
ALWAYS_ALLOWED = (
    DeviceRule(True, "c", None, None, "m"),
    DeviceRule(True, "b", None, None, "m"),
    DeviceRule(True, "c", 1, 3, "rwm"),
    DeviceRule(True, "c", 1, 5, "rwm"),
    DeviceRule(True, "c", 1, 7, "rwm"),
    DeviceRule(True, "c", 1, 8, "rwm"),
    DeviceRule(True, "c", 1, 9, "rwm"),
    DeviceRule(True, "c", 5, 0, "rwm"),
    DeviceRule(True, "c", 5, 1, "rwm"),
    DeviceRule(True, "c", 5, 2, "rwm"),
    DeviceRule(True, "c", 10, 200, "rwm"),
    DeviceRule(True, "c", 136, None, "rwm"),
)


def read_rules(entries: tuple[DeviceCgroup, ...]) -> tuple[tuple[DeviceRule, ...], tuple[SpecError, ...]]:
    """Return the container's rules with all defaults filled in, and what is wrong with the entries.

    config-linux.md#allowed-device-list: rules apply in order. GHSA-g54h-m393-cpwq: they start from "deny
    everything", whether or not the first entry says so; that start is not among the rules.
    """
    rules: list[DeviceRule] = []
    problems: list[SpecError] = []
    for index, entry in enumerate(entries):
        where = f"{WHERE}[{index}]"
        problems += _number_problems(entry, where)
        rules.append(_rule(entry, where))
    resets = [rule.allow for rule in rules if is_everything(rule)]
    more = () if resets and resets[-1] else ALWAYS_ALLOWED
    return (*rules, *more), tuple(problems)


def _number_problems(entry: DeviceCgroup, where: str) -> Iterator[SpecError]:
    for name, number in (("major", entry.major), ("minor", entry.minor)):
        if number is not None and not -1 <= number < 1 << 32:
            yield SpecError(f"{where}.{name}", "must be a device number")


def _rule(entry: DeviceCgroup, where: str) -> DeviceRule:
    # Engines that cannot leave a number out write -1. Unset access is all of it, as unset numbers are.
    major, minor = (None if number == -1 else number for number in (entry.major, entry.minor))
    return DeviceRule(entry.allow, entry.type or "a", major, minor, _ordered(entry.access or "rwm"), where)


def is_everything(rule: DeviceRule) -> bool:
    """Tell a rule that resets the list from one about some devices: only this may be written as "a".

    The v1 kernel reads nothing after an "a", so "a 10:229 rwm" would allow every device.
    """
    return rule.type == "a" and rule.major is None and rule.minor is None and rule.access == "rwm"


def program_rules(rules: tuple[DeviceRule, ...]) -> tuple[DeviceRule, ...] | None:
    """Return the rules for v2's program, without those that a later one about everything makes void.

    None where all is allowed in the end, and no program is needed.
    """
    start, all_allowed = 0, False
    for index, rule in enumerate(rules):
        if is_everything(rule):
            start, all_allowed = index, rule.allow
    if all_allowed and all(rule.allow for rule in rules[start:]):
        return None
    # The program denies by itself what no rule speaks of.
    return rules[start:] if all_allowed else tuple(rule for rule in rules[start:] if not is_everything(rule))


def devices_v1(leaf: str, rules: tuple[DeviceRule, ...]) -> Iterator[Write | SpecError]:
    """Boil the rules down to a default and exceptions, then write those: all that the v1 kernel keeps.

    It drops without a word a later rule that takes a part out of an exception: after "allow c *:* rwm" and
    "deny c 10:200 rwm" device 10:200 is open. Such a pair is an error here.
    """
    default, exceptions, problems = fold(rules)
    yield from problems
    resets = [rule.where for rule in rules if is_everything(rule)]
    yield Write(f"{leaf}/devices.{'allow' if default else 'deny'}", "a", resets[-1] if resets else WHERE)
    file = f"{leaf}/devices.{'deny' if default else 'allow'}"
    for rule in exceptions:
        yield Write(file, rule.match, rule.where)


def fold(rules: tuple[DeviceRule, ...]) -> tuple[bool, tuple[DeviceRule, ...], tuple[SpecError, ...]]:
    """Return the default (true: allow), the exceptions from it, and the rules that cannot be told that way."""
    default = False
    exceptions: dict[Key, DeviceRule] = {}
    problems: list[SpecError] = []
    for rule in rules:
        if is_everything(rule):
            default = rule.allow
            exceptions.clear()
            continue
        for kind in "cb" if rule.type == "a" else rule.type:
            if rule.allow == default:
                problems += _take_out(exceptions, rule.but(type=kind))
            else:
                _add(exceptions, rule, (kind, rule.major, rule.minor))
    return default, tuple(exceptions.values()), tuple(problems)


def _add(exceptions: dict[Key, DeviceRule], rule: DeviceRule, key: Key) -> None:
    earlier = exceptions.get(key)
    if earlier is not None:
        exceptions[key] = rule.but(type=key[0], access=_ordered(rule.access + earlier.access))
    else:
        exceptions[key] = rule if rule.type == key[0] else rule.but(type=key[0])


def _take_out(exceptions: dict[Key, DeviceRule], rule: DeviceRule) -> Iterator[SpecError]:
    for key, exception in tuple(exceptions.items()):
        if not _overlap(rule, exception):
            continue
        if rule.major in (None, exception.major) and rule.minor in (None, exception.minor):
            access = _ordered(set(exception.access) - set(rule.access))
            if access:
                exceptions[key] = exception.but(access=access)
            else:
                del exceptions[key]
        else:
            problem = f"cgroup v1 cannot {rule.describe()} within {exception.describe()}"
            yield SpecError(rule.where, problem, hint="name the devices of the wider rule one by one")


def _overlap(rule: DeviceRule, other: DeviceRule) -> bool:
    numbers = ((rule.major, other.major), (rule.minor, other.minor))
    same = all(None in pair or pair[0] == pair[1] for pair in numbers)
    return rule.type == other.type and same and bool(set(rule.access) & set(other.access))


def _ordered(letters: str | set[str]) -> str:
    return "".join(letter for letter in "rwm" if letter in letters)
