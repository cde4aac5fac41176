"""Everything that is wrong with a config.json, at once: what `check` prints, and create when it refuses.

An error is what create would refuse, found by the readers, rules and plans that create uses. They stop early:
no plan is made of a document that cannot be read. So here what is wrong is mended or taken out, and the rest is
looked at again. What differs from our schema besides, and what the spec only advises, is a warning.
"""

from __future__ import annotations

import posix

from pyrunc.errors import ConfigError, PyruncError, SpecError
from pyrunc.host import schema
from pyrunc.jsontext import dump
from pyrunc.jsontext import parse as parse_json
from pyrunc.kernel import flags
from pyrunc.plan.facts import CgroupLayout, Facts, Hierarchy
from pyrunc.plan.make import Request, make_plan
from pyrunc.record import Record
from pyrunc.spec.load import parse, read_text
from pyrunc.spec.read import member_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pyrunc.host.schema import Key, Schema
    from pyrunc.spec.config import Spec

_ROUNDS = 16
_V1 = "blkio cpu cpuacct cpuset devices freezer hugetlb memory net_cls net_prio pids rdma".split()
_V2 = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc")
# A config is right by itself if some host could run it: one of these two.
GENEROUS = (
    Facts(layout=CgroupLayout(tuple(Hierarchy(f"/sys/fs/cgroup/{name}", 1, (name,)) for name in _V1))),
    Facts(layout=CgroupLayout((Hierarchy("/sys/fs/cgroup", 2, _V2),))),
)


class Finding(Record):
    """One problem: where, what is wrong, what is allowed there (may be empty) and the chapter of the spec."""

    path: str
    problem: str
    allowed: str
    section: str

    def describe(self) -> str:
        """Say it in one line, as `check` and create print it."""
        return f"{self.path}: {self.problem} ({self.section})" if self.section else f"{self.path}: {self.problem}"


class Report(Record):
    """All that is wrong, and all that is odd, with one file."""

    file: str
    errors: tuple[Finding, ...]
    warnings: tuple[Finding, ...]


def examine(request: Request, host: bool, warn: bool = True) -> Report:
    """Check the config.json of a bundle, with `host` also against this host; without `warn` for errors only.

    Raises StateError where the schema is not installed.
    """
    file = f"{request.bundle}/config.json"
    try:
        text = read_text(file)
        document = parse_json(text)
    except (ConfigError, ValueError) as err:
        # parse() has the words for what is not JSON.
        problems = err.problems if isinstance(err, ConfigError) else _refusal(text, file)
        return Report(file, _findings(schema.load("config"), problems), ())
    try:
        return report_on(document, request, file, host, warn)
    except RecursionError:
        # The reader leaves alone what it does not know, however deep; here all of it is walked.
        return Report(file, _findings(schema.load("config"), (SpecError(".", "is nested too deeply"),)), ())


def report_on(document: object, request: Request, file: str, host: bool, warn: bool = True) -> Report:
    """Check a parsed document; `file` is only named."""
    config = schema.load("config")
    if not isinstance(document, dict):
        return Report(file, _findings(config, _refusal(dump(document), file)), ())
    errors, mended, spec = read_all(config, document, file)
    warnings: list[SpecError] = []
    if warn:
        warnings += [*_differences(config, document, errors), *_oddities(config, config.root, document, ())]
    if spec is not None:
        errors += _news(_plan_problems(config, mended, request, host), errors)
        warnings += _advice(spec)
        if host:
            from pyrunc.host.abilities import inabilities

            for serious, problem in inabilities(spec, request.bundle):
                (errors if serious else warnings).extend(_news([problem], errors))
    return Report(file, _findings(config, errors), _findings(config, warnings))


def in_full(refused: ConfigError, request: Request) -> ConfigError:
    """Return create's refusal with all that `check --host` finds in the same file, each with its chapter."""
    try:
        report = examine(request, host=True, warn=False)  # jsonschema alone takes 80 ms
    except (PyruncError, OSError):
        return refused
    known = {each.path for each in report.errors}
    if not {problem.path for problem in refused.problems} <= known:
        return refused  # the file was changed meanwhile
    problems = [SpecError(each.path, each.describe().removeprefix(f"{each.path}: ")) for each in report.errors]
    return ConfigError(refused.file, tuple(problems))


def _findings(config: Schema, problems: list[SpecError] | tuple[SpecError, ...]) -> tuple[Finding, ...]:
    findings = []
    for each in problems:
        place = config.at(each.path)
        problem = f"{each.problem}, {each.hint}" if each.hint else each.problem
        section = place.section if each.path != "." else "bundle.md"
        findings.append(Finding(each.path, problem, place.allowed if each.path != "." else "", section))
    return tuple(findings)


def _refusal(text: str, file: str) -> tuple[SpecError, ...]:
    try:
        parse(text, file)
    except ConfigError as err:
        return err.problems
    return ()


def read_all(config: Schema, document: dict[str, Any], file: str) -> tuple[list[SpecError], Any, Spec | None]:
    """Read a document as create does, and then again without the parts that were wrong.

    Returns every problem, the mended document and its configuration; None where nothing can be made of it.
    """
    problems: list[SpecError] = []
    mended = parse_json(dump(document))
    touched: set[str] = set()
    for _ in range(_ROUNDS):
        try:
            return problems, mended, parse(dump(mended), file)
        except ConfigError as err:
            problems += _news(_own(err.problems, touched), problems)
            for problem in err.problems:
                _mend(config, mended, schema.keys_of(problem.path), again=problem.path in touched)
            touched |= {problem.path for problem in err.problems}
    return problems, mended, None


