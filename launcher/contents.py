"""What is in pyrunc/image: run by launcher/image.c, in the interpreter that the image is then made of.

    interpreter launcher/contents.py OUT FROZEN     imports all modules of FROZEN, a frozen.pyc

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


gc.disable()
sys.path[:] = [path for path in sys.path if not path.endswith("/lib-dynload")]
_start = start_module(sys.argv[3])
import_all(_start, sys.argv[3])
_start.PACKAGES += [sys.modules[name] for name, (_, _, package, _) in _start.MODULES.items() if package]
sys.modules["pyrunc._start"] = _start
sys.path_importer_cache.clear()
remember_directories(_start)
resume = _start.resume
gc.freeze()
