"""The first python that a command runs: makes pyrunc's modules importable, runs cli.main, leaves at once.

The 78 modules of `create` take 11.1 ms to import from as many .pyc files and 7.0 from one: much of the time
goes into looking for files, opening and checking them. So the build (tools/freeze.py) writes

    pyrunc/frozen.pyc = this module, compiled, with MODULES filled in, ready to be run as `python frozen.pyc`
                        + the marshalled code of every other module of pyrunc, one after the other

and the launcher starts that file. Only what a command imports is read from it. In the source tree there is no
such file and MODULES is empty: the same modules are then imported in the ordinary way.
"""

from __future__ import annotations

import gc
import marshal
import posix
import sys
from _frozen_importlib import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import NoReturn

# name -> (bytes between the start of its code and the end of the file, length of its code, is it a package,
# the modules of ours that it imports as soon as it runs)
MODULES: dict[str, tuple[int, int, bool, tuple[str, ...]]] = {}

# Where the standard library is, for a python that the launcher gave a home of our own (tools/freeze.py, write_home).
STDLIB: tuple[str, ...] = ()


class Frozen:
    """Finder and loader (importlib.abc) of the modules behind this one in frozen.pyc.

    What is not in there, a .so or a module that was added later, is left to the finders after this one.
    """

    def __init__(self, file: str, directory: str) -> None:
        self.directory = directory
        self.fd = posix.open(file, posix.O_RDONLY | posix.O_CLOEXEC)
        self.size = posix.fstat(self.fd).st_size

    def close(self) -> None:
        """Let go of the file: all that was wanted is loaded."""
        posix.close(self.fd)

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        """Return where a module comes from, or None if it is not one of ours."""
        if name not in MODULES:
            return None
        spec = ModuleSpec(name, self, is_package=MODULES[name][2])  # type: ignore[arg-type]
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(self.directory + name.replace(".", "/"))
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """Let the import system make the module object."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code. Raises EOFError or ValueError if the file was changed under us.

        What it imports is loaded first: its import statements then find it in sys.modules, instead of going
        through the import system for each, which takes longer than to read and run a module.
        """
        before_end, length, package, needs = MODULES[module.__name__]
        for name in needs:
            if name not in sys.modules:
                self.load(name)
        # The .py file is installed too: data files are found beside it.
        path = self.directory + module.__name__.replace(".", "/")
        module.__file__ = path + ("/__init__.py" if package else ".py")
        exec(marshal.loads(posix.pread(self.fd, length, self.size - before_end)), module.__dict__)

    def load(self, name: str) -> None:
        """Do what `import name` does, for one of our modules whose parent package is loaded."""
        module = type(sys)(name)
        module.__spec__ = self.find_spec(name, None)
        module.__loader__ = self  # type: ignore[assignment]
        parent, _, own = name.rpartition(".")
        if MODULES[name][2]:
            module.__path__ = [self.directory + name.replace(".", "/")]
        module.__package__ = name if MODULES[name][2] else parent
        sys.modules[name] = module
        try:
            self.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        if parent:
            setattr(sys.modules[parent], own, module)


def run() -> NoReturn:
    """Run the command in sys.argv and end the process with its exit code.

    Nothing here leaves cycles worth collecting, but importing alone would set off the collector: 1.5 ms.
    """
    gc.disable()
    from pyrunc.cli import main

    leave(main(sys.argv[1:]))


class Later:
    """Finder of those modules of ours that are not in the image: their packages think they are where it was made."""

    site = ""

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        """Return where a module is, below the directory `site`, or None if it is not one of ours."""
        package = name.rpartition(".")[0]
        if package.partition(".")[0] != "pyrunc":
            return None
        from _frozen_importlib_external import PathFinder

        return PathFinder.find_spec(name, [self.site + package.replace(".", "/")])


LATER = Later()


class Output:
    """A standard stream, of which pyrunc wants write and flush only. python's own has three layers to set up.

    Raises OSError from flush, which stderr does at the end of each line.
    """

    encoding, errors = "utf-8", "surrogateescape"

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.held: list[str] = []

    def write(self, text: str) -> int:
        """Take text, to be written at the next flush."""
        self.held.append(text)
        if self.fd == 2 and "\n" in text:
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Write what is held. A lone surrogate was a byte of an argument or a file name; others are shown escaped."""
        text, self.held = "".join(self.held), []
        try:
            data = text.encode(self.encoding, self.errors)
        except UnicodeEncodeError:
            data = text.encode(self.encoding, "backslashreplace")
        while data:
            data = data[posix.write(self.fd, data) :]


def resume(arguments: list[str]) -> NoReturn:
    """Run a command in the image (launcher/image.c), where all modules are loaded since it was made.

    `arguments` begin with the path of the image, SITE/pyrunc/image; where sealing.py started it there is a word
    behind that, in the place of what other interpreters keep in sys._xoptions. What belongs to a process and not to an
    installation is made anew: where modules come from, the standard streams, what CPython does to signals.
    """
    import _signal

    from pyrunc.cli import main

    path, _, mark = arguments[0].partition("?")
    if mark:
        sys._xoptions["pyrunc_sealed"] = True
    LATER.site = path.removesuffix("pyrunc/image")
    sys.argv = ["pyrunc", *arguments[1:]]
    sys.path[:] = [*STDLIB, LATER.site]
    sys.modules["pyrunc"].__path__ = [f"{LATER.site}pyrunc"]
    _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
    _signal.signal(_signal.SIGXFSZ, _signal.SIG_IGN)
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    sys.stdin = None
    sys.stdout = Output(1)
    sys.stderr = Output(2)
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
    if sys.prefix == f"{_site}pyrunc/home":
        sys.path[:] = STDLIB
        sys.modules["encodings"].__path__.append(f"{STDLIB[0]}/encodings")
    sys.path.append(_site)
    sys.meta_path.insert(0, Frozen(__file__, _site))
    run()
