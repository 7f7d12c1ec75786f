"""What one chromogen lends another is read off cells and taken off; cells that have both keep both."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatial_til.model import Cells
from spatial_til.segmentation.crosstalk import lent_share, without_crosstalk
from spatial_til.segmentation.settings import NUCLEI, MeasureSettings, Stain

RED, BROWN = "PD-L1", "CD8"
CUT_OD = 0.035


def drawn(rng, n_red=400, n_brown=400, n_both=40, lent=0.3):
    """Return ridges of red and brown in OD, and which cells truly have brown; red lends brown a share, with noise."""

    def stained(n, median_od):
        return median_od * np.exp(0.4 * rng.standard_normal(n))

    def unstained(n):
        return rng.gamma(1, 0.003, n)

    n_neither = 2000
    red = np.concatenate((stained(n_red + n_both, 0.1), unstained(n_brown + n_neither)))
    own = np.concatenate((unstained(n_red), stained(n_both + n_brown, 0.12), unstained(n_neither)))
    brown = own + lent * red * np.exp(0.3 * rng.standard_normal(len(red)))
    truth = np.zeros(len(red), dtype=bool)
    truth[n_red : n_red + n_both + n_brown] = True
    return red, brown, truth


def cells(red, brown):
    columns = {
        f"{m}_membrane_{s}": v.astype(np.float32)
        for m, v in ((RED, red), (BROWN, brown))
        for s in ("ridge", "own_ridge")
    }
    at = np.arange(len(red), dtype=float)
    return Cells(at, at, at, at, columns)


def ridge(of, marker=BROWN):
    return of.measurements[f"{marker}_membrane_own_ridge"]


def called_wrongly(of, truth):
    return int(((ridge(of) >= CUT_OD) & ~truth).sum())


def test_red_cells_that_look_faintly_brown_are_no_brown_cells():
    red, brown, truth = drawn(np.random.default_rng(1))
    before = cells(red, brown)
    after, shares = without_crosstalk(before, [RED, BROWN])
    assert 0.3 < shares[f"{RED} seen as {BROWN}"] < 0.4
    assert called_wrongly(before, truth) > 100
    assert called_wrongly(after, truth) < 20
    assert (ridge(after)[truth] >= CUT_OD).mean() > 0.97


@pytest.mark.parametrize("n_both", [100, 400, 1200])
def test_cells_with_both_stains_keep_both(n_both):
    """A quarter, half or three quarters of the red cells are brown as well, and nothing is lent."""
    red, brown, truth = drawn(np.random.default_rng(2), n_both=n_both, lent=0.0)
    before = cells(red, brown)
    after, _ = without_crosstalk(before, [RED, BROWN])
    both = truth & (red > 0.045)
    assert (ridge(after)[both] >= CUT_OD).mean() > (ridge(before)[both] >= CUT_OD).mean() - 0.01


def test_where_nearly_all_red_cells_are_brown_nothing_is_known_and_nothing_taken():
    red, brown, _ = drawn(np.random.default_rng(3), n_red=10, n_both=400, n_brown=0, lent=0.0)
    before = cells(red, brown)
    after, shares = without_crosstalk(before, [RED, BROWN])
    assert shares == {}
    np.testing.assert_array_equal(ridge(after), ridge(before))


def test_a_cell_without_one_ridge_keeps_the_other():
    red, brown, _ = drawn(np.random.default_rng(4))
    red[0], brown[0] = np.nan, 0.1
    after, _ = without_crosstalk(cells(red, brown), [RED, BROWN])
    assert ridge(after)[0] == np.float32(0.1)
    assert np.isnan(ridge(after, RED)[0])


def test_49_strong_cells_say_nothing_and_50_do():
    strong, weak = np.full(50, 0.1), np.full(50, 0.03)
    assert lent_share(strong, 0.2 * strong) == pytest.approx(0.2)
    assert lent_share(strong[:49], 0.2 * strong[:49]) is None
    assert lent_share(np.append(strong[:49], weak), np.full(99, 0.02)) is None
    assert lent_share(strong, np.where(np.arange(50) < 1, np.nan, 0.02)) is None


def test_half_of_the_strong_cells_have_to_be_without_the_other_stain():
    strong = np.full(400, 0.1)
    rest = np.arange(400) < 200
    assert lent_share(strong, np.where(rest, 0.02, 0.1)) == pytest.approx(0.2)
    assert lent_share(strong[1:], np.where(rest, 0.02, 0.1)[1:]) is None


def test_more_than_half_is_no_crosstalk():
    strong = np.full(100, 0.1)
    assert lent_share(strong, 0.49 * strong) == pytest.approx(0.49)
    assert lent_share(strong, 0.51 * strong) is None


@given(st.floats(0.05, 0.35), st.integers(0, 2**32 - 1))
def test_ridges_stay_at_0_or_above_and_no_stain_grows(lent, seed):
    rng = np.random.default_rng(seed)
    red, brown, _ = drawn(rng, 80, 60, 10, lent)
    brown[:5] = (-0.01, 0.0, np.nan, 1e-9, 5.0)
    before = cells(red, brown)
    after, shares = without_crosstalk(before, [RED, BROWN])
    assert all(0 <= share <= 0.5 for share in shares.values())
    old, new = ridge(before), ridge(after)
    np.testing.assert_array_equal(new[~(old > 0)], old[~(old > 0)])
    assert (new[old > 0] >= 0).all()
    assert (new[old > 0] <= old[old > 0]).all()
    turned = rng.permutation(len(red))
    again, alike = without_crosstalk(cells(red[turned], brown[turned]), [BROWN, RED])
    assert alike == shares
    np.testing.assert_array_equal(ridge(again), new[turned])


def test_a_marker_that_stains_nuclei_has_no_rim_to_look_at():
    stains = tuple(Stain(s, m, s) for s, m in (("hematoxylin", NUCLEI), ("dab", "Ki67"), ("fast_red", "CD8")))
    settings = MeasureSettings("brightfield", stains=stains, nuclear_markers=frozenset({"Ki67"}))
    assert settings.markers == ("Ki67", "CD8")
    assert settings.membrane_markers == ("CD8",)
