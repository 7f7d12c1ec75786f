"""The notebooks run from top to bottom, without a warning, and are stored without outputs."""

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
NEEDS_SAMPLES = {"02_three_biopsies"}


def cells(path, kind):
    return [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == kind]


def test_there_are_four():
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_cleared(path):
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells(path, "code"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_piece_of_code_is_introduced(path):
    everything = json.loads(path.read_text("utf-8"))["cells"]
    kinds = [cell["cell_type"] for cell in everything]
    assert kinds[0] == "markdown"
    assert "".join(everything[0]["source"]).startswith("# ")
    words = sum(len("".join(cell["source"]).split()) for cell in cells(path, "markdown"))
    assert words > 150  # it teaches


def run(path):
    """Run a notebook; return it with its outputs."""
    nbformat = pytest.importorskip("nbformat", reason="nbclient is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    book = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(book, timeout=200, kernel_name="python3", resources={"metadata": {"path": FOLDER}})
    client.execute()
    return book


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_without_a_warning(path):
    if path.stem in NEEDS_SAMPLES and not (FOLDER.parent / "sample_slides" / "truth").exists():
        pytest.skip("sample_slides/ is not there: make samples")
    book = run(path)
    shown = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert not [o for o in shown if o["output_type"] == "stream" and o["name"] == "stderr" and "Warning" in o["text"]]
