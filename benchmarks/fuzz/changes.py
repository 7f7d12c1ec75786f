"""How a valid file is damaged: bytes, words and numbers of a text, values and structure of JSON, XML and TIFF."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from random import Random
from typing import Any, TypeAlias

Change: TypeAlias = Callable[[bytes, Random], bytes]

NUMBERS = (
    "0", "-1", "1", "-0.0", "0.5", "1e-320", "1e308", "1e309", "-1e309", "NaN", "nan", "inf", "-Infinity", "9" * 25,
    "9" * 400, "9" * 5000, "2147483648", "4294967296", "18446744073709551616", "1,5", "1_000", "0x10", "1e", "٣", "½",
    "--1", "1e400", "65536", "1000001", "10000000",
)  # fmt: skip
WORDS = (
    "", " ", "\0", "\x1b[2J", "\ufeff", "é", "e\u0301", "İ", "ß", "\u202e", "🧬", "日本", "\ud800", "=1+1", "@SUM(A1)",
    "+cmd|' /C calc'!A0", "<script>alert(1)</script>", "../../etc/passwd", "/dev/null", "C:\\x", "a" * 70_000, "null",
    "true", "None", "Tumor", "Tissue", "CD8", "CD8+", "%s%n", "{0}", "${x}", "\r", "\n", '"', "'", ",", ";", "\t",
    "nan", "..", ".", "con", "-", "&", "\\u0000", "\\ud83d",
)  # fmt: skip
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORD = re.compile(rb"[A-Za-z_]{2,}")
_INTEGERS = (0, 1, 2, 3, 7, 8, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 1_000_000, 900_000, 12345)


def utf8(text: str) -> bytes:
    """Return UTF-8 in which half of a pair of surrogates stays what it is: no valid text."""
    return text.encode("utf-8", "surrogatepass")


def change_bytes(data: bytes, rng: Random) -> bytes:
    """Flip, overwrite, cut, remove, repeat, insert or move bytes, once to a few times."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        n = len(out)
        at, size = rng.randrange(n + 1), rng.choice((1, 2, 4, 8, 64, 512))
        match rng.randrange(8):
            case 0 if n:
                out[at % n] ^= 1 << rng.randrange(8)
            case 1:
                out[at : at + size] = rng.randbytes(size)
            case 2:
                out[at : at + size] = rng.choice((b"\0", b"\xff", b"\x7f", b" ")) * size
            case 3:
                del out[at:]
            case 4:
                del out[at : at + size]
            case 5:
                out[at:at] = out[at : at + size]
            case 6:
                out[at:at] = rng.randbytes(size)
            case 7:
                part = bytes(out[at : at + size])
                del out[at : at + size]
                to = rng.randrange(len(out) + 1)
                out[to:to] = part
    return bytes(out)


def change_text(data: bytes, rng: Random) -> bytes:
    """Replace a number or a word, take out, repeat or swap lines, or write the text in another encoding."""
    kind = rng.randrange(10)
    if kind < 4:
        return _replaced(data, _NUMBER, NUMBERS, rng)
    if kind < 6:
        return _replaced(data, _WORD, WORDS, rng)
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    match kind:
        case 6:
            lines[at : at + 1] = [lines[at]] * rng.choice((0, 0, 2, 2, 300))
        case 7:
            to = rng.randrange(len(lines))
            lines[at], lines[to] = lines[to], lines[at]
        case 8:
            text = data.decode("utf-8", "replace")
            return rng.choice(
                (
                    text.encode("utf-16"),
                    b"\xef\xbb\xbf" + data,
                    text.encode("latin-1", "replace").replace(b"e", b"\xe9"),
                    data.replace(b"\n", b"\r\n"),
                    data.replace(b"\n", b"\r"),
                    data.replace(b",", b";"),
                    data.replace(b".", b","),
                    data.replace(b'"', b""),
                )
            )
        case _:
            line = bytearray(lines[at])
            where = rng.randrange(len(line) + 1)
            line[where:where] = utf8(rng.choice(WORDS))
            lines[at] = bytes(line)
    return b"\n".join(lines)


def _replaced(data: bytes, pattern: re.Pattern[bytes], choices: tuple[str, ...], rng: Random) -> bytes:
    found = list(pattern.finditer(data))
    if not found:
        return change_bytes(data, rng)
    match = rng.choice(found)
    return data[: match.start()] + utf8(rng.choice(choices)) + data[match.end() :]


