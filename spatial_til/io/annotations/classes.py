"""What a class of regions means here."""

from __future__ import annotations

_MEANING = {
    "tumor": "tumor",
    "tumour": "tumor",
    "tissue": "tissue",
    "exclude": "exclude",
    "necrosis": "exclude",
    "artefact": "exclude",
    "artifact": "exclude",
    "no margin": "no_margin",
}
UNCLASSIFIED = "(no class)"


def meaning_of(name: str) -> str | None:
    """Return the field of `Annotations` that a class name belongs to; None for other classes.

    Examples
    --------
    >>> meaning_of("TUMOUR"), meaning_of("Ignore*"), meaning_of("Stroma")
    ('tumor', 'exclude', None)
    """
    folded = " ".join(name.casefold().split())
    return "exclude" if folded.startswith("ignore") else _MEANING.get(folded)
