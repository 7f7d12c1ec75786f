"""The protocol's defaults that pooling and transitions take, written out: a changed default must show in the tests."""

from spatial_til.metrics.pooling import PoolingKeys

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
