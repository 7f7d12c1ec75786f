"""Values of the command line: text in, a value out, or one sentence that says what it must be."""

from __future__ import annotations

import argparse
from pathlib import Path


def folder(text: str) -> Path:
    """Return a path; none from a variable that a script left empty, which would be the folder it runs in."""
    if not text.strip():
        msg = "must be a folder, found nothing: name one (`.` is this one)"
        raise argparse.ArgumentTypeError(msg)
    return Path(text)


def positive(text: str) -> float:
    """Return a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        msg = f"must be a number above 0, found {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return value


def count(text: str) -> int:
    """Return a whole number above 0."""
    value = positive(text)
    if value != int(value):
        msg = f"must be a whole number, found {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(value)
