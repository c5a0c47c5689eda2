"""The grids: which samplers a sweep tries."""

from __future__ import annotations

from runtime.samplers import with_steps
from train.measuring.grids import GRIDS, paper_grid, short_grid


def test_the_papers_grid_leaves_out_what_would_not_start_from_noise() -> None:
    grid = paper_grid()
    kept = {(sampler.steps, sampler.beta_end) for sampler in grid.samplers}
    assert {(10, 0.5), (500, 0.02)} <= kept
    assert (10, 0.2) not in kept
    assert "of 48 cells" in grid.left_out


def test_dpm_solver_2m_is_tried_on_evenly_spaced_levels_alone() -> None:
    samplers = (*paper_grid().samplers, *short_grid().samplers)
    assert {s.schedule for s in samplers if s.method == "dpm++2m"} == {"log-snr"}
    assert {s.method for s in samplers} == {"ancestral", "ddim", "dpm++2m"}


def test_the_papers_two_facts_have_grids_of_their_own() -> None:
    averaging, steps = GRIDS["averaging"](), GRIDS["steps"]()
    assert {sampler.steps for sampler in averaging.samplers} == {10}
    assert max(averaging.samples) == 8
    assert steps.samples == (1,)
    # All may start from pure noise.
    for sampler in steps.samplers:
        assert with_steps(sampler, sampler.steps) == sampler
