"""Compressed files as streams of bytes and of text.

Promises: memory does not grow with the file; compression is told by the first bytes, not by the name; whatever was
readable before the point of damage is handed out before the damage is reported as a `SourceError`.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import zstandard

from pipeline.corpus.raw_pages import BROKEN
from pipeline.errors import SourceError

CHUNK_BYTES = 1 << 18
MAGIC = {b"BZh": "bz2", b"\x1f\x8b": "gz", b"\x28\xb5\x2f\xfd": "zst"}
FETCH_AGAIN = "fetch the file again, then `rampforge resume` or start the run anew"

# What neither XML nor a Parquet text column can hold: control characters, lone surrogates (bytes that are no UTF-8
# are decoded to these), noncharacters.
NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def read_chunks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, decompressed, in order.

    Raises SourceError when the file is missing, unreadable, truncated or damaged.
    """
    try:
        with path.open("rb") as file:
            kind = _compression(file)
            if kind == "zst":
                yield from _unzstd(file)
            else:
                # read1 hands out what one step gives; read would lose it when the next step fails.
                stream = bz2.BZ2File(file) if kind == "bz2" else gzip.GzipFile(fileobj=file) if kind == "gz" else file
                while chunk := stream.read1(CHUNK_BYTES):
                    yield chunk
    except EOFError:
        raise SourceError(f"{path.name} is truncated", FETCH_AGAIN) from None
    except FileNotFoundError:
        raise SourceError(f"{path} does not exist", "check corpus.sources") from None
    except (OSError, zlib.error, zstandard.ZstdError) as error:
        raise SourceError(f"{path.name} cannot be read: {error}", FETCH_AGAIN) from None


def _compression(file: BinaryIO) -> str:
    head = file.read(4)
    file.seek(0)
    return next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), "")


def _unzstd(file: BinaryIO) -> Iterator[bytes]:
    """Decompress frame after frame; unlike zstandard's own reader, notice a frame that never ends."""
    frame = None
    while data := file.read(CHUNK_BYTES):
        while data:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            if chunk := frame.decompress(data):
                yield chunk
            data = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError


def read_head(path: Path, size: int = 4096) -> bytes:
    """Up to the first `size` bytes of a file, decompressed; fewer when it is damaged after them."""
    head = b""
    try:
        for chunk in read_chunks(path):
            head += chunk
            if len(head) >= size:
                break
    except SourceError:
        if not head:
            raise
    return head[:size]


def detect_encoding(head: bytes) -> str:
    """UTF-16 by its mark or by a first character that is ASCII, else UTF-8."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if head[1:2] == b"\x00":
        return "utf-16-le"
    return "utf-16-be" if head[:1] == b"\x00" and head[1:2] else "utf-8-sig"


class TextStream:
    """The text of a file, read like an open text file; `BROKEN` stands where bytes are no text."""

    def __init__(self, path: Path) -> None:
        self._chunks = read_chunks(path)
        self._name = path.name
        self._decoder: codecs.IncrementalDecoder | None = None

    def read(self, _size: int = -1) -> str:
        """The next piece of text, of a size of its own choice; empty at the end."""
        for chunk in self._chunks:
            if self._decoder is None:
                encoding = detect_encoding(chunk)
                errors = "surrogateescape" if encoding == "utf-8-sig" else "surrogatepass"
                self._decoder = codecs.getincrementaldecoder(encoding)(errors)
            if text := self._decode(chunk):
                return text
        return self._decode(b"", final=True) if self._decoder is not None else ""

    def lines(self) -> Iterator[str]:
        """Lines, without their ends."""
        rest = ""
        while piece := self.read():
            *lines, rest = (rest + piece).split("\n")
            yield from lines
        if rest:
            yield rest

    def _decode(self, chunk: bytes, final: bool = False) -> str:
        if self._decoder is None:
            return ""
        try:
            text = self._decoder.decode(chunk, final)
        except UnicodeDecodeError as error:
            raise SourceError(f"{self._name} is no valid {error.encoding}: {error.reason}", FETCH_AGAIN) from None
        return NOT_TEXT.sub(BROKEN, text)
