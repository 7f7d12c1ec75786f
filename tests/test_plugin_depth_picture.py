"""The depth profile in the viewer: nothing is drawn over the names of its curves."""

import re

from spatial_til.plugin.depth_picture import depth_svg


def band(population, start, density):
    return {
        "population": population, "from_um": start, "to_um": start + 50, "area_mm2": 0.1,
        "density_per_mm2": density, "ci_low": density / 2, "ci_high": density * 2,
    }  # fmt: skip


def test_the_legend_stands_above_the_curves():
    """Seen on a slide with many CD8+ cells: their curve ran through the names."""
    rows = [band(name, start, 900.0) for name in ("CD8+", "PD-L1+") for start in range(-500, 250, 50)]
    svg, said = depth_svg(rows, ("CD8+", "PD-L1+"), inner_um=250, outer_um=250)
    _, top, _, height = map(int, re.search(r'viewBox="([^"]*)"', svg).group(1).split())
    names = {name: float(y) for y, name in re.findall(r'y="([^"]*)" font-size="12">([^<]*)<', svg)}
    assert set(names) == {"CD8+", "PD-L1+"}
    curves = [float(y) for path in re.findall(r'<path d="([^"]*)"', svg) for y in re.findall(r",(-?[\d.]+)", path)]
    assert top < min(names.values())
    assert max(names.values()) < min(curves)
    assert max(curves) < top + height
    assert said.startswith("CD8+ densest")
