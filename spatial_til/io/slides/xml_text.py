"""XML inside slide files, read with entity expansion off."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from spatial_til.errors import SlideError


def parse_xml(text: str | bytes, path: Path) -> Element:
    """Return the root of an XML text.

    Raises
    ------
    SlideError
        The text is not XML, or declares entities, which a slide never needs.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    if isinstance(text, str):
        # the declared encoding was that of the file; the text is decoded already
        text = text.partition("?>")[2] if text.lstrip().startswith("<?xml") else text
    try:
        root: Element = fromstring(text)
    except DefusedXmlException as error:
        msg = f"{path}: its XML header declares entities ({type(error).__name__}); that is refused as unsafe."
        raise SlideError(msg) from None
    except (ParseError, ValueError) as error:
        msg = f"{path}: its XML header cannot be read ({error}). Export the slide again."
        raise SlideError(msg) from error
    return root


def local(element: Element) -> str:
    """Return the tag of an element without its namespace."""
    return element.tag.rpartition("}")[2]


def children(element: Element, tag: str) -> list[Element]:
    """Return the direct children with a tag, whatever their namespace."""
    return [child for child in element if local(child) == tag]


def descendants(element: Element, tag: str) -> list[Element]:
    """Return every element below with a tag, whatever its namespace."""
    return [child for child in element.iter() if local(child) == tag]
