"""Channels by name or index."""

from __future__ import annotations

from collections.abc import Sequence

from spatial_til.errors import SlideError

RGB = ("red", "green", "blue")


def name_channels(names: Sequence[str], n: int) -> tuple[str, ...]:
    """Return one name a channel: the file's where it has one, else the index.

    Examples
    --------
    >>> name_channels(["DAPI", ""], 3)
    ('DAPI', '1', '2')
    """
    padded = [*names, *[""] * n][:n]
    return tuple(name.strip() or str(i) for i, name in enumerate(padded))


def find_channels(channels: Sequence[str], wanted: Sequence[str | int]) -> tuple[int, ...]:
    """Return the index of each wanted channel.

    Parameters
    ----------
    channels
        Names of the channels of a slide.
    wanted
        Names, compared without case, or indices from 0, also as text. A name wins over an index.

    Raises
    ------
    SlideError
        One is missing, or a name is borne by several channels; the message lists those present.

    Examples
    --------
    >>> find_channels(["DAPI", "Opal 570"], ["opal 570", 0])
    (1, 0)
    """
    folded = [name.strip().casefold() for name in channels]
    found, problems = [], []
    for want in wanted:
        text = str(want).strip().casefold()
        hits = [i for i, name in enumerate(folded) if name == text and isinstance(want, str)]
        if not hits and text.isdecimal() and int(text) < len(channels):
            hits = [int(text)]
        if len(hits) == 1:
            found.append(hits[0])
        else:
            problems.append(f"Channel {want!r} {'names several channels' if hits else 'is not in the slide'}.")
    if problems:
        present = ", ".join(f"{i}: {name}" for i, name in enumerate(channels))
        msg = f"{' '.join(problems)} Present: {present}. Write a name as it is there, or an index"
        raise SlideError(msg)
    return tuple(found)
