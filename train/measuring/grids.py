"""The samplers that a sweep tries, as plain lists, and what each is worth trying for."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.errors import OptionError
from runtime.samplers import SamplerConfig, guess_sampler, paper_sampler, with_steps

# Whang et al. 2022, appendix F: steps, and the last value of 1 - alpha.
PAPER_STEPS = (10, 20, 30, 50, 100, 200, 300, 500)
PAPER_ENDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)

# What a sampler begins with, in a few words.
START_NAMES: dict[str, str] = {
    "noise": "pure noise",
    "guess": "the predictor's guess",
}


@dataclass(frozen=True)
class Grid:
    """Samplers to try, each at all ``samples`` averaged; ``left_out`` says what is not, and why."""

    samplers: tuple[SamplerConfig, ...]
    samples: tuple[int, ...]
    left_out: str = ""


def paper_grid() -> Grid:
    """Steps x final beta from pure noise, without those that would not start from noise."""
    kept, dropped = [], 0
    for steps in PAPER_STEPS:
        for end in PAPER_ENDS:
            sampler = paper_sampler(steps, end)
            try:
                kept.append(with_steps(sampler, steps))
            except OptionError:
                dropped += 1
    reason = (
        f"{dropped} of {dropped + len(kept)} cells keep over half of the residual's amplitude "
        "where pure noise is put in"
    )
    return Grid(tuple(kept), (1, 2, 4, 8), reason)


def short_grid() -> Grid:
    """Few steps on levels evenly spaced in log-SNR: ancestral, DDIM and DPM-Solver++(2M).

    From the predictor's guess, which lies at an intermediate level, and from pure noise. 2M appears
    on this schedule alone: the linear one has steps of log-SNR so uneven that it extrapolates
    beyond all bounds.
    """
    guess = [guess_sampler(steps, noisiest) for steps in (2, 4, 10) for noisiest in (3.0, 6.0)]
    straight = [
        SamplerConfig("ddim", "log-snr", steps, cleanest=5.0, noisiest=noisiest, start="guess")
        for steps in (1, 2, 4)
        for noisiest in (1.0, 3.0)
    ]
    noise = [
        SamplerConfig(method, "log-snr", steps, cleanest=9.0, noisiest=-4.0)
        for method in ("ancestral", "ddim", "dpm++2m")
        for steps in (4, 6, 10)
    ]
    return Grid((SamplerConfig(steps=0), *guess, *straight, *noise), (1, 4, 8))


def quick_grid() -> Grid:
    """One sampler of each kind: a first look in minutes."""
    samplers = (
        SamplerConfig(steps=0),
        guess_sampler(10, 3.0),
        SamplerConfig("ddim", "log-snr", 2, cleanest=5.0, noisiest=1.0, start="guess"),
        SamplerConfig("ddim", "log-snr", 6, cleanest=9.0, noisiest=-4.0),
        SamplerConfig("dpm++2m", "log-snr", 6, cleanest=9.0, noisiest=-4.0),
        paper_sampler(10, 0.5),
    )
    return Grid(samplers, (1, 4))


# Of the paper's grid: steps times final beta is 10, so that all end equally noisy. Ten steps reach
# half of it at most. What takes more steps is in the whole grid.
_LADDER = tuple(paper_sampler(steps, end) for steps, end in ((10, 0.5), (20, 0.5), (50, 0.2)))


def averaging_grid() -> Grid:
    """Ten steps from pure noise, ever more samples averaged: what the paper calls SA."""
    return Grid(_LADDER[:1], (1, 2, 4, 8))


def steps_grid() -> Grid:
    """Ever more steps and no averaging, from pure noise and from the predictor's guess."""
    guess = (guess_sampler(steps, 3.0) for steps in (1, 2, 4, 10, 20))
    return Grid((SamplerConfig(steps=0), *_LADDER, *guess), (1,))


GRIDS = {
    "paper": paper_grid,
    "short": short_grid,
    "quick": quick_grid,
    "averaging": averaging_grid,
    "steps": steps_grid,
}


def describe(sampler: SamplerConfig) -> str:
    """A sampler in a few words."""
    if sampler.steps == 0:
        return "the predictor's picture alone"
    method = {"ancestral": "ancestral", "ddim": "DDIM", "dpm++2m": "DPM-Solver++(2M)"}
    schedule = (
        f"beta to {sampler.beta_end:g}"
        if sampler.schedule == "linear"
        else f"log-SNR {sampler.noisiest:g} to {sampler.cleanest:g}"
    )
    start = START_NAMES[sampler.start]
    fresh = f" (eta {sampler.eta:g})" if sampler.method == "ddim" and sampler.eta > 0 else ""
    unit = "step" if sampler.steps == 1 else "steps"
    return f"{sampler.steps} {method[sampler.method]}{fresh} {unit} from {start}, {schedule}"
