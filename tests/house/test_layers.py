"""Who may import whom, and who may do what. A rule that has to give way is changed here, with its reason,
or not at all.
"""

from __future__ import annotations

import pytest

from tests.house.source import Source, sources

# These say nothing about containers: everyone may use them. "pyrunc" itself holds the version.
FOR_ALL = {"pyrunc", "pyrunc.errors", "pyrunc.record", "pyrunc.jsontext"}
ROOMS: dict[str, tuple[str, ...]] = {
    "kernel": (),
    "spec": (),
    "sync": (),
    "errors": (),
    "record": (),
    "jsontext": (),
    # Facts and steps are vocabulary: records without I/O.
    "cgroups": ("kernel", "plan.facts", "plan.steps_cgroups"),
    "state": ("kernel",),
    "plan": ("spec", "kernel.flags"),
    "container": ("plan.steps", "kernel", "sync"),
    "host": (
        *("plan", "cgroups", "state", "sync", "kernel"),
        "spec.load",  # create is the story: load, plan, act
        "container.init",  # to fork into it
        "container.enter",  # the same, for exec
        "container.namespaces",  # joined before the init is cloned: what it is born into cannot be joined later
        "container.hooks",  # run the same way outside and inside
    ),
    "sealing": ("kernel",),
    # For programs that embed us: as the command line without the command line.
    "api": ("host", "state", "kernel", "spec.load", "workers"),
    # containerd's shim does what the commands do, in forks of its own.
    "shim": ("host", "state", "kernel", "cgroups", "spec.load", "plan.make", "plan.exec", "plan.steps", "sync"),
    "workers": ("cli", "kernel", "sealing"),  # cli: a worker is the command line, in a process of its own
    "cli": ("cli", "container", "host", "kernel", "plan", "sealing", "shim", "spec", "state", "cgroups"),
    "_start": ("cli",),
    "_encodings": (),
    "__main__": ("cli",),
}
# What a room may name in annotations besides: values that pass through it.
ANNOTATIONS: dict[str, tuple[str, ...]] = {"host": ("spec",), "state": ("cgroups", "plan.facts")}
# The `check` command is about config.json itself.
FILES: dict[str, tuple[str, ...]] = dict.fromkeys(("host/check.py", "host/schema.py", "host/abilities.py"), ("spec",))


def allowed(source: Source, module: str, typing: bool) -> bool:
    if module in FOR_ALL or not module.startswith("pyrunc."):
        return True
    name = module.removeprefix("pyrunc.")
    annotations = ANNOTATIONS.get(source.room, ()) if typing else ()
    may = (source.room, *ROOMS[source.room], *FILES.get(source.name, ()), *annotations)
    # "plan.steps" opens plan/steps.py and plan/steps_*.py, "kernel" the whole room.
    return any(name == entry or name.startswith((f"{entry}.", f"{entry}_")) for entry in may)


def violations(source: Source) -> list[str]:
    return [
        f"line {found.line}: {found.module}"
        for found in source.imports()
        if not allowed(source, found.module, found.typing)
    ]


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.name)
def test_imports_stay_in_their_layers(source: Source) -> None:
    assert source.room in ROOMS or source.room == "__init__", "a new room: say in ROOMS whom it may import"
    if source.room in ROOMS:
        assert violations(source) == []


def importers(*modules: str) -> set[str]:
    """The files that import one of these modules, or something in it."""
    return {
        source.name
        for source in sources()
        for found in source.imports()
        if not found.typing and any(found.module == name or found.module.startswith(f"{name}.") for name in modules)
    }


def test_only_one_file_opens_the_door_to_c_libraries() -> None:
    assert importers("ctypes", "_ctypes") <= {"kernel/library.py"}


def test_nobody_imports_the_command_line() -> None:
    names = importers("pyrunc.cli")
    assert {name for name in names if not name.startswith("cli/")} <= {"__main__.py", "_start.py", "workers.py"}


def callers(*names: str) -> set[str]:
    """The files with a call of such a function, whatever it is looked up in: `fork` finds posix.fork()."""
    return {source.name for source in sources() for call, _ in source.calls() if call.split(".")[-1] in names}


def outside_cli(names: set[str]) -> set[str]:
    return {name for name in names if not name.startswith("cli/")}


def test_only_cli_prints() -> None:
    assert outside_cli(callers("print")) == set()
    streams = {source.name for source in sources() if "sys.stdout." in source.text or "sys.stderr." in source.text}
    assert outside_cli(streams) <= {"_start.py"}


def test_only_cli_picks_exit_codes() -> None:
    exits = {source.name for source in sources() for call, _ in source.calls() if call in ("sys.exit", "exit", "quit")}
    assert outside_cli(exits) <= {"__main__.py"}
    raisers = {source.name for source in sources() if "raise SystemExit" in source.text}
    assert outside_cli(raisers) == set()


FORKERS = {
    "host/child.py",  # create's half that makes the init
    "host/exec.py",
    "host/criu.py",  # posix_spawn neither enters a cgroup nor makes a mount namespace
    "host/idmap.py",  # a child that only holds a user namespace with its maps
    "container/listener.py",  # who brings a seccomp listener to an ordinary user
    "container/init.py",
    "workers.py",
    "shim/daemon.py",  # the process that serves is a copy of the one that was started
    "shim/work.py",
    "container/enter.py",  # exec's program is born in the pid namespace, which its maker cannot enter
}


def test_few_places_fork() -> None:
    assert callers("fork", "vfork", "clone3", "forkpty") <= FORKERS


def test_only_the_container_executes_the_users_program() -> None:
    """Besides, sealing.py starts the interpreter anew, and host/criu.py becomes criu; hooks go through posix_spawn
    in kernel/processes.py.
    """
    executors = callers("execv", "execve", "execvp", "execvpe", "execl", "execlp", "fexecve", "execveat")
    assert executors <= {"container/exec.py", "sealing.py", "host/criu.py"}
    assert callers("posix_spawn", "posix_spawnp", "fork_exec", "system", "popen", "Popen") <= {"kernel/processes.py"}


def test_no_mutable_globals() -> None:
    """What a function changes it is given. A `global` statement is the sign of the opposite."""
    assert {source.name for source in sources() if "\n    global " in source.text} == set()
