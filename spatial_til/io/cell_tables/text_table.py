"""Text tables as vendors export them: any separator, decimal sign and encoding."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from spatial_til.errors import CellTableError
from spatial_til.io.cells import MAX_CELLS, check_number

if TYPE_CHECKING:
    import pandas as pd

_HEAD_BYTES = 1 << 20
_SAMPLE_ROWS = 50
_COMMA_NUMBER = re.compile(r"^-?\d+,\d+$")
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True, slots=True)
class TextTable:
    """How a text table is written, and its header."""

    path: Path
    encoding: str
    separator: str
    decimal: str
    columns: tuple[str, ...]

    def load(self, columns: Sequence[str], texts: Sequence[str]) -> pd.DataFrame:
        """Return some columns; those in `texts` as text, with "" for empty.

        Raises
        ------
        CellTableError
            The table is cut short or uneven.
        """
        import pandas as pd

        wanted = set(columns)
        try:
            frame = pd.read_csv(
                self.path, sep=self.separator, decimal=self.decimal, encoding=self.encoding,
                usecols=lambda name: name.strip() in wanted, dtype=dict.fromkeys(texts, str),
                keep_default_na=True, low_memory=False, skipinitialspace=True, nrows=MAX_CELLS + 1,
            )  # fmt: skip
        except (ValueError, OSError, EOFError, zlib.error) as error:
            msg = f"{self.path}: the cell table cannot be read ({error}). Export it again."
            raise CellTableError(msg) from error
        check_number(self.path, len(frame))
        frame.columns = [str(name).strip() for name in frame.columns]
        lost = sorted(wanted - {*frame.columns})
        if lost:
            msg = f"{self.path}: column {', '.join(lost)} cannot be read by its name. Export the table again."
            raise CellTableError(msg)
        for name in texts:
            frame[name] = frame[name].fillna("")
        return frame


def open_text_table(path: Path) -> TextTable:
    """Look at the beginning of a text table, plain or gzipped.

    Raises
    ------
    CellTableError
        The file is missing, empty or not text.
    """
    try:
        with _open(path) as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        msg = f"{path}: the cell table cannot be opened ({error}). Correct the path in the sheet."
        raise CellTableError(msg) from error
    encoding, text = _decoded(head, path)
    lines = text.splitlines()
    if not lines:
        msg = f"{path}: the cell table is empty. Export it again."
        raise CellTableError(msg)
    separator = max("\t;,", key=lines[0].count)
    rows = list(csv.reader(io.StringIO("\n".join(lines[: _SAMPLE_ROWS + 1])), delimiter=separator))
    columns = tuple(name.strip() for name in rows[0])
    fields = [value.strip() for row in rows[1:] for value in row]
    decimal = "," if separator != "," and any(map(_COMMA_NUMBER.match, fields)) else "."
    return TextTable(path, encoding, separator, decimal, columns)


def _open(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    return path.open("rb")


def _decoded(head: bytes, path: Path) -> tuple[str, str]:
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            return encoding, head.decode(encoding, "ignore")
    if b"\0" in head:
        msg = f"{path}: it is not a text table. Give inForm, HALO, QuPath or MCMICRO text, AnnData, or our Parquet."
        raise CellTableError(msg)
    try:
        # an incomplete last character belongs to what was not read
        return "utf-8", codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "cp1252", head.decode("cp1252", "replace")
