"""Which libraries a program needs: what ldd(1) tells, without running anything.

ldd starts the program's own loader, the one that is named in the program: for a file of unknown origin this is to run
whatever it names (ldd(1), "Security"). Here the file is only read: elf(5) for the format, ld.so(8) for where the
loader looks. Not followed are LD_LIBRARY_PATH, LD_PRELOAD and what a program opens later by dlopen(3).
"""

from __future__ import annotations

import glob
import struct
from pathlib import Path
from typing import NamedTuple

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NEEDED, DT_STRTAB, DT_RPATH, DT_RUNPATH = 1, 5, 15, 29
MOST_ENTRIES = 100_000  # a table that claims to be longer is a lie
ALWAYS = ("/lib", "/usr/lib", "/lib64", "/usr/lib64")


class Segment(NamedTuple):
    """A program header: its kind, where it is in the file, at which address it is mapped, its bytes in the file."""

    kind: int
    offset: int
    address: int
    size: int


class Elf:
    """What the loader reads of one file. An ELF is 64 bits wide on every machine that python 3.11 is made for.

    Raises OSError, and ValueError for a file that is no such ELF, or a broken one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path.read_bytes()
        if self.data[:5] != b"\x7fELF\x02":
            raise ValueError(f"{path}: not a 64-bit ELF")
        self.order = ">" if self.data[5:6] == b"\2" else "<"
        (self.machine,) = self._read("H", 18)
        self.segments = self._segments()
        self.dynamic = self._dynamic()

    def _read(self, layout: str, offset: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self.order + layout, self.data, offset)
        except struct.error:
            raise ValueError(f"{self.path}: cut off, or not the ELF that it claims to be") from None

    def _segments(self) -> list[Segment]:
        (table,) = self._read("Q", 32)
        size, count = self._read("HH", 54)
        found = []
        for number in range(count):
            kind, _, offset, address, _, length = self._read("IIQQQQ", table + number * size)
            found.append(Segment(kind, offset, address, length))
        return found

    def _dynamic(self) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for segment in self.segments:
            if segment.kind != PT_DYNAMIC:
                continue
            for number in range(min(segment.size // 16, MOST_ENTRIES)):
                tag, value = self._read("QQ", segment.offset + number * 16)
                if tag == 0:
                    break
                found.append((tag, value))
        return found

    @property
    def interpreter(self) -> str:
        """The loader that the kernel starts in the program's place; "" for a static program or a library."""
        for segment in self.segments:
            if segment.kind == PT_INTERP:
                return self._text(segment.offset)
        return ""

    @property
    def needed(self) -> list[str]:
        """The libraries by the names that the program has for them."""
        return self._strings(DT_NEEDED)

    def directories(self) -> list[str]:
        """Where this file says that its libraries are: DT_RUNPATH, or the older DT_RPATH where there is none."""
        lists = self._strings(DT_RUNPATH) or self._strings(DT_RPATH)
        origin = str(self.path.resolve().parent)
        found = [entry for one in lists for entry in one.split(":") if entry]
        return [entry.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for entry in found]

    def _strings(self, wanted: int) -> list[str]:
        tables = [value for tag, value in self.dynamic if tag == DT_STRTAB]
        if not tables:
            return []
        start = self._offset(tables[0])
        return [self._text(start + value) for tag, value in self.dynamic if tag == wanted]

    def _offset(self, address: int) -> int:
        for segment in self.segments:
            if segment.kind == PT_LOAD and segment.address <= address < segment.address + segment.size:
                return segment.offset + address - segment.address
        raise ValueError(f"{self.path}: an address that is in no part of the file")

    def _text(self, offset: int) -> str:
        end = self.data.find(b"\0", offset)
        if offset >= len(self.data) or end < 0:
            raise ValueError(f"{self.path}: a name without an end")
        return self.data[offset:end].decode()


def is_elf(path: Path) -> bool:
    """Say whether a file is a program or library that Elf can read. Raises OSError."""
    with path.open("rb") as file:
        return file.read(5) == b"\x7fELF\x02"


class Library(NamedTuple):
    """A file that a program needs: where it is on this host, and where a tree without a loader's cache has it."""

    path: Path
    inside: str


def loader_and_libraries(program: Path) -> list[Library]:
    """Return the files that a program needs in order to start, the loader first.

    Nothing for a static program, or for a script. Raises OSError, ValueError; FileNotFoundError names the library
    that is not there.
    """
    if not is_elf(program):
        return []
    first = Elf(program)
    if not first.interpreter:
        return []
    loader = Path(first.interpreter)
    found = {loader.name: loader}
    waiting = [first]
    while waiting:
        elf = waiting.pop(0)
        for name in elf.needed:
            if name not in found:
                found[name] = locate(name, elf, first)
                waiting.append(Elf(found[name]))
    return [Library(path, _place(path, found)) for path in found.values()]


def _place(path: Path, found: dict[str, Path]) -> str:
    """Where the loader looks without a cache is its business; but libc is in one of these directories."""
    libc = [each for name, each in found.items() if name.startswith("libc.")]
    if libc and str(path.parent) in configured():
        return str(libc[0].parent / path.name)
    return str(path)


def locate(name: str, needed_by: Elf, program: Elf) -> Path:
    """Return where the loader finds a library of one file of a program. Raises FileNotFoundError, OSError."""
    if "/" in name:
        places = [Path(name)]
    else:
        own = [*needed_by.directories(), *program.directories()]
        places = [Path(directory, name) for directory in (*own, *configured(), *ALWAYS)]
    for place in places:
        # A library for another machine may have the same name: the loader passes over it too.
        if place.is_file() and is_elf(place) and Elf(place).machine == program.machine:
            return place
    raise FileNotFoundError(f"{needed_by.path} needs {name}, which is in none of the loader's directories")


def configured(file: str = "/etc/ld.so.conf") -> list[str]:
    """Return the directories that ldconfig(8) makes the loader's cache from, in their order.

    musl has no cache but a file with directories (/etc/ld-musl-MACHINE.path).
    """
    musl = [line for path in glob.glob("/etc/ld-musl-*.path") for line in Path(path).read_text().split()]
    return [*listed(file), *(entry for line in musl for entry in line.split(":"))]


def listed(file: str) -> list[str]:
    """Return the directories in one file of ldconfig's, includes followed; none if there is no such file."""
    found: list[str] = []
    for line in Path(file).read_text().splitlines() if Path(file).is_file() else []:
        words = line.partition("#")[0].split()
        if words[:1] == ["include"]:
            patterns = [str(Path(file).parent / word) for word in words[1:]]
            found += [entry for pattern in patterns for path in sorted(glob.glob(pattern)) for entry in listed(path)]
        else:
            found += words
    return found
