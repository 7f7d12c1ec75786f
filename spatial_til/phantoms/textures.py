"""The four textures every painter samples from; one texture pixel is stretched to a size in µm at use."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from spatial_til.phantoms import fields

if TYPE_CHECKING:
    from spatial_til.phantoms.fields import Plane


@dataclass(frozen=True, slots=True)
class Textures:
    """Clumps of chromatin, fine grain, strands of collagen, and slow drift."""

    chromatin: Plane
    grain: Plane
    fibres: Plane
    slow: Plane


@cache
def textures() -> Textures:
    """Return the textures, made once."""
    return Textures(
        chromatin=fields.noise_texture(1, 3.0, 12.0),
        grain=fields.noise_texture(2, 1.5, 8.0),
        fibres=fields.noise_texture(3, 2.0, 9.0),
        slow=fields.noise_texture(4, 3.0, 14.0),
    )
