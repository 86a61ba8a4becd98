"""Compressed files as streams of bytes and of text.

Guarantees: constant memory, whatever the size of the file and of its content; compression is detected by the first
bytes, not by the name; everything readable before the point of damage is returned before the damage is reported as a
`SourceError`.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import zstandard

from pipeline.corpus.readers.raw_page import BROKEN
from pipeline.errors import SourceError

CHUNK_BYTES = 1 << 18
ZSTD_STEP = 1 << 9
"""Compressed bytes passed to zstandard at a time: its output is unbounded, and may be 32,768 times as large."""
XZ_MEMORY = 1 << 28
"""Memory limit for an xz file: `xz -9` needs 65 MiB."""
MAGIC = re.compile(rb"(?P<bz2>BZh)|(?P<gz>\x1f\x8b)|(?P<zst>\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18)|(?P<xz>\xfd7zX)")
FETCH_AGAIN = "fetch the file again, then use `rampforge resume` or start a new run"
DAMAGE = (OSError, zlib.error, zstandard.ZstdError, lzma.LZMAError, EOFError)

# What neither XML nor a Parquet text column can contain: control characters, lone surrogates (bytes that are not UTF-8
# are decoded to these), noncharacters.
NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def read_chunks(path: Path) -> Iterator[bytes]:
    """Yield the decompressed bytes of a file in pieces of bounded size.

    Raises SourceError when the file is missing, unreadable, truncated or damaged.
    """
    try:
        with path.open("rb") as file:
            kind = _compression(file)
            if kind in ("zst", "xz"):
                yield from _gather(_unzstd(file) if kind == "zst" else _unxz(file))
            else:
                # read1 returns the output of one step; read would lose it when the next step fails.
                stream = bz2.BZ2File(file) if kind == "bz2" else gzip.GzipFile(fileobj=file) if kind == "gz" else file
                while chunk := stream.read1(CHUNK_BYTES):
                    yield chunk
    except EOFError:
        raise SourceError(f"{path} is truncated", FETCH_AGAIN) from None
    except FileNotFoundError:
        raise SourceError(f"{path} does not exist", "check corpus.sources") from None
    except DAMAGE as error:
        raise SourceError(f"{path} is not readable: {error}", FETCH_AGAIN) from None


def _compression(file: BinaryIO) -> str:
    found = MAGIC.match(file.read(4))
    file.seek(0)
    return found.lastgroup or "" if found else ""


def _unzstd(file: BinaryIO) -> Iterator[bytes]:
    """Decompress frame after frame; unlike zstandard's own reader, detect a frame that never ends."""
    frame = None
    while data := file.read(ZSTD_STEP):
        while data:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            yield frame.decompress(data)
            data = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError


def _unxz(file: BinaryIO) -> Iterator[bytes]:
    """Decompress stream after stream, with a memory limit that `lzma.LZMAFile` lacks."""
    stream = None
    while data := file.read(CHUNK_BYTES):
        while True:
            if stream is None:
                data = data.lstrip(b"\x00")  # padding between streams
                stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY) if data else None
            if stream is None or (not data and stream.needs_input):
                break
            yield stream.decompress(data, CHUNK_BYTES)
            data = stream.unused_data if stream.eof else b""
            stream = None if stream.eof else stream
    if stream is not None:
        raise EOFError


def _gather(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Regroup the bytes into pieces of one size; bytes before a point of damage are returned before it."""
    buffer = bytearray()
    try:
        for piece in pieces:
            buffer += piece
            while len(buffer) >= CHUNK_BYTES:
                yield bytes(buffer[:CHUNK_BYTES])
                del buffer[:CHUNK_BYTES]
    except DAMAGE:
        if buffer:
            yield bytes(buffer)
        raise
    if buffer:
        yield bytes(buffer)


def read_head(path: Path, size: int = 4096) -> bytes:
    """Return up to the first `size` bytes of a file, decompressed; fewer when it is damaged after them."""
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
    """Detect UTF-16 by its byte order mark or by a first ASCII character, else return UTF-8."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if head[1:2] == b"\x00":
        return "utf-16-le"
    return "utf-16-be" if head[:1] == b"\x00" and head[1:2] else "utf-8-sig"


def decode_head(head: bytes) -> str:
    """Decode the first bytes of a file, dropping truncated or invalid characters."""
    return head.decode(detect_encoding(head), "ignore")


def decode_text(data: bytes) -> str:
    """Decode bytes as UTF-8; `BROKEN` replaces invalid ones."""
    return NOT_TEXT.sub(BROKEN, data.decode("utf-8-sig", "surrogateescape"))


class TextStream:
    """Text of a file, read like an open text file; `BROKEN` replaces bytes that are not text."""

    def __init__(self, path: Path) -> None:
        self._chunks = read_chunks(path)
        self._name = path.name
        self._decoder: codecs.IncrementalDecoder | None = None

    def read(self, _size: int = -1) -> str:
        """Return the next piece of text, of arbitrary size; empty at the end."""
        for chunk in self._chunks:
            if self._decoder is None:
                encoding = detect_encoding(chunk)
                errors = "surrogateescape" if encoding == "utf-8-sig" else "surrogatepass"
                self._decoder = codecs.getincrementaldecoder(encoding)(errors)
            if text := self._decode(chunk):
                return text
        return self._decode(b"", final=True) if self._decoder is not None else ""

    def pieces(self) -> Iterator[str]:
        """Yield all of the text in pieces of bounded size."""
        return iter(self.read, "")

    def start(self, limit: int) -> str:
        """Return the first `limit` characters; the rest is read and dropped, so that damage in it is detected."""
        buffer, size = [], 0
        for piece in self.pieces():
            if size < limit:
                buffer.append(piece[: limit - size])
            size += len(piece)
        return "".join(buffer)

    def lines(self, limit: int) -> Iterator[str | None]:
        """Yield lines without their ends; None for one of more than `limit` characters, which is not buffered."""
        buffer: list[str] = []
        size = 0
        for piece in self.pieces():
            first, *others = piece.split("\n")
            size += len(first)
            if size <= limit:
                buffer.append(first)
            else:
                buffer.clear()
            if others:
                yield "".join(buffer) if size <= limit else None
                *whole, last = others
                yield from (line if len(line) <= limit else None for line in whole)
                buffer, size = [last], len(last)
        if size:
            yield "".join(buffer) if size <= limit else None

    def _decode(self, chunk: bytes, final: bool = False) -> str:
        if self._decoder is None:
            return ""
        try:
            text = self._decoder.decode(chunk, final)
        except UnicodeDecodeError as error:
            raise SourceError(f"{self._name} is not valid {error.encoding}: {error.reason}", FETCH_AGAIN) from None
        return NOT_TEXT.sub(BROKEN, text)
