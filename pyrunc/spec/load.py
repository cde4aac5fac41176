"""config.json -> Spec: typed, frozen, every MUST that needs no look at the host checked."""

from __future__ import annotations

import errno
import posix

from pyrunc.errors import ConfigError, SpecError
from pyrunc.jsontext import parse as parse_json
from pyrunc.spec.config import read_spec
from pyrunc.spec.process import read_process
from pyrunc.spec.read import Reader, kind_of
from pyrunc.spec.resources import read_resources
from pyrunc.spec.rules import check, check_process, check_resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

    from pyrunc.spec.config import Spec
    from pyrunc.spec.process import Process
    from pyrunc.spec.resources import Resources


def load(bundle_dir: str) -> Spec:
    """Read the configuration of a bundle (bundle.md).

    Raises ConfigError with every problem found: the file is missing or unreadable, not UTF-8, not JSON, or
    breaks the spec.
    """
    file = f"{bundle_dir}/config.json"
    return parse(read_text(file), file)


def read_text(file: str) -> str:
    """Read a configuration's text. Raises ConfigError where it is missing, unreadable or not UTF-8."""
    try:
        return _read(file).decode()
    except UnicodeDecodeError as err:
        _refuse(file, f"must be UTF-8 (byte {err.start} is not)", err)
    except OSError as err:
        # Not strerror: engines take the words of ENOENT and EACCES for "the program cannot be run".
        reason = errno.errorcode.get(err.errno or 0, "no reason given")
        missing = "is missing: a bundle has a config.json"
        _refuse(file, missing if reason == "ENOENT" else f"cannot be read ({reason})", err)


def parse(text: str, file: str) -> Spec:
    """Read a configuration from memory; `file` is only named in the error.

    Raises ConfigError with every problem found.
    """
    problems: list[SpecError] = []
    spec = read_spec(_reader_of(text, file, "", problems))
    _conclude(file, problems, check(spec, _namespaces_read(problems)))
    return spec


def parse_process(text: str, file: str) -> Process:
    """Read what `exec --process` is given: a document that is config.json's `process` alone.

    Raises ConfigError; its paths are those of config.json.
    """
    problems: list[SpecError] = []
    process = read_process(_reader_of(text, file, ".process", problems))
    _conclude(file, problems, check_process(process))
    return process


def parse_resources(text: str, file: str) -> Resources:
    """Read what `update --resources` is given: a document that is config.json's `linux.resources` alone.

    Raises ConfigError; its paths are those of config.json.
    """
    problems: list[SpecError] = []
    resources = read_resources(_reader_of(text, file, ".linux.resources", problems))
    _conclude(file, problems, check_resources(resources))
    return resources


def _reader_of(text: str, file: str, path: str, problems: list[SpecError]) -> Reader:
    try:
        document = parse_json(text)
    except ValueError as err:
        _refuse(file, f"is not JSON: {err}", err)
    if type(document) is not dict:
        _refuse(file, f"must be an object, not {kind_of(document)}", None)
    return Reader(document, path, problems)


def _conclude(file: str, problems: list[SpecError], broken: Iterator[SpecError]) -> None:
    """Raise ConfigError with what could not be read and the rules that are broken besides, if any."""
    problems += [problem for problem in broken if not problems or _is_news(problem, problems)]
    if problems:
        raise ConfigError(file, tuple(problems))


def _read(file: str) -> bytes:
    # O_NONBLOCK: a FIFO in the place of the file must not keep us waiting for a writer.
    fd = posix.open(file, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
    try:
        content = b""
        while piece := posix.read(fd, max(posix.fstat(fd).st_size + 1, 65536)):
            content += piece
        return content
    finally:
        posix.close(fd)


def _refuse(file: str, problem: str, cause: Exception | None) -> NoReturn:
    raise ConfigError(file, (SpecError(".", problem),)) from cause


def _namespaces_read(problems: list[SpecError]) -> bool:
    """Tell whether a missing entry in .linux.namespaces is really missing, or only could not be read."""
    return not any(each.path == ".linux" or each.path.startswith(".linux.namespaces") for each in problems)


def _is_news(problem: SpecError, known: list[SpecError]) -> bool:
    """False when a broken rule only follows from a value, here, above or below, that could not be read."""
    return not any(_holds(each.path, problem.path) or _holds(problem.path, each.path) for each in known)


def _holds(outer: str, inner: str) -> bool:
    return inner == outer or inner.startswith((f"{outer}.", f"{outer}["))
