"""Population expressions: every row of the truth table, precedence, and errors that help."""

import itertools

import numpy as np
import pytest

from spatial_til.errors import ProtocolError
from spatial_til.metrics.populations import parse_population, select_populations, standard_populations

TABLE = np.array(list(itertools.product([False, True], repeat=4)))
A, B, C, TUMOR = TABLE.T  # CD8, PD-L1, HLA class I, tumour
CALLS = {"CD8": A, "PD-L1": B, "HLA class I": C}
MARKERS = ["CD8", "PD-L1", "HLA class I", "tumor"]


def select(text, tumor_cell=TUMOR):
    parsed = {"it": parse_population(text, MARKERS)}
    return select_populations(parsed, CALLS, n_cells=len(TABLE), tumor_cell=tumor_cell)["it"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CD8+", A),
        ("CD8+ & PD-L1-", A & ~B),
        ("CD8+&PD-L1+&!HLA class I+", A & B & ~C),
        ("CD8+ | PD-L1+ & HLA class I+", A | (B & C)),
        ("(CD8+ | PD-L1+) & HLA class I+", (A | B) & C),
        ("!(CD8+ & PD-L1+)", ~(A & B)),
        ("!!CD8+", A),
        ("!CD8- & tumor", A & TUMOR),
        ("CD8+ & !tumor", A & ~TUMOR),
        ("CD8+ & tumor-", A & ~TUMOR),
    ],
)
def test_expressions_against_numpy(text, expected):
    np.testing.assert_array_equal(select(text), expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("CD8+ &", "ends where a term"),
        ("", "ends where a term"),
        ("(CD8+", "bracket is not closed"),
        ("CD8+) ", r"unexpected '\)'"),
        ("CD8", "'CD8' does not end in"),
        ("CD8+ PD-L1+", "no marker 'CD8\\+ PD-L1'"),
        ("LAG3+", r"no marker 'LAG3' here.*known here: CD8\+, PD-L1\+"),
        ("__import__('os')+", "no marker|unexpected|does not end"),
    ],
)
def test_faults_are_named(text, message):
    with pytest.raises(ProtocolError, match=message):
        parse_population(text, MARKERS)


def test_standard_populations_with_tumor_cells():
    populations = standard_populations(MARKERS)
    masks = select_populations(populations, CALLS, n_cells=len(TABLE), tumor_cell=TUMOR)
    expected = {
        "all": A | True,
        "CD8+": A,
        "PD-L1+": B,
        "HLA class I+": C,
        "CD8+PD-L1+": A & B,
        "CD8+HLA class I+": A & C,
        "PD-L1+HLA class I+": B & C,
        "tumor": TUMOR,
        "CD8+tumor": A & TUMOR,
        "PD-L1+tumor": B & TUMOR,
        "HLA class I+tumor": C & TUMOR,
        "CD8+nontumor": A & ~TUMOR,
        "PD-L1+nontumor": B & ~TUMOR,
        "HLA class I+nontumor": C & ~TUMOR,
    }
    assert list(masks) == list(expected)
    for name, members in expected.items():
        np.testing.assert_array_equal(masks[name], members, err_msg=name)


def test_without_tumor_cells_there_are_no_tumor_populations():
    assert list(standard_populations(["CD8", "PD-L1"])) == ["all", "CD8+", "PD-L1+", "CD8+PD-L1+"]


def test_calls_are_not_changed():
    before = A.copy()
    select("CD8+ & PD-L1+ | !CD8+")
    np.testing.assert_array_equal(A, before)
