"""The page of validation: what is missed stands first, what was not run is said, kept results die with the code."""

import json

import pytest

from benchmarks.validation import __main__ as command
from benchmarks.validation import closed_forms, measured
from benchmarks.validation.page import Bar, Run, Section, table


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "work", tmp_path / "images", tmp_path, quick=True)


def test_what_is_missed_and_what_limits_stand_first():
    sections = [
        Section("Good", "text", (Bar("speed", "30", "31", reached=True),)),
        Section("Bad", "text", (Bar("accuracy", "0.98", "0.97", reached=False),), ("Only in daylight.",)),
    ]
    page = command.page(sections, quick=True)
    first, rest = page.split("## What it reaches")
    assert "1 of 2 bars are missed" in first
    assert "| accuracy | 0.98 | **0.97** |" in first
    assert "- Only in daylight." in first
    assert "Research software" in first
    assert "--quick" in first
    assert "| speed | 30 | 31 |" in rest
    assert "accuracy" not in rest.split("## Good")[0]


def test_a_page_with_parts_left_out_says_so_before_it_says_that_all_is_well():
    page = command.page([Section("Good", "text", (Bar("speed", "30", "31", reached=True),))], quick=False, left=2)
    assert "All 1 bars are reached" in page
    assert page.index("**Incomplete: 2 of 10 parts were not run") < page.index("All 1 bars are reached")


def test_what_was_not_run_is_said_and_counts_as_a_limit(run):
    for section in (measured.faults(run), measured.speed(run)):
        assert "not run here" in section.text
        assert section.limits
        assert section.bars == ()


def test_files_of_other_commands_become_bars(run):
    row = {
        "parser": "all",
        "inputs": 110_000,
        "results": 9,
        "refused": 109_990,
        "faults": 1,
        "slowest_s": 2.5,
        "most_mib": 300.0,
    }
    (run.results / "fuzz.json").write_text(json.dumps({"seed": 0, "table": [row]}))
    (run.results / "speed.txt").write_text(
        "ours, two threads      23.5\nours / plain      31.0\ndecoding / ours     18.4\n"
    )
    (run.results / "stress.txt").write_text(
        "1 killed\n97 of 100 kills met a run at work\n100 of 100 folders equal the uninterrupted run\n"
    )
    bars = {bar.what: bar for bar in (*measured.faults(run).bars, *measured.speed(run).bars)}
    assert bars["Mutated inputs"].reached
    assert not bars["Mutated inputs that end in anything but a result or an error of ours"].reached
    assert bars["Runs killed and resumed: folders equal"].found == "100 of 100"
    assert bars["Speed, ours / plain"].reached
    assert not bars["Speed, decoding / ours"].reached


def test_a_slow_result_is_kept_until_its_code_changes(run, tmp_path):
    source = tmp_path / "code.py"
    source.write_text("a = 1\n")
    assert run.kept("slow", lambda: [1], of=[str(source)]) == [1]
    assert run.kept("slow", lambda: [2], of=[str(source)]) == [1]
    source.write_text("a = 2\n")
    assert run.kept("slow", lambda: [2], of=[str(source)]) == [2]


def test_closed_forms_hold(run):
    section = closed_forms.section(run)
    assert [bar.what for bar in section.bars if not bar.reached] == []
    assert "**no**" not in section.text


def test_a_value_that_is_off_is_said_to_be():
    assert not closed_forms.Value("area", 1.0, 1.1, 0.01).holds
    assert not closed_forms.Value("area", 1.0, float("nan"), 0.01).holds


def test_tables_are_markdown():
    assert table(("a", "b"), [(1, "x")]) == "| a | b |\n|---|---|\n| 1 | x |"
