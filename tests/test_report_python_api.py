"""The ten public names: documented with examples that run, typed, and cheap to import."""

import ast
import doctest
import inspect
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import spatial_til

ROOT = Path(__file__).parents[1]
PACKAGE = Path(spatial_til.__file__).parent


def test_examples_of_the_manual_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "python.md").read_text("utf-8")
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    examples = doctest.DocTestParser().get_doctest(text, {}, "python.md", "docs/python.md", 0)
    assert len(examples.examples) > 15
    assert doctest.DocTestRunner(optionflags=options).run(examples).failed == 0


def test_manual_uses_every_public_name():
    text = (ROOT / "docs" / "python.md").read_text("utf-8")
    assert [name for name in spatial_til.__all__ if f"st.{name}(" not in text] == []


def test_ten_names_listed_once():
    tree = ast.parse((PACKAGE / "__init__.pyi").read_text("utf-8"))
    listed = [alias.asname for node in tree.body for alias in node.names]
    assert sorted(listed) == sorted(spatial_til.__all__)
    assert len(listed) == 10


@pytest.mark.parametrize("name", spatial_til.__all__)
def test_public_names_are_documented_and_typed(name):
    thing = getattr(spatial_til, name)
    assert inspect.getdoc(thing)
    parameters = inspect.signature(thing).parameters.values()
    assert all(p.annotation is not inspect.Parameter.empty for p in parameters)


def test_importing_loads_nothing_heavy():
    """What makes importing slow, on any machine; the seconds are in benchmarks/startup_bench.py."""
    heavy = {"numpy", "scipy", "pandas", "pyarrow", "shapely", "cv2", "numba", "skimage", "matplotlib", "tifffile"}
    heavy |= {"imagecodecs", "zarr", "pydantic", "sklearn", "distributed", "napari"}
    code = "import sys, spatial_til; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & heavy == set()


def test_api_reference_builds_without_warnings(tmp_path, capsys):
    """In this process, which has imported every module already."""
    pytest.importorskip("pdoc", reason="pdoc is not installed")
    build = runpy.run_path(str(ROOT / "docs" / "build_api.py"))["build"]
    build(tmp_path, source=False)
    said = capsys.readouterr().err
    assert "warn" not in said.lower(), said
    page = (tmp_path / "spatial_til.html").read_text("utf-8")
    assert all(name in page for name in spatial_til.__all__)
    assert (tmp_path / "spatial_til" / "metrics" / "density.html").exists()
