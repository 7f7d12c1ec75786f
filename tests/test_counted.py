"""One slide is no "1 slides", wherever a user reads it."""

import ast
import re
from pathlib import Path

import spatial_til
from spatial_til.batch.checks import check_study
from tests.batch_study import make_study

ROOT = Path(spatial_til.__file__).parent
#: A count, then a noun in the plural: `counted` says it for one thing, too. Those messages are of none or several.
_SEVERAL = r"images|planes|pages|values|channels;"
_PLURAL = re.compile(rf" (?:[a-z-]+ )?(?!{_SEVERAL}|(?:is|as|was|has|this|its|less|across|needs|goes)\b)[a-z-]+s\b")
_IN_PAGE = re.compile(r"(length|n_[a-z]+)(\.length)? ?\}\}? (?:[a-z-]+ )?[a-z]+s\b")


def _counts(node):
    return any(
        (isinstance(of, ast.Call) and getattr(of.func, "id", "") in ("len", "sum"))
        or (isinstance(of, ast.Name) and re.fullmatch(r"n|n_[a-z_]+|count|total|strokes|squares|left", of.id))
        for of in ast.walk(node)
    )


def _plurals(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.JoinedStr):
            for value, after in zip(node.values, node.values[1:], strict=False):
                said = isinstance(value, ast.FormattedValue) and isinstance(after, ast.Constant)
                if said and _counts(value.value) and "counted" not in ast.dump(value) and _PLURAL.match(after.value):
                    yield f"line {node.lineno}: {ast.unparse(value.value)}{after.value}"


def test_the_search_finds_what_it_looks_for():
    assert list(_plurals('f"{len(found)} slides failed"')) == ["line 1: len(found) slides failed"]
    assert list(_plurals('f"{n} tumour cells, 3 needed"')) == ["line 1: n tumour cells, 3 needed"]
    assert not list(_plurals("""f"{counted(len(found), 'slide')} failed, {n} is one" """))


def test_no_sentence_has_a_plural_for_any_number():
    found = [f"{path}, {of}" for path in ROOT.rglob("*.py") for of in _plurals(path.read_text(encoding="utf-8"))]
    assert found == []


def test_the_report_has_none_either():
    page = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "report" / "page").iterdir())
    assert [found.group() for found in _IN_PAGE.finditer(page)] == []


def test_one_slide_of_one_patient_with_one_problem(tmp_path):
    study = make_study(tmp_path, slides=1, broken=1)
    lines = check_study(study, None).lines
    assert lines[0].startswith("1 slide of 1 patient")
    assert "1 problem" in lines
