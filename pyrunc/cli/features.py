"""pyrunc features: what this build can do (features.md), made from the tables that the rooms work with."""

from __future__ import annotations

import sys

from pyrunc import __version__
from pyrunc.cli import SPEC_VERSION, Context
from pyrunc.host.images import ANNOTATION as CRIU_CONFIG
from pyrunc.jsontext import dump
from pyrunc.kernel import flags, seccomp
from pyrunc.plan import mounts
from pyrunc.plan.cgroups_systemd import ANNOTATION as SYSTEMD_PROPERTY
from pyrunc.plan.policies import CORE_SCHED, LANDLOCK
from pyrunc.spec.linux import MEMORY_POLICY_FLAGS, MEMORY_POLICY_MODES
from pyrunc.spec.seccomp import SECCOMP_ARCHITECTURES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.cli.arguments import Arguments


def main(_: Context, __: Arguments) -> int:
    """Print the features document (features.md#features-structure); nothing in it depends on the host."""
    sys.stdout.write(dump(document(), indent=2) + "\n")
    return 0


def document() -> dict[str, object]:
    """Return the features document."""
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPEC_VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": sorted(
            (
                *mounts.ATTRIBUTES,
                *mounts.RECURSIVE_ATTRIBUTES,
                *mounts.PROPAGATION,
                *mounts.SUPERBLOCK,
                *mounts.CLASSIC,
                *mounts.BIND,
                *mounts.OTHER,
            )
        ),
        "linux": {
            "namespaces": sorted(flags.NAMESPACES),
            "capabilities": list(flags.CAPABILITIES),
            "cgroup": {"v1": True, "v2": True, "systemd": True, "systemdUser": True, "rdma": True},
            "seccomp": {
                "enabled": True,
                "actions": sorted(seccomp.ACTIONS),
                "operators": sorted(seccomp.OPERATORS),
                "archs": sorted(SECCOMP_ARCHITECTURES),
                "knownFlags": sorted(seccomp.FLAGS),
                "supportedFlags": sorted(seccomp.FLAGS),
            },
            "apparmor": {"enabled": True},
            "selinux": {"enabled": True},
            "intelRdt": {"enabled": True, "schemata": True, "monitoring": True},
            "mountExtensions": {"idmap": {"enabled": True}},
            "netDevices": {"enabled": True},
            "memoryPolicy": {"modes": list(MEMORY_POLICY_MODES), "flags": list(MEMORY_POLICY_FLAGS)},
        },
        "annotations": {"org.pyrunc.version": __version__},
        "potentiallyUnsafeConfigAnnotations": [CORE_SCHED, LANDLOCK, SYSTEMD_PROPERTY, CRIU_CONFIG],
    }
