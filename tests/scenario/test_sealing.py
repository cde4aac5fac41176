"""The seal around the interpreter, its imports, its libraries and its environment. Each test fails when
its seal is taken out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.house.modules import site_packages
from tests.house.source import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scenario.bundle import Bundle

LOADERS = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
]


def hostile_image(bundle: Bundle) -> Bundle:
    """Its program makes the runtime execute itself, and its ld.so keeps hold of the runtime's binary
    (CVE-2019-5736).
    """
    bundle.write("/evil", "#!/proc/self/exe\n", mode=0o755)
    for loader in LOADERS:
        bundle.mkdir(os.path.dirname(loader))
        os.link(bundle.template.loader, bundle.path(loader))
    return bundle


@pytest.mark.parametrize("privileged", [False, True])
def test_runtime_cannot_be_overwritten_through_proc_self_exe(bundle: Bundle, privileged: bool) -> None:
    if privileged:
        bundle.capabilities("CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE")
    result = hostile_image(bundle).run("/evil")
    assert result.stdout, f"the image's ld.so was not run, so nothing is shown: {result.stderr}"
    assert json.loads(result.stdout)["sealed"] is True, result.stdout


def test_an_unsealed_runtime_would_be_noticed(bundle: Bundle) -> None:
    """The proof of the test above: chroot(1), in a runtime's place, can be overwritten. (A copy of it;
    nothing is written.)
    """
    found = shutil.which("chroot", path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert found
    shutil.copy(found, bundle.dir / "chroot")
    script = 'mount -t proc proc "$0/rootfs/proc" && exec "$0/chroot" "$0/rootfs" /evil'
    hostile_image(bundle)
    said = bundle.execute(["unshare", "--mount", "sh", "-c", script, bundle.dir]).ok().json()
    assert said["sealed"] is False
    assert said["file"].endswith("/chroot")


def test_exe_of_the_waiting_init_is_sealed(bundle: Bundle) -> None:
    """Whoever holds it open can try again when no process runs from it any more."""
    pid = bundle.create().pid
    held = os.open(f"/proc/{pid}/exe", os.O_RDONLY)
    try:
        bundle.delete("--force")
        said = bundle.execute([str(bundle.template.probe), "reopen", str(held)], pass_fds=[held]).ok().json()
    finally:
        os.close(held)
    assert said["sealed"] is True, said


# imports

MODULES = """
    json encodings/__init__ encodings/utf_8 encodings/latin_1 encodings/ascii encodings/idna traceback linecache
    pwd grp os posixpath re typing enum codecs io locale signal socket subprocess ctypes/__init__ ctypes/util
    sitecustomize usercustomize site
    tokenize token warnings contextlib collections/__init__ functools errno struct pyrunc/__init__ prctl
""".split()
FOLDERS = [
    f"{prefix}/python3.{minor}{rest}"
    for prefix in ("/usr/lib", "/usr/local/lib", "/lib")
    for minor in range(9, 16)
    for rest in ("", "/site-packages")
] + ["/usr/lib/python3/dist-packages", "/"]
TRAP = "open('/python-was-here', 'w').write(__name__)\n"


def with_python_traps(bundle: Bundle) -> Bundle:
    """A standard library of the image's own: any import after the root has changed would run it as root."""
    traps = bundle.dir / "traps"
    for module in MODULES:
        path = traps / f"{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TRAP)
    for folder in FOLDERS:
        shutil.copytree(traps, bundle.path(folder), copy_function=os.link, dirs_exist_ok=True)
    return bundle


def nothing_special(bundle: Bundle) -> None:
    bundle.process(args=["true"])


def missing_program(bundle: Bundle) -> None:
    bundle.process(args=["nosuchprogram"])


def cwd_that_is_a_file(bundle: Bundle) -> None:
    bundle.process(args=["true"], cwd="/etc/passwd")


def failing_mask(bundle: Bundle) -> None:
    bundle.without_mount("/dev", "/dev/pts", "/dev/shm").write("/dev/null", "").linux(maskedPaths=["/etc/passwd"])


def failing_hook(bundle: Bundle) -> None:
    bundle.hook("startContainer", "/nosuchhook")


def strange_names(bundle: Bundle) -> None:
    bundle.process(
        args=["echo", "\u00e4\U0001f600"], env=["PATH=/bin", "\u00fc=\u00f6"], user={"uid": 4711, "gid": 4711}
    )


SITUATIONS = [nothing_special, missing_program, cwd_that_is_a_file, failing_mask, failing_hook, strange_names]


@pytest.mark.parametrize("situation", SITUATIONS)
def test_modules_of_the_image_are_never_imported(bundle: Bundle, situation: Callable[[Bundle], None]) -> None:
    """Failures too: what formats an error must have been imported before."""
    situation(with_python_traps(bundle))
    bundle.attempt("run")
    assert not bundle.path("/python-was-here").exists()


def test_passwd_of_the_image_is_only_data(bundle: Bundle) -> None:
    path = with_python_traps(bundle).path("/etc/passwd")
    path.write_bytes(b"\xff\xfe:x:0:0::::::\nroot:x:zero:0::/:\n\n:::\nroot:x:0:0::/home:\n" * 50)
    bundle.process(env=["PATH=/bin"]).run("true").ok()
    assert not bundle.path("/python-was-here").exists()


