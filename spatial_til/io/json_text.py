"""JSON from files that anyone may have written: whatever is wrong with it is a ValueError."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises
    ------
    ValueError
        It is no JSON, is no UTF-8, or is nested more deeply than anything of use.

    Examples
    --------
    >>> parse_json('{"a": [1, 2.5]}')
    {'a': [1, 2.5]}
    """
    try:
        return json.loads(text)
    except RecursionError:
        msg = "it is nested too deeply"
        raise ValueError(msg) from None


def parse_object(text: str | bytes) -> dict[str, Any]:
    """Return the object of a JSON text.

    Raises
    ------
    ValueError
        As from `parse_json`, or it is another value.
    """
    values = parse_json(text)
    if not isinstance(values, dict):
        msg = "it is no JSON object"
        raise ValueError(msg)  # noqa: TRY004 - a text that is not what it should be, as any other
    return values
