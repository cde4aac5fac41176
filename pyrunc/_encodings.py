"""The `encodings` package that the launcher's python finds first, with UTF-8 only.

python loads `encodings` before anything else. The standard library's own brings a table of three hundred aliases and
is looked for in a directory of two hundred entries: 0.6 of the 6 ms that an empty program takes. So the build puts
this module into a small home of its own (tools/freeze.py), which the launcher names as python's. Every other encoding,
which no command needs unless something has gone wrong, comes from the standard library's package: _start.py adds its
directory.
"""

from __future__ import annotations

import codecs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_UTF_8 = ("utf-8", "utf_8", "utf8")


class _Encoder(codecs.IncrementalEncoder):
    def encode(self, input: str, final: bool = False) -> bytes:
        return codecs.utf_8_encode(input, self.errors)[0]


class _Decoder(codecs.BufferedIncrementalDecoder):
    def _buffer_decode(self, input: ReadableBuffer, errors: str, final: bool) -> tuple[str, int]:
        return codecs.utf_8_decode(input, errors, final)


def _decode(data: ReadableBuffer, errors: str = "strict") -> tuple[str, int]:
    return codecs.utf_8_decode(data, errors, True)


def search(name: str) -> codecs.CodecInfo | None:
    """Find a codec (codecs.register); names come in lower case."""
    if name in _UTF_8:
        return codecs.CodecInfo(
            name="utf-8",
            encode=codecs.utf_8_encode,
            decode=_decode,
            incrementalencoder=_Encoder,
            incrementaldecoder=_Decoder,
        )
    return _search_library(name)


def _search_library(name: str) -> codecs.CodecInfo | None:
    """Find a codec as the standard library's package does: one module an encoding, under its name or an alias."""
    try:
        from encodings.aliases import aliases

        plain = name.replace("-", "_").replace(" ", "_")
        module = __import__(f"encodings.{aliases.get(plain, plain)}", fromlist=["getregentry"])
    except ImportError:
        return None
    info: codecs.CodecInfo = module.getregentry()
    return info


codecs.register(search)
