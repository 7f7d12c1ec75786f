"""Populations of a slide: which a failed stain takes along, and which are refused before anything is measured."""

from pathlib import Path

import numpy as np
import pytest

from spatial_til.batch.checks import panel_problems
from spatial_til.metrics.levels import Failure
from spatial_til.model import Estimate, SlideMeta
from spatial_til.pipeline.calls import SlideCalls, populations_of, with_stain_flags
from spatial_til.protocol import parse_protocol
from spatial_til.study import Job, Study
from tests.scored_folder import PROTOCOL

OWN = {"cytotoxic": "CD8 + & !tumor", "any": "CD8+ | PD-L1 -"}


def calls_without(marker):
    nobody = np.zeros(3, np.bool_)
    failure = (Failure("stain_unverified", "no positive control"),)
    positive = {"CD8": nobody, "PD-L1": nobody}
    return SlideCalls(positive, positive, nobody, (), {"CD8": (), "PD-L1": (), "tumor": (), marker: failure}, 3)


@pytest.mark.parametrize(
    ("failed", "sure"),
    [
        ("tumor", {"all", "CD8+", "PD-L1+", "CD8+PD-L1+", "any"}),
        ("CD8", {"all", "PD-L1+", "tumor", "PD-L1+tumor", "PD-L1+nontumor"}),
        ("PD-L1", {"all", "CD8+", "tumor", "CD8+tumor", "CD8+nontumor", "cytotoxic"}),
    ],
)
def test_a_failed_stain_takes_along_every_population_it_decides(failed, sure):
    protocol, calls = parse_protocol(PROTOCOL | {"populations": OWN}), calls_without(failed)
    zero = Estimate(0, 1.0, 0.0, 0.0, 3.7, None, 0)
    estimates = {(name, "core"): zero for name in populations_of(protocol, calls)}
    flagged = with_stain_flags(estimates, protocol, calls)
    assert {name for (name, _), e in flagged.items() if "stain_unverified" not in e.flags} == sure


def test_a_population_that_is_no_expression_is_refused_beforehand():
    protocol = parse_protocol(PROTOCOL | {"populations": OWN | {"half": "CD8+ &", "open": "(CD8+ | PD-L1+"}})
    job = Job(SlideMeta("S1", "P1", "baseline"), Path("none.tif"), protocol)
    found = panel_problems(Study((job, job), protocol))
    assert [problem.split(":")[0] for problem in found] == ["populations.half", "populations.open"]
    assert "a bracket is not closed" in found[1]
