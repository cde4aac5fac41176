"""Write the modules of pyrunc/shim/protos from the .proto files beside them: `make protos`.

    python tools/protos.py [DIRECTORY]      into another directory, for whoever wants to compare

protoc, which grpcio-tools brings, reads the files; what is written are records for pyrunc/shim/codec.py.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PROTOS = Path(__file__).resolve().parents[1] / "pyrunc/shim/protos"
# FieldDescriptorProto.Type: the kind in the table, the annotation, what an absent value is.
SCALARS = {
    3: ("int", "int", "0"),
    4: ("uint", "int", "0"),
    5: ("int", "int", "0"),
    8: ("bool", "bool", "False"),
    9: ("str", "str", '""'),
    12: ("bytes", "bytes", 'b""'),
    13: ("uint", "int", "0"),
}
REPEATED = 3


def read(folder: Path) -> Any:
    """Return protoc's description of all files of a folder, a FileDescriptorSet."""
    from google.protobuf.descriptor_pb2 import FileDescriptorSet
    from grpc_tools import protoc

    with tempfile.NamedTemporaryFile() as file:
        names = sorted(path.name for path in folder.glob("*.proto"))
        if protoc.main(["protoc", f"-I{folder}", f"--descriptor_set_out={file.name}", *names]):
            raise SystemExit("protoc refuses the files")
        return FileDescriptorSet.FromString(Path(file.name).read_bytes())


def module(file: Any) -> str:
    """Return the source of one module."""
    lines = [f'"""Made of {file.name} by `make protos`: do not edit."""', "", "from __future__ import annotations", ""]
    imported = sorted(name.removesuffix(".proto") for name in file.dependency)
    lines += ["from pyrunc.shim.codec import Message"]
    for name in imported:
        used = {kind(field)[1] for each in file.message_type for field in each.field if is_foreign(field, file)}
        lines += [f"from pyrunc.shim.protos.{name} import {', '.join(sorted(used))}"]
    for message in file.message_type:
        lines += ["", "", f"class {message.name}(Message):", f'    """{file.package}.{message.name}."""']
        lines += message_lines(message)
    return "\n".join(lines) + "\n"


def is_foreign(field: Any, file: Any) -> bool:
    """Say whether a field's type is of another file, of which there is one at most."""
    return bool(field.type_name) and not field.type_name.startswith(f".{file.package}.")


def message_lines(message: Any) -> Iterator[str]:
    """Yield the body of a message's class."""
    maps = {each.name for each in message.nested_type if each.options.map_entry}
    rows: list[str] = []
    for field in message.field:
        key, annotation = kind(field)
        empty = SCALARS[field.type][2] if field.type in SCALARS else "None"
        shape = ""
        if annotation in maps:
            key, annotation, empty, shape = '"str"', "dict[str, str]", "{}", "map"
        elif field.label == REPEATED:
            annotation, empty, shape = f"tuple[{annotation}, ...]", "()", "list"
        elif field.type not in SCALARS:
            annotation += " | None"
        if not rows:
            yield ""
        yield f"    {field.name}: {annotation} = {empty}"
        rows.append(f'({field.number}, "{field.name}", {key}, "{shape}"),')
    if rows:
        yield from ("", "    _wire = (", *(f"        {row}" for row in rows), "    )")


def kind(field: Any) -> tuple[str, str]:
    """Return a field's kind as the table has it, and its annotation."""
    if field.type in SCALARS:
        key, annotation, _ = SCALARS[field.type]
        return f'"{key}"', annotation
    name = field.type_name.rpartition(".")[2]
    return name, name


def write(target: Path) -> list[Path]:
    """Write all modules into a directory, and return them."""
    written = []
    for file in read(PROTOS).file:
        path = target / f"{file.name.removesuffix('.proto')}.py"
        path.write_text(module(file))
        written.append(path)
    return written


if __name__ == "__main__":
    write(Path(sys.argv[1]) if sys.argv[1:] else PROTOS)
