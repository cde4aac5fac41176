"""Configurations that went wrong: valid ones of several kinds, changed in a few places or as text, from a seed."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

ROOT_OUTSIDE = 100000
MAPPING = [{"containerID": 0, "hostID": ROOT_OUTSIDE, "size": 65536}]
SECCOMP = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "architectures": ["SCMP_ARCH_X86_64"],
    "syscalls": [
        {
            "names": ["acct", "personality"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": 1,
            "args": [{"index": 0, "value": 5, "valueTwo": 0, "op": "SCMP_CMP_EQ"}],
        }
    ],
}
DEVICES = [
    {"path": "/dev/spare", "type": "c", "major": 1, "minor": 3, "fileMode": 438, "uid": 0, "gid": 0},
    {"path": "/dev/pipe", "type": "p"},
]
POLICIES: dict[str, Any] = {
    "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 512, "hard": 1024}],
    "oomScoreAdj": 100,
    "noNewPrivileges": True,
    "scheduler": {"policy": "SCHED_BATCH", "nice": 5},
    "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 5},
    "execCPUAffinity": {"initial": "0", "final": "0"},
}
LIMITS: dict[str, Any] = {
    "memory": {"limit": 64 << 20, "swappiness": 10},
    "pids": {"limit": 40},
    "cpu": {"shares": 100, "quota": 50000, "period": 100000, "cpus": "0"},
    "devices": [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"}],
}
BINDS = [
    {"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m", "nosuid"]},
    {"destination": "/again", "type": "bind", "source": "rootfs/etc", "options": ["rbind", "ro", "rslave"]},
    {"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]},
]


def _plain(config: dict[str, Any]) -> None:
    config["linux"] |= {"maskedPaths": ["/proc/kcore", "/sys/firmware"], "readonlyPaths": ["/proc/sys"]}
    config |= {"hostname": "here", "domainname": "there", "annotations": {"org.example": "yes"}}


def _user_namespace(config: dict[str, Any]) -> None:
    config["linux"]["namespaces"].append({"type": "user"})
    config["linux"] |= {"uidMappings": copy.deepcopy(MAPPING), "gidMappings": copy.deepcopy(MAPPING)}


def _limited(config: dict[str, Any]) -> None:
    config["linux"] |= {"resources": copy.deepcopy(LIMITS), "devices": copy.deepcopy(DEVICES)}
    config["process"] |= copy.deepcopy(POLICIES)


def _mounted(config: dict[str, Any]) -> None:
    config["mounts"] += copy.deepcopy(BINDS)
    config["linux"] |= {"rootfsPropagation": "rprivate", "sysctl": {"net.ipv4.ip_forward": "1"}}
    config["root"]["readonly"] = True


def _filtered(config: dict[str, Any]) -> None:
    config["linux"]["seccomp"] = copy.deepcopy(SECCOMP)
    config["linux"]["personality"] = {"domain": "LINUX"}


def _hooked(config: dict[str, Any]) -> None:
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "exit 0"], "env": ["A=b"], "timeout": 2}
    kinds = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
    config["hooks"] = {kind: [copy.deepcopy(hook)] for kind in kinds}


KINDS = (_plain, _user_namespace, _limited, _mounted, _filtered, _hooked)

NONSENSE: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 7, 2**31, 2**32, 2**63, 2**64, -(2**70), 10**300, 1.5, 1e300),
    *("", "/", ".", "..", "../..", "a/../b", "/../../x", "/a\0b", "\0", "\ud800", "a\nb", "x" * 5000, "/y" * 3000),
    *("é", "\u202e", "\U0001f4a9", "/proc/self/fd/3", "/proc/self/exe", "/link", "/link/below"),
    *("0-3", "9999-1", '"][', "%s{}"),
    *([], [[]], [None], [{}], [""], ["\0"], {}, {"": ""}, {"x": {}}, {"a.b[0]": []}),
)
WORDS = (
    "pid network mount ipc uts user cgroup time c b p u SCMP_ACT_ALLOW SCMP_ACT_KILL SCMP_ACT_NOTIFY SCMP_CMP_MASKED_EQ"
    " LINUX32 / /a /dev /dev/null /proc /proc/sys /sys tmpfs proc sysfs cgroup devpts overlay bind none a b rwm"
    " kernel.sem kernel.core_pattern RLIMIT_CPU CAP_SYS_ADMIN 1.0.2 ro rw rbind remount idmap tmpcopyup shared rslave"
    " rro size=1 mode=999999 nosuid lowerdir=a x=y SCHED_FIFO SCHED_DEADLINE IOPRIO_CLASS_RT"
).split()
NUMBERS = (0, 1, -1, 2, 7, 4095, 4096, 65535, 65536, 2**31 - 1, 2**32 - 2, 2**32 - 1, 2**63 - 1, 2**64 - 1)
# What takes long, or ends the test itself, when it is allowed to happen: a program or hook of any other name.
LEFT_ALONE = ("args", "timeout")


def mutated(random_: random.Random, base: dict[str, Any]) -> bytes:
    """Return the text of a config.json that began as a valid one."""
    config = copy.deepcopy(base)
    random_.choice(KINDS)(config)
    if random_.random() < 0.3:
        random_.choice(KINDS)(config)
    if random_.random() < 0.12:
        return random_.choice(TEXTS)(random_, json.dumps(config))
    for _ in range(random_.choice((1, 1, 1, 2, 3))):
        _change(random_, config)
    return json.dumps(config).encode()


def _change(random_: random.Random, config: dict[str, Any]) -> None:
    places = [keys for keys in _places(config) if not set(LEFT_ALONE) & set(keys)]
    keys = random_.choice(places)
    parent: Any = config
    for key in keys[:-1]:
        parent = parent[key]
    last, what = keys[-1], random_.random()
    if what < 0.2:
        del parent[last]
    elif what < 0.5:
        parent[last] = copy.deepcopy(random_.choice(NONSENSE))
    elif what < 0.6 and isinstance(parent, list):
        parent.insert(random_.randrange(len(parent)), copy.deepcopy(parent[last]))
    elif what < 0.65:
        parent[last] = copy.deepcopy(_at(config, random_.choice(places)))
    else:
        parent[last] = _similar(random_, parent[last])


def _places(value: Any, keys: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each part of a document, its members before it itself."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        yield from _places(inner, (*keys, key))
        yield (*keys, key)


def _at(value: Any, keys: tuple[Any, ...]) -> Any:
    for key in keys:
        value = value[key]
    return value


def _similar(random_: random.Random, value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return random_.choice((*NUMBERS, value + 1, value * 1000))
    if isinstance(value, str):
        return random_.choice((*WORDS, f"{value}/..", f"{value}x", f"//{value}", value.upper()))
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return random_.sample(WORDS, random_.randrange(4))
    if isinstance(value, list):
        return [copy.deepcopy(each) for each in value for _ in range(random_.randrange(3))]
    if isinstance(value, dict):
        return {random_.choice((key, key, "x", *WORDS)): inner for key, inner in value.items()}
    return random_.choice(NONSENSE)


def _duplicate_key(random_: random.Random, text: str) -> bytes:
    return text.replace("{", '{"process": 5, "root": {}, ', random_.randrange(1, 3)).encode()


def _deep(random_: random.Random, text: str) -> bytes:
    depth = random_.choice((100, 1000, 100000))
    return text.replace('"ociVersion"', f'"x": {"[" * depth}{"]" * depth}, "ociVersion"', 1).encode()


def _long_number(random_: random.Random, text: str) -> bytes:
    number = random_.choice(("9" * 5000, "-" + "9" * 400, "1e99999", "NaN", "-Infinity", "0x10", "01", "1."))
    return text.replace('"uid": 0', f'"uid": {number}', 1).encode()


def _cut(random_: random.Random, text: str) -> bytes:
    return text[: random_.randrange(len(text))].encode()


def _bytes(random_: random.Random, text: str) -> bytes:
    at = random_.randrange(len(text))
    rubbish = random_.choice((b"\xff\xfe", b"\0", b"\xc3", b"\xed\xa0\x80", b"\x1b[31m", b"//", b"\\ud800", b"\\u0000"))
    return text[:at].encode() + rubbish + text[at:].encode()


def _around(random_: random.Random, text: str) -> bytes:
    before, after = random_.choice((("\ufeff", ""), ("[", "]"), ("", "{}"), ("", "\0"), ("\n" * 5000, ""), ('"', '"')))
    return f"{before}{text}{after}".encode()


TEXTS: tuple[Callable[[random.Random, str], bytes], ...] = (_duplicate_key, _deep, _long_number, _cut, _bytes, _around)
