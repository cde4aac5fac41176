"""What a container is called and which kernel parameters it has (config.md, config-linux.md "Sysctl")."""

from __future__ import annotations

from pyrunc.kernel import namespaces, procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.steps import SetDomainname, SetHostname, WriteSysctl


def set_hostname(step: SetHostname) -> None:
    """sethostname(2)."""
    namespaces.sethostname(step.name)


def set_domainname(step: SetDomainname) -> None:
    """setdomainname(2)."""
    namespaces.setdomainname(step.name)


def write_sysctl(step: WriteSysctl, proc: int) -> None:
    """Write a parameter through a procfs that nobody else can reach or cover (CVE-2025-52881).

    sysctl.d(5): the separator is the dot, unless the first one is a slash; then dots belong to names.
    """
    first = next((char for char in step.name if char in "./"), ".")
    path = step.name if first == "/" else step.name.translate({ord("."): "/", ord("/"): "."})
    procfs.write(proc, f"sys/{path}", step.value.encode())
