"""Events as lines of JSON and back, digit for digit."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

import shapely
from shapely.geometry import MultiPolygon, mapping

from spatial_til.io.json_text import parse_object
from spatial_til.io.schema import PHENOTYPES
from spatial_til.review.events import EVENTS, REGION_NAMES, Event

#: Of the lines; a reader of this version refuses a larger one.
SCHEMA = 1
_MAX = sys.float_info.max


def _name(kind: type[Event]) -> str:
    """Return ``region_edit`` for RegionEdit."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in kind.__name__).lstrip("_")


KINDS: Mapping[str, type[Event]] = {_name(kind): kind for kind in EVENTS}


def event_line(event: Event) -> str:
    """Return an event as one line, without its line break."""
    values: dict[str, Any] = {"schema": SCHEMA, "event": _name(type(event))}
    for field in fields(event):
        value = getattr(event, field.name)
        values[field.name] = mapping(value) if isinstance(value, MultiPolygon) else value
    return json.dumps(values, ensure_ascii=False, allow_nan=False)


def parse_line(line: str) -> Event:
    """Return the event of one line.

    Raises
    ------
    ValueError
        Where it is none; the message says what is wrong with it.
    """
    values = parse_object(line)
    schema = values.pop("schema", None)
    if schema != SCHEMA:
        msg = f"schema {schema} is not {SCHEMA}: it was written by another version of spatial-til"
        raise ValueError(msg)
    name = values.pop("event", None)
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        msg = f"{name!r} is no event (one of {', '.join(KINDS)})"
        raise ValueError(msg)
    expected = {field.name for field in fields(kind)}
    if set(values) != expected:
        missing, unknown = sorted(expected - set(values)), sorted(set(values) - expected)
        found = "; ".join([*(f"{n} is missing" for n in missing), *(f"{n} is not known" for n in unknown)])
        msg = f"{name}: {found}"
        raise ValueError(msg)
    return kind(**{key: _checked(key, value) for key, value in values.items()})


def _checked(key: str, value: Any) -> Any:
    check, needed = _FIELDS[key]
    found = check(value)
    if found is _WRONG:
        msg = f"{key} must be {needed}, found {json.dumps(value)[:60]}"
        raise ValueError(msg)
    return found


_WRONG = object()


def _if(test: Callable[[Any], bool]) -> Callable[[Any], Any]:
    return lambda value: value if test(value) else _WRONG


def _is_number(value: Any) -> bool:
    # compared, not converted: a whole number may be beyond every float
    return isinstance(value, int | float) and not isinstance(value, bool) and -_MAX <= value <= _MAX


def _number(value: Any) -> Any:
    return float(value) if _is_number(value) else _WRONG


def _optional(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


def _is_time(value: Any) -> bool:
    try:
        return datetime.fromisoformat(value).utcoffset() is not None
    except (TypeError, ValueError):
        return False


def _is_figures(value: Any) -> bool:
    return isinstance(value, dict) and all(v is None or isinstance(v, str) or _is_number(v) for v in value.values())


def _is_calls(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(v, bool) for v in value.values())


def _geometry(value: Any) -> Any:
    try:
        found = shapely.geometry.shape(value)
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError, RecursionError):
        return _WRONG
    except shapely.errors.ShapelyError:
        return _WRONG
    return found if isinstance(found, MultiPolygon) and found.is_valid else _WRONG


_TEXT = (_if(lambda v: isinstance(v, str)), "text")
_BOOL = (_if(lambda v: isinstance(v, bool)), "true or false")
_POSITION = (_number, "a finite number")
_COUNT = (_if(lambda v: isinstance(v, int) and not isinstance(v, bool) and v > 0), "a whole number above 0")
_FIGURES = (_if(_is_figures), "numbers, text or null by name")
#: What each field must hold: how it is read, and what the message says.
_FIELDS: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    **dict.fromkeys(("who", "why", "measure_key", "image_sha256", "marker", "slide_id", "version"), _TEXT),
    **dict.fromkeys(("positive", "blinded"), _BOOL),
    **dict.fromkeys(("x_um", "y_um"), _POSITION),
    **dict.fromkeys(("n", "line"), _COUNT),
    **dict.fromkeys(("before", "after"), _FIGURES),
    "when": (_if(_is_time), "an ISO time with its offset"),
    "region": (_if(lambda v: v in REGION_NAMES), f"one of {', '.join(REGION_NAMES)}"),
    "geometry": (_optional(_geometry), "a valid GeoJSON MultiPolygon, or null"),
    "value": (_optional(_number), "a finite number, or null"),
    "calls": (_if(_is_calls), "true or false by marker"),
    "phenotype": (
        _optional(_if(lambda v: v in PHENOTYPES)),
        f"one of {', '.join(PHENOTYPES)}, or null",
    ),
}
