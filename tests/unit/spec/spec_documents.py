"""Configurations for the tests of pyrunc.spec: one small, one with every member, and ways to change them."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from pyrunc.errors import ConfigError, SpecError
from pyrunc.spec.config import Spec
from pyrunc.spec.load import parse

Document = dict[str, Any]

ABSENT = object()
"""As a value in a change: take the member away."""


def small() -> Document:
    """Return a configuration with little more than what is required."""
    return {
        "ociVersion": "1.3.0",
        "root": {"path": "rootfs"},
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["sh"], "cwd": "/"},
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "mount", "ipc", "uts")]},
    }


def full() -> Document:
    """Return a configuration that has every member there is for Linux, each with a value of its own."""
    return {
        "ociVersion": "1.3.0-rc.1+dev",
        "root": {"path": "rootfs", "readonly": True},
        "process": _full_process(),
        "hostname": "host",
        "domainname": "example.test",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {
                "destination": "data",
                "type": "none",
                "source": "volume",
                "options": ["rbind", "ridmap", "größe=1"],
                "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
                "gidMappings": [{"containerID": 1, "hostID": 2000, "size": 20}],
            },
        ],
        "hooks": {
            "prestart": [{"path": "/bin/1", "args": ["1", "a"], "env": ["A=1"], "timeout": 1}],
            "createRuntime": [{"path": "/bin/2"}, {"path": "/bin/3", "timeout": 30}],
            "createContainer": [{"path": "/bin/4"}],
            "startContainer": [{"path": "/bin/5"}],
            "poststart": [{"path": "/bin/6"}],
            "poststop": [{"path": "/bin/7"}],
        },
        "annotations": {"com.example.key": "value", "empty": ""},
        "linux": _full_linux(),
    }


def _full_process() -> Document:
    return {
        "terminal": True,
        "consoleSize": {"height": 25, "width": 80},
        "user": {"uid": 1, "gid": 2, "umask": 18, "additionalGids": [5, 4294967295]},
        "args": ["sh", "-c", "true"],
        "env": ["PATH=/bin", "EMPTY="],
        "cwd": "/work",
        "capabilities": {
            "bounding": ["CAP_KILL", "CAP_OF_TOMORROW"],
            "effective": ["CAP_CHOWN"],
            "inheritable": ["CAP_MKNOD"],
            "permitted": ["CAP_FOWNER"],
            "ambient": ["CAP_SETUID"],
        },
        "rlimits": [
            {"type": "RLIMIT_CORE", "soft": 0, "hard": 18446744073709551615},
            {"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024},
        ],
        "noNewPrivileges": True,
        "oomScoreAdj": -1000,
        "scheduler": {
            "policy": "SCHED_DEADLINE",
            "nice": -5,
            "priority": 3,
            "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM"],
            "runtime": 10,
            "deadline": 20,
            "period": 18446744073709551615,
        },
        "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 7},
        "execCPUAffinity": {"initial": "7", "final": "0-3,7"},
        "apparmorProfile": "profile",
        "selinuxLabel": "system_u:system_r:svirt_lxc_net_t:s0",
    }


def _full_linux() -> Document:
    kinds = ("pid", "mount", "ipc", "uts", "user", "cgroup", "time")
    return {
        "namespaces": [
            *({"type": kind} for kind in kinds),
            {"type": "network", "path": "/run/netns/a"},
        ],
        "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
        "gidMappings": [{"containerID": 0, "hostID": 200000, "size": 65536}],
        "timeOffsets": {"monotonic": {"secs": -7, "nanosecs": 9}, "boottime": {"secs": 8}},
        "devices": [
            {
                "type": "c",
                "path": "/dev/fuse",
                "major": 10,
                "minor": 229,
                "fileMode": 438,
                "uid": 1,
                "gid": 2,
            },
            {"type": "p", "path": "/fifo"},
        ],
        "netDevices": {"eth0": {"name": "container_eth0"}, "ens4": {}},
        "cgroupsPath": "/pod/container",
        "resources": _full_resources(),
        "rootfsPropagation": "slave",
        "seccomp": {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 38,
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"],
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "listenerPath": "/run/agent.sock",
            "listenerMetadata": "data",
            "syscalls": [
                {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
                {
                    "names": ["clone"],
                    "action": "SCMP_ACT_TRACE",
                    "errnoRet": 1,
                    "args": [{"index": 5, "value": 2114060288, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ"}],
                },
            ],
        },
        "sysctl": {
            "net.core.somaxconn": "256",
            "kernel.shm_rmid_forced": "1",
            "user/max_user_namespaces": "0",
        },
        "maskedPaths": ["/proc/kcore"],
        "readonlyPaths": ["/proc/sys"],
        "mountLabel": "system_u:object_r:svirt_sandbox_file_t:s0",
        "personality": {"domain": "LINUX32", "flags": []},
        "intelRdt": {
            "closID": "guaranteed",
            "schemata": ["L3:0=7f0;1=1f"],
            "l3CacheSchema": "L3:0=7f0",
            "memBwSchema": "MB:0=20",
            "enableMonitoring": True,
        },
        "memoryPolicy": {"mode": "MPOL_INTERLEAVE", "nodes": "0-1,3", "flags": ["MPOL_F_STATIC_NODES"]},
    }


def _full_resources() -> Document:
    throttles = (
        "throttleReadBpsDevice",
        "throttleWriteBpsDevice",
        "throttleReadIOPSDevice",
        "throttleWriteIOPSDevice",
    )
    return {
        "devices": [
            {"allow": False, "access": "rwm"},
            {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
        ],
        "memory": {
            "limit": 536870912,
            "reservation": 1,
            "swap": -1,
            "kernel": 2,
            "kernelTCP": 3,
            "swappiness": 0,
            "disableOOMKiller": False,
            "useHierarchy": True,
            "checkBeforeUpdate": True,
        },
        "cpu": {
            "shares": 1024,
            "quota": 1000000,
            "burst": 1000000,
            "period": 500000,
            "realtimeRuntime": 950000,
            "realtimePeriod": 1000001,
            "cpus": "2-3",
            "mems": "0-7",
            "idle": 1,
        },
        "blockIO": {
            "weight": 10,
            "leafWeight": 11,
            "weightDevice": [{"major": 8, "minor": 0, "weight": 500, "leafWeight": 300}],
            **{name: [{"major": 8, "minor": 16, "rate": rate}] for rate, name in enumerate(throttles)},
        },
        "hugepageLimits": [{"pageSize": "2MB", "limit": 9223372036854772000}],
        "network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 500}]},
        "pids": {"limit": 0},
        "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}},
        "unified": {"memory.high": "1", "io.max": "259:0 rbps=1\n253:0 rbps=2"},
    }


def changed(document: Document, change: Document) -> Document:
    """Return the document with members replaced, objects member by member, those that are ABSENT left out."""
    result = copy.deepcopy(document)
    for key, value in change.items():
        if value is ABSENT:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = changed(result[key], value)
        else:
            result[key] = value
    return result


def read(document: Any) -> Spec:
    """Read a document that must be right."""
    return parse(json.dumps(document), "config.json")


def problems_of(document: Any) -> tuple[SpecError, ...]:
    """Return what is wrong with a document that must be refused."""
    with pytest.raises(ConfigError) as caught:
        read(document)
    return caught.value.problems


def complaints(document: Any) -> list[str]:
    """Return what is wrong with a document that must be refused, as a user sees it."""
    return [str(problem) for problem in problems_of(document)]
