"""Several slides of one biopsy as one score: summed, then judged as one slide is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from spatial_til.metrics.activity import activity_site, combine_sites
from spatial_til.metrics.comparability import merged
from spatial_til.metrics.levels import DECIDING, INDETERMINATE, NOT_EVALUABLE, Failure
from spatial_til.metrics.phenotype import DENSITY_RULES, check_gates, phenotype
from spatial_til.metrics.pooled_estimates import pooled_estimates
from spatial_til.metrics.pooled_values import pooled_values
from spatial_til.model import Call, Estimate, SlideMeta, SlideScore

#: Populations of the site of activity, by their key in `SlideScore.activity`.
MARKERS: Mapping[str, str] = {"cd8": "CD8+", "pdl1": "PD-L1+"}
#: What one slide was too small for; the sums are judged anew.
SUPERSEDED = frozenset(
    {
        *("no_tumor_region", "no_border", "short_border", "core_too_small", "margin_too_small", "high_artefact"),
        *("few_tiles", "low_count", "zero_count", "activity_cd8_only"),
    }
)
_SUMMED_GATES = ("tumor_mm2", "border_um", "core_mm2", "inner_margin_mm2", "outer_margin_mm2")


@dataclass(frozen=True, slots=True)
class PoolingKeys:
    """The protocol's keys that judge pooled slides, under their own names."""

    min_core_mm2: float
    min_margin_mm2: float
    min_border_um: float
    min_tiles: int
    max_artefact_fraction: float
    rule: str
    hot_cd8_per_mm2: float
    excluded_log2_ratio: float
    activity_cd8_per_mm2: float
    activity_pdl1_per_mm2: float
    min_class_probability: float
    confidence: float
    bootstrap: int
    seed: int


def pool_slides(slides: Sequence[SlideScore], keys: PoolingKeys) -> SlideScore:
    """Return the score of the slides of one biopsy taken together.

    Parameters
    ----------
    slides
        Scored slides of one patient, lesion, time point and day; small ones too, for the gates apply to
        the sums.
    keys
        The protocol's keys.

    Notes
    -----
    Densities as in `pooled_estimates`, values as in `pooled_values`. Two slides cannot tell their
    difference from chance: `between_slide_unknown`. Tile counts stay with the slides.
    """
    ordered = sorted(slides, key=lambda s: s.meta.slide_id)
    estimates = pooled_estimates(
        ordered, confidence=keys.confidence, bootstrap=keys.bootstrap, min_tiles=keys.min_tiles, seed=keys.seed
    )
    meta = _meta([s.meta for s in ordered])
    call = _by_reader(ordered, _phenotype(ordered, estimates, keys, meta.slide_id))
    flags = {flag for s in ordered for flag in s.flags if flag not in SUPERSEDED}
    flags |= {*call.flags, *(("between_slide_unknown",) if len(ordered) == 2 else ())}
    flags |= {flag for region in DECIDING if ("CD8+", region) in estimates for flag in estimates["CD8+", region].flags}
    return SlideScore(
        meta=meta,
        tiles={},
        estimates=estimates,
        values=pooled_values(ordered, confidence=keys.confidence),
        phenotype=call,
        activity=_activity(ordered, estimates, keys, meta.slide_id),
        gates=_gates(ordered, "CD8+"),
        settings=_settings(ordered),
        flags=tuple(sorted(flags)),
    )


def _phenotype(
    slides: Sequence[SlideScore], estimates: Mapping[tuple[str, str], Estimate], keys: PoolingKeys, name: str
) -> Call:
    """Return the class of the sums; by the rule `grid`, which needs places, the class the slides agree on."""
    failures = _failures(slides, "CD8+", [s.phenotype for s in slides], keys)
    if keys.rule not in DENSITY_RULES and not failures:
        return _agreed([s.phenotype for s in slides])
    return phenotype(
        _of(estimates, "CD8+"),
        rule=keys.rule,
        hot_cd8_per_mm2=keys.hot_cd8_per_mm2,
        excluded_log2_ratio=keys.excluded_log2_ratio,
        min_class_probability=keys.min_class_probability,
        draws=keys.bootstrap,
        seed=keys.seed,
        key=name,
        failures=failures,
    )