def change_cells(data: bytes, rng: Random) -> bytes:
    """Change a table: its cells, its columns (renamed, gone, twice, swapped) or the length of a row."""
    newline = b"\r\n" if b"\r\n" in data else b"\n"
    rows = [line.split(_separator(data)) for line in data.split(newline)]
    row = rng.choice(rows)
    at = rng.randrange(len(row))
    match rng.randrange(7):
        case 0 | 1:
            row[at] = utf8(rng.choice(NUMBERS))
        case 2:
            row[at] = utf8(rng.choice(WORDS))
        case 3:
            rows[0][at % len(rows[0])] = rng.choice((b"", b"x", rng.choice(rows[0]), rng.choice(rows[0]).upper()))
        case 4:
            for line in rows:
                del line[at : at + 1]
        case 5:
            for line in rows:
                line[at:at] = line[at : at + 1] * rng.choice((1, 200))
        case _:
            row[at : at + 1] = rng.choice(([], [b"", b""], [b'"'], [utf8(rng.choice(WORDS)), row[at]]))
    return newline.join(_separator(data).join(line) for line in rows)


def _separator(data: bytes) -> bytes:
    head = data.split(b"\n", 1)[0]
    return max((b"\t", b",", b";"), key=head.count)


_DEEP = (30, 200, 500, 2_000, 2_000, 2_000, 2_000, 100_000)


def change_json(data: bytes, rng: Random) -> bytes:
    """Change a value, a key or the structure of JSON, or of one line of JSON lines; or its text."""
    if rng.random() < 0.25:
        return change_text(data, rng)
    lines = data.split(b"\n")
    objects = [k for k, line in enumerate(lines) if line.startswith(b"{") and line.rstrip().endswith(b"}")]
    if len(objects) > 1:
        at = rng.choice(objects)
        lines[at] = json_changed(lines[at], rng)
        return b"\n".join(lines)
    return json_changed(data, rng)


def json_changed(data: bytes, rng: Random) -> bytes:
    """Change one JSON document."""
    values: Any = json.loads(data)
    holders = list(_holders(values))
    if not holders:
        return utf8(rng.choice(("null", "[]", "1", '"x"', "{}")))
    raw = ""
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        holder, key = rng.choice(holders)
        if (isinstance(holder, dict) and key not in holder) or (isinstance(holder, list) and key >= len(holder)):
            continue
        match rng.randrange(9):
            case 0 | 1 | 2:
                holder[key] = _odd(rng)
            case 3:
                del holder[key]
            case 4 if isinstance(holder, dict):
                holder[rng.choice(WORDS)] = holder.pop(key)
            case 5:
                other, name = rng.choice(holders)
                if not (isinstance(other, list) and name >= len(other)) and not (
                    isinstance(other, dict) and name not in other
                ):
                    holder[key] = json.loads(json.dumps(other[name]))
            case 6:
                holder[key] = [holder[key]] * rng.choice((1, 2, 500))
            case 7:
                raw = raw or rng.choice(('"@deep"', '"@twice"', '"@number"'))
                holder[key] = raw.strip('"')
            case _:
                holder[key] = {"type": holder[key], "name": holder[key]}
    text = json.dumps(values, ensure_ascii=rng.random() < 0.5)
    if raw:
        text = text.replace(raw, _raw(raw, rng), 1)
    return utf8(text)


