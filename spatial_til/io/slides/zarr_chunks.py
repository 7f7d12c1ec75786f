"""Whether a compressed chunk is what it says, and how much it unpacks to, found out before it is unpacked."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from spatial_til.counted import counted
from spatial_til.errors import SlideError

#: Checksums beside the pixels.
_SLACK_BYTES = 64
_CHECKSUMS = {"crc32c", "crc32", "adler32", "fletcher32"}
#: Codecs that do not say how much they hold: it is counted, which unpacks a chunk once more.
_STREAMS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(47),
    "zlib": zlib.decompressobj,
    "bz2": bz2.BZ2Decompressor,
    "lzma": lzma.LZMADecompressor,
}


def check_unpacked(file: Path, codecs: Sequence[str], chunk_bytes: int) -> None:
    """Refuse a chunk that says that it holds more than its pixels, or does: a decompression bomb, or damage.

    Parameters
    ----------
    codecs
        Names of the codecs of the array, in the order in which they pack.
    chunk_bytes
        What the pixels of one chunk take.

    Raises
    ------
    SlideError
        It unpacks to more, or its file ends before it does.

    Notes
    -----
    Not known beforehand for chunks in shards, and for Zstandard without a content size, which no Zarr library writes.
    """
    packed = [name for name in codecs if name not in _CHECKSUMS]
    if not packed or not file.is_file():
        return
    most = chunk_bytes + _SLACK_BYTES
    if packed[-1] == "blosc":
        _check_length(file)
    found = _counted(file, packed[-1], most) if packed[-1] in _STREAMS else _declared(file, packed[-1])
    if found > most:
        told = f"at least {found}" if packed[-1] in _STREAMS else found
        msg = f"{file}: this chunk unpacks to {told} bytes, and its pixels take {chunk_bytes}. Copy the folder again."
        raise SlideError(msg)


def _check_length(file: Path) -> None:
    """Refuse a Blosc chunk that says it is longer than its file: the library would read on in memory not its own."""
    with file.open("rb") as opened:
        head = opened.read(16)
    size = file.stat().st_size
    if len(head) < 16 or int.from_bytes(head[12:16], "little") > size:
        msg = f"{file}: this chunk is cut short or damaged ({counted(size, 'byte')}). Copy the folder again."
        raise SlideError(msg)


def _counted(file: Path, codec: str, most: int) -> int:
    """Return how many bytes come out; no more than one beyond `most` are unpacked."""
    try:
        return len(_STREAMS[codec]().decompress(file.read_bytes(), most + 1))
    except (OSError, ValueError, EOFError, zlib.error, lzma.LZMAError):
        return 0  # decoding says what is wrong


def _declared(file: Path, codec: str) -> int:
    """Return the bytes that the head of a chunk declares; 0 where it does not."""
    with file.open("rb") as opened:
        head = opened.read(18)
    match codec:
        case "blosc":
            return int.from_bytes(head[4:8], "little")
        case "lz4":
            return int.from_bytes(head[:4], "little")
        case "zstd":
            return _zstd_declared(head)
    return 0


def _zstd_declared(head: bytes) -> int:
    """Return the content size in the header of a Zstandard frame (RFC 8878, 3.1.1.1)."""
    if head[:4] != b"\x28\xb5\x2f\xfd" or len(head) < 6:
        return 0
    flag, single = head[4] >> 6, head[4] >> 5 & 1
    start = 5 + (not single) + (0, 1, 2, 4)[head[4] & 3]
    size = (single, 2, 4, 8)[flag]
    return int.from_bytes(head[start : start + size], "little") + (256 if flag == 1 else 0)