def _by_reader(slides: Sequence[SlideScore], computed: Call) -> Call:
    """Return the class of a reader who gave every slide the same one; else what the sums say."""
    by_reader = {s.phenotype.call for s in slides if "call_overridden" in s.flags}
    if len(by_reader) != 1 or not all("call_overridden" in s.flags for s in slides):
        return computed
    reason = f"the reader's class of all slides; computed: {computed.call}"
    return replace(computed, call=by_reader.pop(), reason=f"{reason}, {computed.reason}" if computed.reason else reason)


def _activity(
    slides: Sequence[SlideScore], estimates: Mapping[tuple[str, str], Estimate], keys: PoolingKeys, name: str
) -> dict[str, Call]:
    """Return the site of activity by each marker of the panel, and by both."""
    floors = {"cd8": keys.activity_cd8_per_mm2, "pdl1": keys.activity_pdl1_per_mm2}
    sites = {}
    for marker, population in MARKERS.items():
        own = [s.activity[marker] for s in slides if marker in s.activity]
        if own:
            sites[marker] = activity_site(
                _of(estimates, population),
                floor_per_mm2=floors[marker],
                min_class_probability=keys.min_class_probability,
                draws=keys.bootstrap,
                seed=keys.seed,
                key=name,
                failures=_failures(slides, population, own, keys),
            )
    if "cd8" not in sites:
        return sites
    return {**sites, "combined": combine_sites(sites["cd8"], sites.get("pdl1"))}


def _failures(
    slides: Sequence[SlideScore], population: str, calls: Sequence[Call], keys: PoolingKeys
) -> tuple[Failure, ...]:
    """Return the gates that the sums do not pass, and what no sum can mend: a stain that cannot be judged."""
    small = check_gates(
        _gates(slides, population),
        min_core_mm2=keys.min_core_mm2,
        min_margin_mm2=keys.min_margin_mm2,
        min_border_um=keys.min_border_um,
        max_artefact_fraction=keys.max_artefact_fraction,
    )
    others = {
        Failure(flag, call.reason)
        for call in calls
        if call.call == NOT_EVALUABLE
        for flag in call.flags
        if flag not in SUPERSEDED
    }
    return (*small, *sorted(others))


def _gates(slides: Sequence[SlideScore], population: str) -> dict[str, float | None]:
    """Return what gates apply to, summed over the slides that count a population."""
    counting = [s for s in slides if any(population in t.counts for t in s.tiles.values())] or slides
    summed = {name: _sum_of_known([s.gates.get(name) for s in counting]) for name in _SUMMED_GATES}
    shares = [(s.gates.get("artefact_fraction"), sum(t.total_area_mm2 for t in s.tiles.values())) for s in counting]
    known = [(share, area) for share, area in shares if share is not None]
    total = sum(area for _, area in known)
    artefact = sum(share * area for share, area in known) / total if total > 0 else None
    return {**summed, "artefact_fraction": artefact}


def _sum_of_known(values: Sequence[float | None]) -> float | None:
    """Return the sum of what is known, or None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _of(estimates: Mapping[tuple[str, str], Estimate], population: str) -> dict[str, Estimate]:
    """Return the estimates of one population by region."""
    return {region: e for (name, region), e in estimates.items() if name == population}


def _agreed(calls: Sequence[Call]) -> Call:
    """Return the class that all evaluable slides have, else none."""
    evaluable = [call for call in calls if call.call != NOT_EVALUABLE] or calls
    if len({call.call for call in evaluable}) == 1:
        return evaluable[0]
    found = ", ".join(sorted({call.call for call in evaluable}))
    return Call(INDETERMINATE, INDETERMINATE, {}, f"the slides of this biopsy differ: {found}")


def _meta(metas: Sequence[SlideMeta]) -> SlideMeta:
    """Return what the sheet says of the biopsy; what differs between its slides is joined."""
    therapies = sorted({m.interval_therapy for m in metas if m.interval_therapy})
    return replace(
        metas[0],
        slide_id="+".join(m.slide_id for m in metas),
        batch=merged([m.batch for m in metas]),
        site=merged([m.site for m in metas]),
        interval_therapy=", ".join(therapies),
    )


def _settings(slides: Sequence[SlideScore]) -> dict[str, str]:
    """Return how the slides were scored; a setting that differs between them is joined."""
    names = dict.fromkeys(name for s in slides for name in s.settings)
    return {name: merged([s.settings[name] for s in slides if name in s.settings]) for name in names}
