"""The first python that a command runs: makes pyrunc's modules importable, runs cli.main, leaves at once.

Importing thirty modules from thirty .pyc files takes 6.0 ms, from one file 2.8 (medians; minima 4.2 and 2.0):
most of the time goes into looking for files, opening and checking them. So the build (setup.py) writes

    pyrunc/frozen.pyc = this module, compiled, with MODULES filled in, ready to be run as `python frozen.pyc`
                        + the marshalled code of every other module of pyrunc, one after the other

and the launcher starts that file. Only what a command imports is read from it. In the source tree there is no
such file and MODULES is empty: the same modules are then imported in the ordinary way.
"""

from __future__ import annotations

import marshal
import posix
import sys
from _frozen_importlib import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import NoReturn

# name -> (bytes between the start of its code and the end of the file, length of its code, is it a package)
MODULES: dict[str, tuple[int, int, bool]] = {}


class Frozen:
    """Finder and loader (importlib.abc) of the modules behind this one in frozen.pyc.

    What is not in there, a .so or a module that was added later, is left to the finders after this one.
    """

    def __init__(self, file: str, directory: str) -> None:
        self.directory = directory
        self.fd = posix.open(file, posix.O_RDONLY | posix.O_CLOEXEC)
        self.size = posix.fstat(self.fd).st_size

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        """Return where a module comes from, or None if it is not one of ours."""
        if name not in MODULES:
            return None
        package = MODULES[name][2]
        spec = ModuleSpec(name, self, is_package=package)  # type: ignore[arg-type]  # a Loader by its methods
        if package:
            spec.submodule_search_locations = [self.directory + name.replace(".", "/")]
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """Let the import system make the module object."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code. Raises EOFError or ValueError if the file was changed under us."""
        before_end, length, package = MODULES[module.__name__]
        # The .py file is installed too: data files are found beside it.
        path = self.directory + module.__name__.replace(".", "/")
        module.__file__ = path + ("/__init__.py" if package else ".py")
        exec(marshal.loads(posix.pread(self.fd, length, self.size - before_end)), module.__dict__)


def run() -> NoReturn:
    """Run the command in sys.argv and end the process with its exit code."""
    from pyrunc.cli import main

    leave(main(sys.argv[1:]))


def leave(status: int) -> NoReturn:
    """End the process without the interpreter's own clean-up, which takes 1.4 ms and has nothing to clean.

    A command whose output could not be written has failed, whatever it thinks itself.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            status = status or 1
    posix._exit(status)


if __name__ == "__main__":
    # The launcher names us by an absolute path, SITE/pyrunc/frozen.pyc; SITE also has our dependencies. It
    # comes last: nothing in there can take the place of a module of the standard library.
    _site = __file__.removesuffix("pyrunc/frozen.pyc")
    sys.path.append(_site)
    sys.meta_path.insert(0, Frozen(__file__, _site))
    run()