def plan_all(config: Schema, document: Any, request: Request, facts: Facts) -> list[SpecError]:
    """Return what no plan can be made of: a plan stops at the first, so it is taken out and planning goes on."""
    problems: list[SpecError] = []
    mended = parse_json(dump(document))
    touched: set[str] = set()
    for _ in range(_ROUNDS):
        try:
            spec = parse(dump(mended), "config.json")
        except ConfigError:
            return problems  # only because of what was taken out
        try:
            make_plan(spec, request, facts)
        except ConfigError as err:
            problems += _news(_own(err.problems, touched), problems)
            for problem in err.problems:
                keys = _item(schema.keys_of(problem.path))
                _mend(config, mended, keys, again=schema.path_of(keys) in touched)
                touched.add(schema.path_of(keys))
        else:
            break
    return problems


def _item(keys: tuple[Key, ...]) -> tuple[Key, ...]:
    """Return the innermost array item on the way: what is wrong about one member is a matter of all of it."""
    ends = [end for end, key in enumerate(keys, 1) if isinstance(key, int)]
    return keys[: ends[-1]] if ends else keys


def _own(problems: tuple[SpecError, ...], touched: set[str]) -> list[SpecError]:
    """Leave out what contradicts something that we put in ourselves: that is not the user's doing."""
    return [
        each
        for each in problems
        if not any(_within(path, each.path) or _within(each.path, path) for path in touched)
    ]


def _news(found: tuple[SpecError, ...] | list[SpecError], known: list[SpecError]) -> list[SpecError]:
    """Leave out what is said already, of the same place or of what is around it."""
    return [each for each in found if not any(_within(each.path, other.path) for other in known)]


def _within(inner: str, outer: str) -> bool:
    return inner == outer or inner.startswith((f"{outer}.", f"{outer}["))


def _mend(config: Schema, document: Any, keys: tuple[Key, ...], again: bool) -> None:
    """Take out a value that is wrong, put in one that is missing; the second time take out what is around it."""
    if again:
        keys = keys[:-1] or keys
    holder, key = _holder(document, keys)
    if holder is None or key is None:
        return
    at = schema.path_of(keys)
    absent = isinstance(holder, dict) and key not in holder
    # An item of an array is replaced too: its neighbours' numbers must stay what the user sees.
    needed = absent or isinstance(holder, list) or config.requires(at)
    holder[key] = config.example(at) if needed else None


def _holder(document: Any, keys: tuple[Key, ...]) -> tuple[Any, Key | None]:
    """Return the object or array that has the last key; None where there is none."""
    if not keys:
        return None, None
    for key in keys[:-1]:
        try:
            document = document[key]
        except (KeyError, IndexError, TypeError):
            return None, None
    fits = isinstance(document, dict) or (isinstance(document, list) and keys[-1] in range(len(document)))
    return (document, keys[-1]) if fits else (None, None)


def _plan_problems(config: Schema, document: Any, request: Request, host: bool) -> list[SpecError]:
    """Return what cannot be carried out: here, or without `host` on the host that suits it best."""
    if host:
        from pyrunc.host.facts import look

        return plan_all(config, document, request, look())
    return min((plan_all(config, document, request, facts) for facts in GENEROUS), key=len)


def _differences(config: Schema, document: object, errors: list[SpecError]) -> list[SpecError]:
    """Return what breaks the schema although create does not mind: null, and what other platforms read."""
    found: list[SpecError] = []
    try:
        for each in schema.violations(config, document):
            if any(_within(each.path, other.path) or _within(other.path, each.path) for other in errors):
                continue
            null = each.problem.endswith(", not null")
            found.append(SpecError(each.path, "is null, which is taken as absent") if null else each)
    except ImportError:
        found.append(SpecError(".", "was not held against the schema: jsonschema is not installed"))
    return found


def _oddities(config: Schema, node: dict[str, Any], value: object, at: tuple[Key, ...]) -> Iterator[SpecError]:
    """Yield members that the spec does not have: they are ignored, and often misspelt."""
    if node.get("description") == "not read by pyrunc":
        yield SpecError(schema.path_of(at), "is for another platform, and not read")
        return
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        if isinstance(value, dict) and not config.knows(node, key):
            yield SpecError(schema.path_of((*at, key)), "is not a property of the spec, and ignored")
        else:
            yield from _oddities(config, config.member(node, key), inner, (*at, key))


def _advice(spec: Spec) -> Iterator[SpecError]:
    """Yield where the spec says SHOULD, and where it says MUST but a runtime goes on with a warning."""
    for i, mount in enumerate(spec.mounts):
        if mount.destination and not mount.destination.startswith("/"):
            yield SpecError(f".mounts[{i}].destination", "should be absolute, and is taken relative to /")
        if mount.uid_mappings and not {"idmap", "ridmap"} & set(mount.options):
            yield SpecError(f".mounts[{i}].options", "should have idmap or ridmap along with the mappings")
    if spec.hooks is not None and spec.hooks.prestart:
        yield SpecError(".hooks.prestart", "is deprecated: createRuntime, createContainer or startContainer")
    if spec.process is not None and spec.process.capabilities is not None:
        for name, each in spec.process.capabilities.__dict__.items():
            for i, capability in enumerate(each):
                if capability not in flags.CAPABILITIES:
                    at = f"{member_path('.process.capabilities', name)}[{i}]"
                    yield SpecError(at, f"{capability} is not a capability, and is left out")


def working_request() -> Request:
    """Return the request of a container in the working directory, of which the id does not matter."""
    return Request("check", posix.getcwd())
