"""A bundle of bundles/ as its test speaks about it: copied, built, run by the command line, gone at the end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bundles import folder
from tests.lanes import SLOWNESS
from tests.scenario import host
from tests.scenario.bundle import Result

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT = 40.0 + 5.0 * SLOWNESS


class Built:
    """A copy of one bundle, with a state root of its own. Ids are made of the token and a short name."""

    def __init__(self, runtime: str, name: str, workshop: Path) -> None:
        self.runtime = runtime
        self.token = workshop.name
        self.workshop = workshop
        self.dir = folder.build(name, workshop / name)
        self.root = workshop / "state"
        self._calls = 0
        self._created = workshop / "none"

    def id(self, of: str) -> str:
        """The id of a container by the short name that the test gives it."""
        return f"{self.token}-{of or 'only'}"

    def change(self, of: str, edit: Callable[[dict[str, Any]], object]) -> None:
        """Change the config.json in a folder of the bundle, "" for the one at the top."""
        path = self.dir / of / "config.json"
        config = json.loads(path.read_text())
        edit(config)
        path.write_text(json.dumps(config))

    def config(self, of: str = "") -> dict[str, Any]:
        """The config.json in a folder of the bundle."""
        found: dict[str, Any] = json.loads((self.dir / of / "config.json").read_text())
        return found

    def pyrunc(self, *words: str, **more: Any) -> Result:
        """Any command of the runtime. Output goes through files: a container would keep a pipe open."""
        return self.execute(self.runtime, "--root", str(self.root), *words, **more)

    def execute(self, *command: str, **more: Any) -> Result:
        """Any program, with an environment by which what it leaves behind is found."""
        self._calls += 1
        out, err = (self.workshop / f"{self._calls}.{kind}" for kind in ("out", "err"))
        environment = {**os.environ, host.TOKEN_VARIABLE: self.token}
        with out.open("w") as stdout, err.open("w") as stderr:
            done = subprocess.run(
                command,
                **{"stdin": subprocess.DEVNULL, "timeout": TIMEOUT, "env": environment, "check": False, **more},
                stdout=stdout,
                stderr=stderr,
            )
        return Result(command, done.returncode, *(path.read_text(errors="replace") for path in (out, err)))

    def run(self, of: str = "", id: str = "", flags: tuple[str, ...] = (), **more: Any) -> Result:
        """`run` the bundle in the folder `of`; more is for subprocess.run."""
        return self.pyrunc("run", "--bundle", str(self.dir / of), *flags, self.id(id or of), **more)

    def create(self, of: str = "", id: str = "", **more: Any) -> Result:
        """`create` it, which must succeed."""
        done = self.pyrunc("create", "--bundle", str(self.dir / of), self.id(id or of), **more).ok()
        self._created = self.workshop / f"{self._calls}.out"
        return done

    def last_output(self) -> Path:
        """The file with the output of the container that was created last."""
        return self._created

    def start(self, id: str = "") -> Result:
        """`start` it, which must succeed."""
        return self.pyrunc("start", self.id(id)).ok()

    def exec(self, id: str, *words: str, flags: tuple[str, ...] = ()) -> Result:
        """`exec` of a program in it."""
        return self.pyrunc("exec", *flags, self.id(id), *words)

    def kill(self, id: str = "", signal: str = "KILL") -> Result:
        """`kill` it, which must succeed."""
        return self.pyrunc("kill", self.id(id), signal).ok()

    def delete(self, id: str = "", *flags: str) -> Result:
        """`delete` it, which must succeed."""
        return self.pyrunc("delete", *flags, self.id(id)).ok()

    def state(self, id: str = "") -> dict[str, Any]:
        """What `state` prints."""
        found: dict[str, Any] = self.pyrunc("state", self.id(id)).ok().json()
        return found

    def clean(self) -> list[str]:
        """Delete all containers by force, and report what even that leaves behind."""
        for entry in sorted(os.listdir(self.root)) if self.root.exists() else []:
            if self.token in entry:
                self.pyrunc("delete", "--force", entry)
        host.reap()
        left: list[str] = []
        if not host.eventually(lambda: not host.leftovers(self.token, self.root), 2):
            left = host.leftovers(self.token, self.root)
            host.sweep(self.token)
        assert not host.mounts_of(self.token), "a mount below the bundle cannot be removed: nothing is deleted there"
        shutil.rmtree(self.workshop)
        return left


def paragraphs(said: str) -> dict[str, str]:
    """What a script printed, by its headings: lines that begin with `== `."""
    parts = f"\n{said}".split("\n== ")[1:]
    return {title.strip(): text.strip() for title, _, text in (part.partition("\n") for part in parts)}
