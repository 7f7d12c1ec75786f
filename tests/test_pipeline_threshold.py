"""Cut-offs of a staining batch: pools, controls, frozen values."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from spatial_til.errors import ProtocolError
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.measured import Measured, read_measured, write_measured
from spatial_til.model import Cells, SlideMeta
from spatial_til.pipeline.threshold import find_thresholds, pool_of
from spatial_til.protocol import parse_protocol
from spatial_til.segmentation.thresholds import _pooled_quantile, find_threshold
from spatial_til.study import Job


def protocol(**marker):
    panel = {
        "modality": "brightfield",
        "stains": {
            "h": {"marker": "nuclei", "vector": "hematoxylin"},
            "d": {"marker": "CD8", "vector": "dab"},
        },
    }
    how = {"compartment": "cell", "statistic": "mean"} | marker
    return parse_protocol({"panel": panel, "markers": {"CD8": how}})


def add_slide(folder, slide_id, share, *, seed, control="", batch="", rules=None):
    """Store a slide of 4,000 cells, a share of which is positive, and return its job."""
    rng = np.random.default_rng(seed)
    n = 4000
    score = np.abs(rng.normal(0.05, 0.02, n))
    positive = rng.permutation(n) < share * n
    score[positive] = rng.normal(0.6, 0.12, positive.sum())
    xy = rng.uniform(0, 1000, (n, 2))
    area = np.full(n, 40.0)
    cells = Cells(xy[:, 0], xy[:, 1], area, area * 2, {"CD8_cell_mean": score.astype(np.float32)})
    write_measured(folder.measured(slide_id), Measured(slide_id, cells, None, None, None))
    meta = SlideMeta(slide_id, "" if control else "P1", "baseline", batch=batch)
    return Job(meta, None, rules or protocol(), control=control)


@pytest.fixture
def folder(tmp_path):
    return ScoredFolder(tmp_path)


def result(jobs, folder):
    pools = find_thresholds(jobs, folder)
    return pools[pool_of(jobs[0], "CD8")]


def test_two_populations_are_parted_between_them(folder):
    jobs = [add_slide(folder, f"s{i}", 0.1, seed=i) for i in range(3)]
    found = result(jobs, folder)
    assert 0.13 < found.threshold.threshold < 0.4
    assert found.threshold.n_positive == pytest.approx(3 * 400, abs=3)
    assert found.stain_verified
    assert found.threshold.batch == "study"


def test_half_a_percent_is_found(folder):
    jobs = [add_slide(folder, f"s{i}", 0.005, seed=i) for i in range(5)]
    found = result(jobs, folder)
    assert found.threshold.n_positive == pytest.approx(100, abs=3)


def test_no_second_population_means_no_cut_and_no_proof(folder):
    jobs = [add_slide(folder, f"s{i}", 0.0, seed=i) for i in range(3)]
    found = result(jobs, folder)
    assert found.threshold.threshold is None
    assert "no_positive_population" in found.threshold.flags
    assert not found.stain_verified
    assert not found.threshold.evaluable


def test_a_positive_control_proves_the_stain(folder):
    jobs = [add_slide(folder, f"s{i}", 0.0, seed=i) for i in range(3)]
    jobs.append(add_slide(folder, "control", 0.3, seed=9, control="positive"))
    found = result(jobs, folder)
    assert found.stain_verified
    assert found.threshold.evaluable


def test_a_negative_control_sets_the_cut(folder):
    jobs = [add_slide(folder, f"s{i}", 0.1, seed=i) for i in range(2)]
    jobs.append(add_slide(folder, "control", 0.0, seed=9, control="negative"))
    found = result(jobs, folder)
    assert found.threshold.method == "negative_control"
    assert found.threshold.n_cells == 8000  # the control is not in the pool


def test_a_fixed_cut_is_taken_at_its_word(folder):
    jobs = [add_slide(folder, "s", 0.1, seed=1, rules=protocol(threshold=0.55))]
    found = result(jobs, folder)
    assert (found.threshold.threshold, found.threshold.method) == (0.55, "fixed")


@pytest.mark.parametrize("threshold", [0.25, "auto"])
def test_cells_without_signal_are_not_among_the_compared(folder, threshold):
    job = add_slide(folder, "s", 0.1, seed=1, rules=protocol(threshold=threshold))
    stored = read_measured(folder.measured("s"))
    score = stored.cells.measurements["CD8_cell_mean"].copy()
    score[::4] = np.nan
    cells = replace(stored.cells, measurements={"CD8_cell_mean": score})
    write_measured(folder.measured("s"), replace(stored, cells=cells))
    found = result([job], folder).threshold
    assert (found.n_cells, found.evaluable) == (3000, True)
    assert found.n_positive == (score >= found.threshold).sum() > 0


def test_a_frozen_cut_comes_from_its_table(folder, tmp_path):
    table = tmp_path / "thresholds.csv"
    table.write_text("batch,marker,threshold\nstudy,CD8,0.33\n")
    jobs = [add_slide(folder, "s", 0.1, seed=1, rules=protocol(thresholds_from=str(table)))]
    found = result(jobs, folder)
    assert (found.threshold.threshold, found.threshold.method) == (0.33, "frozen")
    table.write_text("batch,marker,threshold\na,CD8,0.33\nb,CD8,0.4\n")
    with pytest.raises(ProtocolError, match="one row for CD8"):
        find_thresholds(jobs, folder)


def test_batches_have_their_own_cuts_and_order_does_not_matter(folder):
    jobs = [add_slide(folder, f"{b}{i}", 0.1, seed=i, batch=b) for b in "ab" for i in range(2)]
    one, other = find_thresholds(jobs, folder), find_thresholds(jobs[::-1], folder)
    assert {p.batch for p in one} == {"a", "b"}
    assert {p: r.threshold for p, r in one.items()} == {p: r.threshold for p, r in other.items()}


def test_a_batch_with_two_panels_is_told_apart(folder):
    jobs = [
        add_slide(folder, "s1", 0.1, seed=1, batch="a"),
        add_slide(folder, "s2", 0.1, seed=2, batch="a", rules=protocol(threshold=0.5)),
    ]
    names = {r.threshold.batch for r in find_thresholds(jobs, folder).values()}
    assert len(names) == 2
    assert all(name.startswith("a (brightfield ") for name in names)


def test_a_pool_of_large_slides_is_never_joined():
    """The pool's own size, once more for its sorted copy; a joined pool took nine times as much."""
    rng = np.random.default_rng(0)
    pool = [np.abs(rng.normal(0.05, 0.02, 20_000)).astype(np.float32) for _ in range(100)]
    for scores in pool:
        scores[:2000] += 0.5
    own = sum(scores.nbytes for scores in pool)
    tracemalloc.start()
    found = find_threshold(pool, batch="b", marker="CD8", modality="brightfield", statistic="mean")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.n_positive == pytest.approx(200_000, rel=0.001)
    assert peak < 1.5 * own


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_quantiles_of_a_pool_are_scores_of_it(kind):
    """Slides weigh equally: each score stands for one part in as many as its slide has."""
    rng = np.random.default_rng(1)
    pool = [np.sort(rng.normal(k, 1, 10 + 7 * k).round(1)).astype(kind) for k in range(6)]
    values = np.concatenate(pool)
    weights = np.concatenate([np.full(len(s), 1 / len(s) / len(pool)) for s in pool])
    for q in (0.013, 0.05, 0.25, 0.777):
        expected = min(v for v in values if weights[values <= v].sum() >= q)
        assert _pooled_quantile(pool, q, float(values.min()), float(values.max())) == expected
