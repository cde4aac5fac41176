"""Whatever a config.json has become, reading and planning it ends in a plan or in a refusal that names a place.

Two kinds of mutation, both from a seed: those that make any nonsense, most of which the reader refuses, and those
that stay near what is right, most of which reach the planner.
"""

from __future__ import annotations

import copy
import json
import random
import time
from typing import Any

import pytest

from pyrunc.errors import ConfigError
from pyrunc.host.check import GENEROUS, report_on
from pyrunc.plan.facts import CgroupLayout, Facts
from pyrunc.plan.make import Request, make_plan
from pyrunc.plan.steps import Plan
from pyrunc.spec.load import parse
from tests.unit.oci_spec.oci_documents import ours as schema_of
from tests.unit.oci_spec.oci_documents import places
from tests.unit.spec.spec_documents import full, small

WANTED = 20_000
SECONDS = 40.0
REPORTS = 300
REQUEST = Request("fuzz", "/bundle")
HOSTS = (*GENEROUS, Facts(), Facts(layout=CgroupLayout(), privileged=False, in_user_namespace=True, euid=1000))
NONSENSE: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 7, 2**31, 2**32, 2**63, 2**64, -(2**70), 1.5, 1e300),
    *("", "/", ".", "..", "../..", "a/../b", "\0", "\ud800", "a\nb", "x" * 5000, "0-3", "9999-1", "é", '"]['),
    *([], [[]], [None], [{}], {}, {"": ""}, {"x": {}}, {"a.b[0]": []}),
)
OPTIONS = (
    "ro rw bind rbind remount idmap ridmap tmpcopyup shared rslave rro silent sync size=1m mode=755 defaults"
    " nosuid noatime lowerdir=a:b upperdir=u x=y"
).split()
WORDS = (
    "pid network mount ipc uts user cgroup time c b p u SCMP_ACT_ALLOW SCMP_ACT_ERRNO SCMP_CMP_EQ LINUX MB:0=1"
    " / /a /dev /dev/null /proc tmpfs proc cgroup overlay bind none a b c rwm net.core.somaxconn kernel.sem"
    " io.max memory.high pids.max cpu.weight foo.bar 2MB 1.0.2 /x/y x"
).split()


def usual() -> Any:
    """A configuration of the kind that engines write: every host can run it as it is."""
    kept = ("devices", "maskedPaths", "readonlyPaths", "personality", "sysctl", "seccomp", "uidMappings")
    complete = full()
    linux = {key: complete["linux"][key] for key in (*kept, "gidMappings", "namespaces", "timeOffsets")}
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        {"destination": "/data", "source": "data", "options": ["rbind", "ro", "rslave"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]},
    ]
    linux["seccomp"].pop("listenerPath")
    linux["seccomp"].pop("listenerMetadata")
    resources = {"pids": {"limit": 10}, "memory": {"limit": 1 << 20}, "cpu": {"shares": 2, "quota": 9000}}
    return {**complete, **small(), "mounts": mounts, "linux": {**linux, "resources": resources}}


def mutated(random_: random.Random) -> Any:
    document = random_.choice((full, small, usual, usual))()
    for _ in range(random_.choice((1, 1, 2, 3, 6))):
        spots = list(places(document, schema_of("config").schema))
        if not spots:
            break
        keys, _place = random_.choice(spots)
        change(random_, document, keys)
    return document


def change(random_: random.Random, document: Any, keys: tuple[Any, ...]) -> None:
    for key in keys[:-1]:
        document = document[key]
    last = keys[-1]
    what = random_.random()
    if what < 0.2:
        del document[last]
    elif what < 0.35:
        document[last] = copy.deepcopy(random_.choice(NONSENSE))
    elif what < 0.45 and isinstance(document, list):
        document.append(copy.deepcopy(document[last]))
    else:
        document[last] = similar(random_, document[last])


def similar(random_: random.Random, value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return random_.choice((0, 1, -1, 7, value + 1, value * 1000, 4095, 65535, 2**32 - 1, 2**63 - 1))
    if isinstance(value, str):
        return random_.choice((*WORDS, *OPTIONS))
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return random_.sample((*OPTIONS, *WORDS), random_.randrange(5))
    if isinstance(value, list):
        return [copy.deepcopy(each) for each in value for _ in range(random_.randrange(3))]
    if isinstance(value, dict):
        return {random_.choice((key, "x", *WORDS)): inner for key, inner in value.items()}
    return random_.choice(NONSENSE)


def outcome(document: Any, host: Facts) -> Plan | ConfigError:
    try:
        return make_plan(parse(json.dumps(document), "/bundle/config.json"), REQUEST, host)
    except ConfigError as err:
        return err


def judge(document: Any, result: Plan | ConfigError) -> None:
    if isinstance(result, ConfigError):
        assert result.problems, document
        for problem in result.problems:
            assert problem.path.startswith("."), (problem, document)
            assert problem.problem.isprintable(), (problem, document)
        assert "\n" not in str(result), document


def test_a_mutated_configuration_is_planned_or_refused(capsys: pytest.CaptureFixture[str]) -> None:
    random_ = random.Random(20_000)
    end = time.monotonic() + SECONDS
    done = planned = reached = 0
    while done < WANTED and time.monotonic() < end:
        document = mutated(random_)
        result = outcome(document, random_.choice(HOSTS))
        judge(document, result)
        done += 1
        planned += isinstance(result, Plan)
        # Only what the planner says is about config.json without a directory.
        reached += isinstance(result, Plan) or result.file == "config.json"
    with capsys.disabled():
        print(f" {done} configurations: {reached} read, {planned} of them planned", end="")
    assert done >= WANTED / 4
    assert reached >= done / 5, "mutations should often be right, or the planner is not tried"
    assert planned >= done / 12


def test_check_has_at_least_what_create_says() -> None:
    """And it never fails itself."""
    random_ = random.Random(1)
    for _ in range(REPORTS):
        document = mutated(random_)
        report = report_on(json.loads(json.dumps(document)), REQUEST, "config.json", host=False)
        results = [outcome(document, host) for host in GENEROUS]
        refusals = [result for result in results if isinstance(result, ConfigError)]
        assert bool(report.errors) == (len(refusals) == len(GENEROUS)), document
        if report.errors:
            shortest = min(refusals, key=lambda each: len(each.problems))
            missed = {each.path for each in shortest.problems} - {each.path for each in report.errors}
            assert not [path for path in missed if not _around(path, report.errors)], document


def _around(path: str, findings: Any) -> bool:
    return any(path.startswith(each.path) for each in findings)
