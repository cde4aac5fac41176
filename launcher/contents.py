"""What is in pyrunc/image: run by launcher/image.c, in the interpreter that the image is then made of.

    interpreter launcher/contents.py OUT FROZEN HOT     imports all modules of FROZEN, a frozen.pyc, and marks what
                                                        the functions in HOT, hot.txt, consist of and use (region.h)

The image holds no module that is a shared library: that would be loaded to another address in each process. The
few modules of pyrunc that need one are imported when they are wanted.
"""

from __future__ import annotations

import gc
import marshal
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NEED_SHARED_LIBRARIES = ("_ctypes",)
# Not to be imported: they run.
PROGRAMS = ("pyrunc.__main__", "pyrunc._start", "pyrunc._encodings")


def start_module(frozen: str) -> Any:
    """Return pyrunc._start as it is in frozen.pyc, which knows what else is there."""
    fd = posix.open(frozen, posix.O_RDONLY)
    code = marshal.loads(posix.read(fd, posix.fstat(fd).st_size)[16:])
    posix.close(fd)
    module = type(sys)("pyrunc._start")
    exec(code, module.__dict__)
    return module


def import_all(start: Any, frozen: str) -> None:
    """Import every module of pyrunc that can be. Raises ImportError for all other reasons."""
    site = frozen.removesuffix("pyrunc/frozen.pyc")
    finder = start.Frozen(frozen, site)
    sys.meta_path.insert(0, finder)
    for name in start.MODULES:
        if name in PROGRAMS:
            continue
        try:
            __import__(name)
        except ModuleNotFoundError as error:
            if error.name not in NEED_SHARED_LIBRARIES:
                raise
    sys.meta_path.remove(finder)
    finder.close()


def remember_directories(start: Any) -> None:
    """Let the import system look through the standard library's directories now, and not when a module is wanted."""
    sys.path[:] = start.STDLIB
    try:
        __import__("no_module_has_this_name")
    except ModuleNotFoundError:
        pass


class Marks:
    """What commands touch: functions by name, and from there on what they consist of and look up."""

    def __init__(self) -> None:
        self.mark = __import__("_making").mark
        self.names: set[str] = set()
        self.done: set[int] = set()

    def functions(self, lines: list[str]) -> None:
        """Mark by lines of hot.txt, MODULE:QUALNAME. What is not there any more costs nothing but time."""
        for line in lines:
            name, _, path = line.partition(":")
            module = sys.modules.get(name)
            found: Any = module
            owner: Any = None
            for part in path.split("."):
                owner, found = found, getattr(found, "__dict__", {}).get(part)
            if found is not None:
                self.mark(module)
                self.anything(owner)
                self.function(found, module)

    def function(self, found: Any, module: Any) -> None:
        """Mark a function, or what stands in its place in a class, and the globals that it names."""
        self.mark(found)
        function = getattr(found, "__func__", None) or getattr(found, "fget", None) or found
        if type(function) is not type(start_module):
            return
        self.mark(function)
        self.code(function.__code__)
        self.anything(function.__defaults__)
        self.anything(function.__closure__)
        used = [module.__dict__[name] for name in function.__code__.co_names if name in module.__dict__]
        for value in used:
            self.anything(value)
            if type(value) is type(sys):
                for name in self.names & value.__dict__.keys():
                    self.anything(value.__dict__[name])

    def code(self, code: Any) -> None:
        """Mark code, its constants and names, and the code of functions inside of it."""
        self.mark(code)
        self.names.update(code.co_names)
        for value in (*code.co_names, *code.co_varnames, *code.co_consts):
            if type(value) is type(code):
                self.code(value)
            else:
                self.anything(value)

    def anything(self, value: Any) -> None:
        """Mark a value with what is in it. Of functions and modules only themselves: hot.txt says which are used."""
        if id(value) in self.done:
            return
        self.done.add(id(value))
        self.mark(value)
        if isinstance(value, type):
            self.type(value)
        elif type(value) not in (type(start_module), type(sys), type(len)):
            for each in gc.get_referents(value):
                self.anything(each)

    def type(self, kind: type) -> None:
        """Mark a class with its bases and what describes its instances."""
        for base in kind.__mro__:
            self.anything(base)
        for value in kind.__dict__.values():
            if type(value).__name__ in ("member_descriptor", "property", "dict", "tuple"):
                self.anything(value)

    def interpreter(self) -> None:
        """Mark what every function uses: modules by name, built-in functions, methods of built-in types."""
        import builtins

        self.mark(sys.modules)
        for module in (sys, builtins):
            self.mark(module)
        for name in self.names & builtins.__dict__.keys():
            self.mark(builtins.__dict__[name])
        kinds = [object]
        for kind in kinds:
            kinds += type.__subclasses__(kind)
            for name in self.names & kind.__dict__.keys():
                self.mark(kind.__dict__[name])
            if kind.__module__ == "builtins":
                self.mark(kind)


def mark_what_is_hot(file: str) -> None:
    """Let image.c know what to put together."""
    fd = posix.open(file, posix.O_RDONLY)
    lines = posix.read(fd, posix.fstat(fd).st_size).decode().split()
    posix.close(fd)
    marks = Marks()
    marks.functions(lines)
    marks.interpreter()


gc.disable()
sys.path[:] = [path for path in sys.path if not path.endswith("/lib-dynload")]
_start = start_module(sys.argv[3])
import_all(_start, sys.argv[3])
sys.modules["pyrunc._start"] = _start
sys.path_importer_cache.clear()
remember_directories(_start)
sys.meta_path.insert(0, _start.LATER)
resume = _start.resume
mark_what_is_hot(sys.argv[4])
for _name in ("_making", "__main__"):
    del sys.modules[_name]
sys._clear_type_cache()
gc.collect()
gc.freeze()