# The seal itself: an import that somebody forgot to make in time. `finish` runs in the container's root.
FORGOTTEN_IMPORT = """
import sys
sys.path[:] = [{repository!r}, *sys.path, {site!r}]
import pyrunc.cli.run, pyrunc.container.init as init, pyrunc.sealing
pyrunc.sealing.ensure = lambda words: None
finish = init.rootfs.finish
def forgetful(plan):
    finish(plan)
    import json
init.rootfs.finish = forgetful
{mutation}
from pyrunc.cli import main
sys.exit(main({words!r}))
"""


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "seal-taken-out"])
def test_forgotten_import_is_loud_and_runs_nothing_of_the_image(
    bundle: Bundle, runtime_name: str, sealed: bool
) -> None:
    """With the seal taken out the same import does run the image's file: that is the proof of this test."""
    if runtime_name != "pyrunc":
        pytest.skip("looks into the modules of this checkout")
    mutation = "" if sealed else "init.seal = lambda: None"
    words = with_python_traps(bundle).save().command("run")[1:]
    script = FORGOTTEN_IMPORT.format(repository=str(REPOSITORY), site=site_packages(), mutation=mutation, words=words)
    result = bundle.execute([sys.executable, "-I", "-S", "-B", "-c", script])
    assert bundle.path("/python-was-here").exists() != sealed
    if sealed:
        assert result.returncode == 1
        assert "json was not imported" in result.stderr


LIBRARIES = [
    "libgcc_s.so.1",
    "libnss_files.so.2",
    "libnss_evil.so.2",
    "libseccomp.so.2",
    "libcap.so.2",
    "libc.so.6",
    "libpthread.so.0",
]
LIBRARY_TRAP = """
#include <fcntl.h>
__attribute__((constructor)) static void loaded(void)
{
    (void)!open("/library-was-loaded", O_CREAT | O_WRONLY, 0644);
}
"""


@pytest.mark.parametrize("situation", SITUATIONS)
def test_libraries_of_the_image_are_never_loaded(bundle: Bundle, situation: Callable[[Bundle], None]) -> None:
    """CVE-2019-14271: name services, libgcc and others are opened by glibc when they are first needed."""
    (bundle.dir / "trap.c").write_text(LIBRARY_TRAP)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", bundle.dir / "trap.so", bundle.dir / "trap.c"], check=True)
    for folder in (
        "/lib/x86_64-linux-gnu",
        "/usr/lib/x86_64-linux-gnu",
        "/lib64",
        "/lib",
        "/usr/lib",
        "/lib/aarch64-linux-gnu",
    ):
        for library in LIBRARIES:
            bundle.mkdir(folder)
            os.link(bundle.dir / "trap.so", bundle.path(f"{folder}/{library}"))
    bundle.write("/etc/nsswitch.conf", "passwd: evil files\ngroup: evil files\nhosts: evil\n")
    situation(bundle)
    bundle.linux(
        seccomp={
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}],
        }
    )
    bundle.attempt("run")
    assert not bundle.path("/library-was-loaded").exists()


# the caller's side


def test_modules_in_the_bundle_are_never_imported(bundle: Bundle) -> None:
    """The working directory is the bundle's more often than not, and must not be on the path of imports."""
    for module in MODULES:
        path = bundle.dir / f"{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"open({str(bundle.dir / 'imported')!r}, 'w')\n")
    for command in (["run"], ["create"], ["start"], ["state"], ["delete", "--force"]):
        bundle.attempt(*command, cwd=bundle.dir).ok()
    assert not (bundle.dir / "imported").exists()


def test_environment_of_the_caller_does_not_steer_the_interpreter(bundle: Bundle) -> None:
    traps = bundle.dir / "traps"
    traps.mkdir()
    for module in ("os", "json", "sitecustomize", "usercustomize", "startup"):
        (traps / f"{module}.py").write_text(f"open({str(bundle.dir / 'imported')!r}, 'w')\n")
    variables = {
        "PYTHONPATH": str(traps),
        "PYTHONSTARTUP": f"{traps}/startup.py",
        "PYTHONINSPECT": "1",
        "PYTHONHOME": str(traps),
    }
    result = bundle.run("echo", "hello", env=bundle.environment(**variables, PYTHONVERBOSE="1", PYTHONWARNINGS="error"))
    assert (result.ok().stdout, result.stderr) == ("hello\n", "")
    assert not (bundle.dir / "imported").exists()


def test_environment_of_the_program_does_not_steer_the_interpreter(bundle: Bundle) -> None:
    variables = [
        "PYTHONPATH=/",
        "PYTHONHOME=/",
        "LD_PRELOAD=/nosuch.so",
        "LD_LIBRARY_PATH=/",
        "PYTHONVERBOSE=1",
        "GCONV_PATH=/",
    ]
    result = bundle.env(*variables).run("echo", "hello")
    assert (result.ok().stdout, result.stderr) == ("hello\n", "")


def test_odd_locales_of_the_caller_change_nothing(bundle: Bundle) -> None:
    for locale in ("C", "POSIX", "tr_TR.ISO-8859-9", "nosuch"):
        result = bundle.run("echo", "\u00e4", env=bundle.environment(LC_ALL=locale, LANG=locale))
        assert (result.ok().stdout, result.stderr) == ("\u00e4\n", "")
