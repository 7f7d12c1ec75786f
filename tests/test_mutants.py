"""The sampler of wrong changes: what it changes, what it leaves alone, and which tests it asks."""

import ast

import pytest

from benchmarks.mutants.__main__ import summary
from benchmarks.mutants.__main__ import tests_for as covering_tests
from benchmarks.mutants.mutate import mutants_of

SOURCE = '''"""Docs with 1 < 2."""
from numba import njit


@njit(cache=True)
def kernel(x: int) -> int:
    """Return 3 - 2."""
    if x < 0:
        raise ValueError(f"{x + 1} is below 0")
    return max(x, 7) - 1


def plain(é, b=True):
    return é and b, dict(a=1, strict=True)
'''


@pytest.fixture
def mutants(tmp_path):
    path = tmp_path / "code.py"
    path.write_text(SOURCE, encoding="utf-8")
    return mutants_of(path, tmp_path)


def test_every_kind_of_change_is_made_in_its_place(mutants):
    made = {(m.old, m.new) for m in mutants}
    assert {("x < 0", "(x <= 0)"), ("x < 0", "(x > 0)"), ("x < 0", "(not (x < 0))")} <= made
    assert {("max(x, 7) - 1", "(max(x, 7) + 1)"), ("max", "min"), ("7", "8"), ("7", "(6)")} <= made
    assert {("max(x, 7) - 1", "None"), ("é and b", "(é or b)"), ("True", "False")} <= made
    assert ("dict(a=1, strict=True)", "dict(strict=True)") in made
    for mutant in mutants:
        changed = mutant.apply(SOURCE)
        assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(SOURCE))


def test_words_annotations_decorators_and_checks_are_left_alone(mutants):
    assert {m.line for m in mutants} == {8, 10, 13, 14}
    assert not any("strict" in m.old and "strict" not in m.new for m in mutants if m.kind == "argument dropped")


def test_each_change_has_a_name_of_its_own(mutants):
    assert len({m.key for m in mutants}) == len(mutants)


def test_the_tests_that_reach_a_line_are_asked_quickest_first(mutants):
    covering = {
        "seconds": {"slow": 2.0, "quick": 0.1, "other": 1.0},
        "lines": {"code.py": {"13": [], "14": ["slow", "quick"]}},
    }
    inside = next(m for m in mutants if m.line == 14)
    at_import = next(m for m in mutants if m.line == 13)
    compiled = next(m for m in mutants if m.line == 10)
    assert covering_tests(inside, covering) == ["quick", "slow"]
    assert covering_tests(at_import, covering) == ["quick", "slow"]  # nobody's line: the tests of the module
    assert covering_tests(compiled, covering) == ["quick", "slow"]  # coverage does not see inside a kernel
    covering["lines"]["code.py"].pop("14")
    assert covering_tests(inside, covering) == []


def test_equivalent_changes_leave_the_share():
    rows = [{"status": s} for s in ("killed", "killed (timeout)", "killed", "survived", "equivalent")]
    found = summary(rows, 0, 100)
    assert (found["killed"], found["survived"], found["equivalent"]) == (3, 1, 1)
    assert found["share_killed"] == 0.75
