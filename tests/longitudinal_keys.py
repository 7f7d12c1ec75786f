"""The protocol's defaults that pooling and transitions take, written out: a changed default must show in the tests."""

import numpy as np

from spatial_til.metrics.pooling import PoolingKeys
from spatial_til.metrics.simulate import simulate_slide
from spatial_til.model import SlideMeta, SlideScore

KEYS = PoolingKeys(
    min_core_mm2=0.25,
    min_margin_mm2=0.1,
    min_border_um=1000,
    min_tiles=8,
    max_artefact_fraction=0.3,
    rule="density_ratio",
    hot_cd8_per_mm2=295,
    excluded_log2_ratio=-1.0,
    activity_cd8_per_mm2=100,
    activity_pdl1_per_mm2=100,
    min_class_probability=0.8,
    confidence=0.95,
    bootstrap=500,
    seed=0,
)
#: Keywords of `transitions`.
RULES = {
    "allow_cross_batch": False,
    "max_baseline_days": 90,
    "early_on_treatment_days": 60,
    "min_margin_cd8_per_mm2": 100,
    "hot_cd8_per_mm2": KEYS.hot_cd8_per_mm2,
    "excluded_log2_ratio": KEYS.excluded_log2_ratio,
    "confidence": KEYS.confidence,
}


def simulated() -> SlideScore:
    """Return a slide of 100 CD8+ per mm² everywhere, always the same."""
    return simulate_slide(
        SlideMeta("s", "P", "baseline", "A"),
        {"CD8+": (100.0, 100.0, 100.0)},
        core_mm2=2.0,
        margin_mm2=6.0,
        vmr=1,
        random=np.random.default_rng(0),
        keys=KEYS,
    )
