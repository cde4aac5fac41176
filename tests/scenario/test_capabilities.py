"""process.capabilities: five sets, each as given, with what the kernel makes of them at execve
(capabilities(7)).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.scenario.bundle import Bundle

NUMBERS = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_KILL": 5,
    "CAP_SETUID": 7,
    "CAP_NET_RAW": 13,
    "CAP_AUDIT_WRITE": 29,
}
ONLY_USER = {"uid": 1000, "gid": 1000}


def bits(*names: str) -> int:
    return sum(1 << NUMBERS[name] for name in names)


def sets_of(text: str) -> dict[str, int]:
    found = (line.split(":\t") for line in text.splitlines() if line.startswith("Cap"))
    return {key.removeprefix("Cap"): int(value, 16) for key, value in found}


def capabilities(bundle: Bundle) -> dict[str, int]:
    return sets_of(bundle.run("cat", "/proc/self/status").ok().stdout)


def test_five_sets(bundle: Bundle) -> None:
    """As a plain user execve keeps ambient and inheritable; without ambient ones nothing would be left to
    see.
    """
    bundle.process(
        user=ONLY_USER,
        capabilities={
            "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SETUID"],
            "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
            "effective": ["CAP_CHOWN", "CAP_KILL"],
            "inheritable": ["CAP_CHOWN", "CAP_NET_RAW"],
            "ambient": ["CAP_CHOWN"],
        },
    )
    assert capabilities(bundle) == {
        "Bnd": bits("CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SETUID"),
        "Inh": bits("CAP_CHOWN", "CAP_NET_RAW"),
        "Prm": bits("CAP_CHOWN"),
        "Eff": bits("CAP_CHOWN"),
        "Amb": bits("CAP_CHOWN"),
    }


def test_sets_of_root(bundle: Bundle) -> None:
    some = ["CAP_CHOWN", "CAP_KILL"]
    bundle.process(capabilities={"bounding": some, "permitted": some, "effective": some})
    found = capabilities(bundle)
    assert (found["Bnd"], found["Prm"], found["Eff"]) == (bits(*some),) * 3
    assert (found["Inh"], found["Amb"]) == (0, 0)


def test_no_capabilities(bundle: Bundle) -> None:
    bundle.process(capabilities={})
    assert set(capabilities(bundle).values()) == {0}


def test_plain_user_without_ambient_has_none(bundle: Bundle) -> None:
    """CVE-2016-8867."""
    some = ["CAP_CHOWN", "CAP_NET_RAW"]
    bundle.process(user=ONLY_USER, capabilities={"bounding": some, "permitted": some, "effective": some})
    found = capabilities(bundle)
    assert (found["Prm"], found["Eff"], found["Amb"], found["Inh"]) == (0, 0, 0, 0)
    assert found["Bnd"] == bits(*some)


def test_inheritable_stays_empty_unless_asked_for(bundle: Bundle) -> None:
    """CVE-2022-29162 and its kin."""
    assert capabilities(bundle)["Inh"] == 0


def test_caller_with_inheritable_capabilities(bundle: Bundle) -> None:
    wrap = ["setpriv", "--inh-caps", "+chown,+net_raw", "--ambient-caps", "+chown,+net_raw"]
    found = sets_of(bundle.run("cat", "/proc/self/status", wrap=wrap).ok().stdout)
    assert (found["Inh"], found["Amb"]) == (0, 0)


def test_capabilities_of_the_waiting_init_are_not_more_than_its_programs(bundle: Bundle) -> None:
    """What create sets up shows in the created process already: nothing is dropped at start only."""
    bundle.process(capabilities={"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"]})
    found = sets_of(Path(f"/proc/{bundle.create().pid}/status").read_text())
    assert (found["Bnd"], found["Eff"]) == (bits("CAP_KILL"), bits("CAP_KILL"))


def test_unknown_capability_is_a_warning(bundle: Bundle) -> None:
    bundle.process(
        capabilities={
            "bounding": ["CAP_NOSUCH", "CAP_KILL"],
            "permitted": ["CAP_KILL"],
            "effective": ["CAP_KILL"],
        }
    )
    log = bundle.dir / "log"
    bundle.options += ["--log", str(log), "--log-format", "json"]
    assert capabilities(bundle)["Eff"] == bits("CAP_KILL")
    (warning,) = map(json.loads, log.read_text().splitlines())
    assert warning["level"] == "warning"
    assert "CAP_NOSUCH" in warning["msg"]


@pytest.mark.differs_from_runc("fails (config.md: SHOULD NOT fail, MUST log a warning)")
def test_capability_that_cannot_be_granted_is_a_warning(bundle: Bundle) -> None:
    some = ["CAP_KILL", "CAP_AUDIT_WRITE"]
    bundle.process(capabilities={"bounding": some, "permitted": some, "effective": some})
    wrap = ["setpriv", "--bounding-set", "-audit_write"]
    ended = bundle.run("cat", "/proc/self/status", wrap=wrap).ok()
    found = sets_of(ended.stdout)
    assert (found["Bnd"], found["Eff"]) == (bits("CAP_KILL"), bits("CAP_KILL"))
    assert "warning: capability CAP_AUDIT_WRITE cannot be granted" in ended.stderr


def test_ambient_that_is_not_inheritable_is_a_warning(bundle: Bundle) -> None:
    some = ["CAP_KILL", "CAP_CHOWN"]
    sets = {
        "bounding": some,
        "permitted": some,
        "effective": some,
        "inheritable": ["CAP_KILL"],
        "ambient": some,
    }
    bundle.process(user=ONLY_USER, capabilities=sets)
    assert capabilities(bundle)["Amb"] == bits("CAP_KILL")


def test_dropped_capability_is_really_gone(bundle: Bundle) -> None:
    bundle.process(capabilities={kind: ["CAP_KILL"] for kind in ("bounding", "permitted", "effective")})
    assert bundle.run("chown", "1000", "/etc/passwd").returncode != 0