def _holders(value: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) in a JSON value."""
    found: list[tuple[Any, Any]] = []
    todo = [value]
    while todo:
        here = todo.pop()
        for key in list(here) if isinstance(here, dict) else range(len(here)):
            found.append((here, key))
            if isinstance(here[key], dict | list):
                todo.append(here[key])
    return found


def _odd(rng: Random) -> Any:
    return rng.choice(
        (
            None, True, False, {}, [], [[]], [None], "", 0, -1, 1, 2**31, 2**63, 10**25, 10**400, 1e308, -1e308, 1e-320,
            0.1, float("nan"), float("inf"), [0, 0], [[0, 0], [1, 1]], {"type": "Point"}, {"name": None}, "1", "NaN",
            rng.choice(WORDS), rng.choice(WORDS), rng.choice(NUMBERS),
        )
    )  # fmt: skip


def _raw(kind: str, rng: Random) -> str:
    """Return JSON that no value makes: nesting, a key twice, or a number beyond any type."""
    if "deep" in kind:
        n = rng.choice(_DEEP)
        return rng.choice(("[" * n + "]" * n, '{"a":' * n + "1" + "}" * n, "[" * n))
    if "twice" in kind:
        return '{"type": "Polygon", "type": "Feature", "x": 1, "x": []}'
    return rng.choice(NUMBERS)


_TAG = re.compile(rb"<[A-Za-z][^<>]*>")
_VALUE = re.compile(rb'"[^"<>]*"')
_ENTITIES = (
    b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
    b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    b'<!DOCTYPE x SYSTEM "http://localhost:1/x.dtd">',
)


def change_xml(data: bytes, rng: Random) -> bytes:
    """Change an attribute, a tag or the structure of XML; declare entities; nest deeply; or change its text."""
    kind = rng.randrange(10)
    if kind < 2:
        return change_text(data, rng)
    if kind < 5:
        values = list(_VALUE.finditer(data))
        if values:
            match = rng.choice(values)
            new = utf8(rng.choice(rng.choice((NUMBERS, WORDS)))).replace(b'"', b"&quot;").replace(b"<", b"&lt;")
            return data[: match.start()] + b'"' + new + b'"' + data[match.end() :]
    tags = list(_TAG.finditer(data))
    if not tags:
        return change_bytes(data, rng)
    match = rng.choice(tags)
    start, end, tag = match.start(), match.end(), match.group()
    name = re.split(rb"[\s/>]", tag[1:], maxsplit=1)[0]
    match kind:
        case 5:
            return data[:start] + data[end:]
        case 6:
            return data[:end] + (tag if tag.endswith(b"/>") else tag + b"</" + name + b">") * 2000 + data[end:]
        case 7:
            n = rng.choice(_DEEP)
            return data[:end] + b"<" + name + b">" + (b"<" + name + b">") * n + (b"</" + name + b">") * n + data[end:]
        case 8:
            return data[:start] + rng.choice(_ENTITIES) + data[start:]
        case _:
            return data.replace(name, rng.choice((b"x", b"Annotation", b"Region", b"Pixels")), rng.choice((1, 2, -1)))


def change_tiff(data: bytes, rng: Random) -> bytes:
    """Change a tag of a directory of a TIFF, the way to the next one, or, less often, bytes anywhere."""
    entries, links, starts = _directories(data)
    if not entries or rng.random() < 0.3:
        return change_bytes(data, rng)
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at, big = rng.choice(entries)
        end = ">" if data[:2] == b"MM" else "<"
        match rng.randrange(7):
            case 0:
                struct.pack_into(f"{end}H", out, at, rng.choice((254, 256, 257, 258, 259, 262, 270, 273, 277, 278, 279,
                    282, 284, 317, 322, 323, 324, 325, 330, 338, 339, 347, 700, 65420)))  # fmt: skip
            case 1:
                struct.pack_into(f"{end}H", out, at + 2, rng.randrange(20))
            case 2:
                struct.pack_into(f"{end}{'Q' if big else 'I'}", out, at + 4, rng.choice(_INTEGERS))
            case 3:
                other, _ = rng.choice(entries)
                size = 20 if big else 12
                out[at : at + size] = data[other : other + size]
            case 4:
                struct.pack_into(f"{end}{'Q' if big else 'I'}", out, rng.choice(links), rng.choice(starts))
            case _:
                value = rng.choice((*_INTEGERS, rng.randrange(len(data)), at))
                struct.pack_into(f"{end}{'Q' if big else 'I'}", out, at + (12 if big else 8), value)
    return bytes(out)


def _directories(data: bytes) -> tuple[list[tuple[int, bool]], list[int], list[int]]:
    """Return where entries of directories begin and whether they are of a BigTIFF, links to directories, and starts."""
    end = ">" if data[:2] == b"MM" else "<"
    big = len(data) > 16 and struct.unpack_from(f"{end}H", data, 2)[0] == 43
    found: list[tuple[int, bool]] = []
    links: list[int] = []
    todo = [struct.unpack_from(f"{end}{'Q' if big else 'I'}", data, 8 if big else 4)[0]]
    seen: set[int] = set()
    while todo:
        at = todo.pop()
        if at in seen or not 0 < at < len(data) - 20:
            continue
        seen.add(at)
        n = struct.unpack_from(f"{end}{'Q' if big else 'H'}", data, at)[0]
        first, size = at + (8 if big else 2), 20 if big else 12
        if n > 200 or first + n * size + 8 > len(data):
            continue
        for k in range(n):
            entry = first + k * size
            found.append((entry, big))
            code, _, count = struct.unpack_from(f"{end}HH{'Q' if big else 'I'}", data, entry)
            if code == 330 and count == 1:
                todo.append(struct.unpack_from(f"{end}{'Q' if big else 'I'}", data, entry + (12 if big else 8))[0])
        links.append(first + n * size)
        todo.append(struct.unpack_from(f"{end}{'Q' if big else 'I'}", data, links[-1])[0])
    return found, links, sorted(seen - {0})
