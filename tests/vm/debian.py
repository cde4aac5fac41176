"""The guest's root file system and kernel, from the Debian mirror that apt on this machine is configured with."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.vm.commands import LaneError, output_of, step
from tests.vm.recipe import KERNEL, PACKAGES, SUITE, find_tool

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
UNWANTED = ("man", "doc", "locale", "info")


def source_line() -> str:
    """Return the line of a sources.list for the guest's suite. Raises LaneError without a Debian mirror here."""
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    return f"deb {signed}{_mirror()} {SUITE} main"


def _mirror() -> str:
    archives = _archives()
    if not archives:  # perhaps only because the lists of packages have never been fetched, or were thrown away
        step("apt-get", "update", "-q")
        archives = _archives()
    if not archives:
        raise LaneError("apt on this machine knows no Debian archive: the guest is made from one")
    return archives[0]


def _archives() -> list[str]:
    fields = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(LABEL)"
    lines = output_of("apt-get", "indextargets", "--format", fields, "Created-By: Packages").splitlines()
    # Security and backports archives lie elsewhere and lack most packages.
    return [
        uri.rstrip("/")
        for uri, release, component, label in (line.split("|") for line in lines if line.count("|") == 3)
        if component == "main" and label == "Debian" and "-" not in release
    ]


def _proxies() -> list[str]:
    lines = output_of("apt-config", "dump").splitlines()
    return [line.strip().rstrip(";") for line in lines if re.match(r'Acquire::https?::Proxy\b.*"[^"]', line, re.I)]


def make_rootfs(target: Path) -> None:
    """Fill the directory with SUITE and PACKAGES. Raises LaneError."""
    options = ['Acquire::Languages "none"', 'APT::Install-Recommends "false"', *_proxies()]
    exclude = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in UNWANTED]
    step(
        *("unshare", "--mount", "--propagation", "private"),
        *(find_tool("mmdebstrap"), "--mode=root", "--variant=minbase", "--format=directory"),
        f"--include={','.join(PACKAGES)}",
        *(f"--aptopt={option}" for option in options),
        *exclude,
        "--dpkgopt=force-unsafe-io",
        *(SUITE, target, source_line()),
        TMPDIR=str(target.parent),
    )


def make_kernel(target: Path) -> None:
    """Unpack SUITE's kernel packages into the directory. Raises LaneError."""
    apt = target.parent / "apt"
    options = _own_apt(apt)
    step("apt-get", *options, "update", "-q")
    packages = _kernel_packages(options)
    step("apt-get", *options, "download", "-q", *packages, cwd=apt)
    target.mkdir()
    for package in sorted(apt.glob("*.deb")):
        step("dpkg-deb", "-x", package, target)
    shutil.rmtree(apt)


def _own_apt(folder: Path) -> list[str]:
    """Make an apt that knows nothing but SUITE and leaves this machine's alone; return its options."""
    for name in ("state/lists/partial", "cache/archives/partial", "parts"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(f"{source_line()}\n")
    settings = {
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": folder / "parts",
        "Dir::Etc::preferencesparts": folder / "parts",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "APT::Architecture": "amd64",
        "APT::Architectures": "amd64",
    }
    return [f"-o{name}={value}" for name, value in settings.items()]


def _kernel_packages(options: list[str]) -> list[str]:
    """Follow the metapackage to what has the files of one version."""
    found: list[str] = []
    ahead = [KERNEL]
    while ahead:
        about = output_of("apt-cache", *options, "show", "--no-all-versions", ahead.pop())
        depends = re.search(r"^Depends: (.*)", about, re.MULTILINE)
        names = re.findall(r"linux-(?:image|binary|modules)-\d[^ ,]*", depends.group(1) if depends else "")
        ahead += [name for name in names if name not in found]
        found += [name for name in names if name not in found]
    if not found:
        raise LaneError(f"{SUITE} has no kernel behind {KERNEL}")
    return found
