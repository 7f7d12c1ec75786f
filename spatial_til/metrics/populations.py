"""Which cells make up a population: expressions such as ``CD8+ & LAG3+ & !TIM3+``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NoReturn, TypeAlias

import numpy as np

from spatial_til.errors import ProtocolError
from spatial_til.model import BoolArray

#: The name that stands for tumour cells, in panels and in expressions.
TUMOR = "tumor"


@dataclass(frozen=True, slots=True)
class Marker:
    """Cells that a marker's call makes positive; `tumor` means tumour cells."""

    name: str


@dataclass(frozen=True, slots=True)
class Not:
    """All cells but these."""

    of: Expression


@dataclass(frozen=True, slots=True)
class And:
    """Cells that are in each of these."""

    of: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Cells that are in any of these."""

    of: tuple[Expression, ...]


Expression: TypeAlias = Marker | Not | And | Or

EVERY_CELL = And(())


def parse_population(text: str, markers: Sequence[str]) -> Expression:
    """Parse an expression over marker calls.

    Parameters
    ----------
    text
        Terms ``<marker>+`` and ``<marker>-``, and ``tumor`` for tumour cells; ``!`` not, ``&`` and, ``|``
        or, in this order of precedence, and brackets.
    markers
        Names that may occur. `tumor` among them where tumour cells are known.

    Raises
    ------
    ProtocolError
        If the text is not such an expression or names an unknown marker.

    Examples
    --------
    >>> parse_population("CD8+ & PD-L1-", ["CD8", "PD-L1"])
    And(of=(Marker(name='CD8'), Not(of=Marker(name='PD-L1'))))
    """
    parser = _Parser(text, markers)
    expression = parser.any_of()
    if parser.tokens:
        parser.fail(f"unexpected {parser.tokens[0]!r}")
    return expression


class _Parser:
    """Recursive descent: what is left of the tokens is the only state."""

    def __init__(self, text: str, markers: Sequence[str]) -> None:
        self.text = text
        self.markers = markers
        self.tokens = [t for t in (part.strip() for part in re.findall(r"[&|!()]|[^&|!()]+", text)) if t]

    def fail(self, found: str) -> NoReturn:
        known = ", ".join(f"{name}+" for name in self.markers)
        msg = (
            f"population {self.text!r}: {found}; write terms such as CD8+ or PD-L1- joined by &, |, ! and "
            f"brackets (known here: {known})"
        )
        raise ProtocolError([msg])

    def any_of(self) -> Expression:
        terms = [self.all_of()]
        while self.tokens[:1] == ["|"]:
            self.tokens.pop(0)
            terms.append(self.all_of())
        return terms[0] if len(terms) == 1 else Or(tuple(terms))

    def all_of(self) -> Expression:
        terms = [self.term()]
        while self.tokens[:1] == ["&"]:
            self.tokens.pop(0)
            terms.append(self.term())
        return terms[0] if len(terms) == 1 else And(tuple(terms))

    def term(self) -> Expression:
        if not self.tokens:
            self.fail("the expression ends where a term should be")
        word = self.tokens.pop(0)
        if word == "!":
            return Not(self.term())
        if word == "(":
            inner = self.any_of()
            if self.tokens[:1] != [")"]:
                self.fail("a bracket is not closed")
            self.tokens.pop(0)
            return inner
        return self.marker(word)

    def marker(self, word: str) -> Expression:
        name, sign = (word, "+") if word == TUMOR else (word[:-1].strip(), word[-1])
        if sign not in "+-":
            self.fail(f"{word!r} does not end in + or -")
        if name not in self.markers:
            self.fail(f"no marker {name!r} here")
        return Marker(name) if sign == "+" else Not(Marker(name))


def standard_populations(markers: Sequence[str]) -> dict[str, Expression]:
    """Return the populations every slide is reported for, by name.

    `all`, ``<marker>+``, every pair such as ``CD8+PD-L1+``; where `tumor` is among the markers also
    `tumor`, ``<marker>+tumor`` and ``<marker>+nontumor``.

    Examples
    --------
    >>> list(standard_populations(["CD8", "PD-L1"]))
    ['all', 'CD8+', 'PD-L1+', 'CD8+PD-L1+']
    """
    named = [name for name in markers if name != TUMOR]
    populations: dict[str, Expression] = {"all": EVERY_CELL}
    populations |= {f"{name}+": Marker(name) for name in named}
    populations |= {f"{a}+{b}+": And((Marker(a), Marker(b))) for a, b in combinations(named, 2)}
    if TUMOR in markers:
        tumor = Marker(TUMOR)
        populations[TUMOR] = tumor
        populations |= {f"{name}+tumor": And((Marker(name), tumor)) for name in named}
        populations |= {f"{name}+nontumor": And((Marker(name), Not(tumor))) for name in named}
    return populations


def all_populations(markers: Sequence[str], own: Mapping[str, str]) -> dict[str, Expression]:
    """Return the standard populations, then those of the protocol's `[populations]`, by name.

    Raises
    ------
    ProtocolError
        If one of the protocol's own is no expression over these markers.
    """
    return standard_populations(markers) | {name: parse_population(text, markers) for name, text in own.items()}


def markers_in(expression: Expression) -> frozenset[str]:
    """Return the markers whose calls decide who is in a population.

    Examples
    --------
    >>> sorted(markers_in(standard_populations(["CD8", "tumor"])["CD8+nontumor"]))
    ['CD8', 'tumor']
    """
    match expression:
        case Marker(name):
            return frozenset({name})
        case Not(of):
            return markers_in(of)
        case And(of) | Or(of):
            return frozenset().union(*map(markers_in, of))


def select_populations(
    populations: Mapping[str, Expression],
    calls: Mapping[str, BoolArray],
    *,
    n_cells: int,
    tumor_cell: BoolArray | None,
) -> dict[str, BoolArray]:
    """Return which cells belong to each population.

    Parameters
    ----------
    populations
        Expressions by name.
    calls
        (n,) positivity of each marker.
    n_cells
        Number of cells, n.
    tumor_cell
        (n,) which cells are tumour cells; None where that is not known, and then no expression may ask.
    """
    known = calls if tumor_cell is None else {**calls, TUMOR: tumor_cell}
    return {name: _cells_in(expression, known, n_cells) for name, expression in populations.items()}


def _cells_in(expression: Expression, calls: Mapping[str, BoolArray], n_cells: int) -> BoolArray:
    """Return which cells an expression holds for."""
    match expression:
        case Marker(name):
            return calls[name]
        case Not(of):
            return ~_cells_in(of, calls, n_cells)
        case And(of):
            return _combine(np.logical_and, (_cells_in(e, calls, n_cells) for e in of), np.ones(n_cells, np.bool_))
        case Or(of):
            return _combine(np.logical_or, (_cells_in(e, calls, n_cells) for e in of), np.zeros(n_cells, np.bool_))


def _combine(operator: np.ufunc, parts: Iterable[BoolArray], neutral: BoolArray) -> BoolArray:
    """Return masks joined by a logical operator; the neutral mask is used up as the result."""
    for part in parts:
        operator(neutral, part, out=neutral)
    return neutral
