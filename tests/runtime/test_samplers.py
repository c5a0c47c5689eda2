"""The tables against the papers' own formulas, and against problems with a known answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.errors import OptionError
from runtime.samplers import (
    RESIDUAL_STD,
    Prediction,
    SamplerConfig,
    Table,
    compile_table,
    with_steps,
)
from runtime.schedules import abar_of, linear_beta

Array = NDArray[np.float64]
METHODS: tuple[Literal["ancestral", "ddim", "dpm++2m"], ...] = ("ancestral", "ddim", "dpm++2m")
PREDICTIONS: tuple[Prediction, ...] = get_args(Prediction)


def run(table: Table, z: Array, network: Callable[[Array, float], Array], rng: object) -> Array:
    """The loop of ``runtime.loop`` in float64, with the network's output converted by the row."""
    assert isinstance(rng, np.random.Generator)
    previous = np.zeros_like(z)
    for level, from_z, from_output, keep, take, take_previous, noise in table.rows:
        residual = from_z * z + from_output * network(z, level)
        z = keep * z + take * residual + take_previous * previous
        z = z + noise * rng.standard_normal(z.shape)
        previous = residual
    return z


def oracle(prediction: str, truth: Array) -> Callable[[Array, float], Array]:
    """A network that knows the residual and returns what ``prediction`` asks for."""

    def output(z: Array, level: float) -> Array:
        a, s = np.sqrt(abar_of(level)), np.sqrt(1.0 - abar_of(level))
        noise = (z - a * truth) / s
        if prediction == "edm":
            # Karras et al. 2022, table 1, for a state z / a with noise of that deviation.
            sigma, whole = s / a, np.hypot(s / a, RESIDUAL_STD)
            skip = (RESIDUAL_STD / whole) ** 2
            return (truth - skip * z / a) / (sigma * RESIDUAL_STD / whole)
        return {"eps": noise, "x0": truth, "v": a * noise - s * truth}[prediction]

    return output


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("steps", [1, 2, 10, 100, 500])
def test_a_network_that_knows_the_residual_gets_it_back(
    method: Literal["ancestral", "ddim", "dpm++2m"],
    prediction: Prediction,
    steps: int,
) -> None:
    config = SamplerConfig(method=method, schedule="log-snr", steps=steps, eta=0.0)
    rng = np.random.default_rng(0)
    truth, z = rng.standard_normal((2, 50))
    result = run(compile_table(config, prediction), z, oracle(prediction, truth), rng)
    assert result == pytest.approx(truth, abs=1e-9)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_ddim_with_fresh_noise_ends_at_the_residual_too(prediction: Prediction, eta: float) -> None:
    config = SamplerConfig(method="ddim", schedule="log-snr", steps=10, eta=eta)
    table = compile_table(config, prediction)
    assert (table.column("noise")[:-1] > 0.0).all()
    rng = np.random.default_rng(0)
    truth, z = rng.standard_normal((2, 50))
    assert run(table, z, oracle(prediction, truth), rng) == pytest.approx(truth, abs=1e-9)


def test_ddim_with_all_of_its_noise_gives_the_right_spread() -> None:
    config = SamplerConfig(
        method="ddim", schedule="log-snr", steps=200, cleanest=9, noisiest=-9, eta=1.0
    )
    rng = np.random.default_rng(0)
    result = run(compile_table(config, "x0"), rng.standard_normal(20_000), gaussian(0.3), rng)
    assert result.std() == pytest.approx(0.3, rel=0.05)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("beta_end", [0.01, 0.02, 0.05, 0.1, 0.2, 0.5])
@pytest.mark.parametrize("steps", [10, 20, 30, 50, 100, 200, 300, 500])
def test_the_whole_grid_of_the_paper_gives_the_residual_back(
    steps: int, beta_end: float, prediction: Prediction
) -> None:
    table = compile_table(SamplerConfig(steps=steps, beta_end=beta_end), prediction)
    rng = np.random.default_rng(0)
    truth, z = rng.standard_normal((2, 8))
    assert run(table, z, oracle(prediction, truth), rng) == pytest.approx(truth, abs=1e-6)


def test_ancestral_rows_are_the_papers_update() -> None:
    """Ho et al. 2020, algorithm 2: (z - beta / sqrt(1 - abar) eps) / sqrt(alpha) + sqrt(beta) n."""
    table = compile_table(SamplerConfig(steps=10, beta_end=0.5), "eps")
    abar = linear_beta(10, 0.5)
    alpha = abar / np.append(1.0, abar[:-1])
    for row, t in zip(table.rows, range(9, -1, -1), strict=True):
        _, from_z, from_output, keep, take, _, noise = row
        assert keep + take * from_z == pytest.approx(1.0 / np.sqrt(alpha[t]))
        wanted = -(1.0 - alpha[t]) / np.sqrt((1.0 - abar[t]) * alpha[t])
        assert take * from_output == pytest.approx(wanted)
        assert noise == pytest.approx(np.sqrt(1.0 - alpha[t]) if t > 0 else 0.0)


def test_the_last_row_adds_no_noise() -> None:
    config = SamplerConfig(method="ddim", schedule="log-snr", eta=1.0)
    assert compile_table(config, "x0").rows[-1, -1] == 0.0


def gaussian(scale: float) -> Callable[[Array, float], Array]:
    """The best possible x0 network for residuals that are normal with standard deviation scale."""

    def output(z: Array, level: float) -> Array:
        abar = float(abar_of(level))
        return np.sqrt(abar) * scale**2 / (abar * scale**2 + 1.0 - abar) * z

    return output


def deterministic_error(method: Literal["ddim", "dpm++2m"], steps: int) -> float:
    """Relative error against the exact solution of the probability flow of a normal residual."""
    config = SamplerConfig(method=method, schedule="log-snr", steps=steps, cleanest=9, noisiest=-9)
    table = compile_table(config, "x0")
    result = run(table, np.ones(1), gaussian(0.5), np.random.default_rng(0))
    abar = float(abar_of(table.rows[0, 0]))
    exact = 0.5 / np.sqrt(abar * 0.25 + 1.0 - abar)
    return abs(float(result[0]) / exact - 1.0)


def test_ddim_converges_to_the_exact_flow() -> None:
    assert deterministic_error("ddim", 400) < 0.02


def test_the_second_order_solver_beats_the_first_order_one() -> None:
    assert deterministic_error("dpm++2m", 20) < 0.5 * deterministic_error("ddim", 20)


def test_ancestral_sampling_gives_the_right_spread() -> None:
    config = SamplerConfig(steps=500, beta_end=0.02)
    rng = np.random.default_rng(0)
    z = rng.standard_normal(20_000)
    result = run(compile_table(config, "x0"), z, gaussian(0.3), rng)
    # The fixed variance of ancestral sampling overshoots by about its step size.
    assert result.std() == pytest.approx(0.3, rel=0.05)


def test_a_start_from_the_guess_begins_with_the_noise_of_its_level() -> None:
    config = SamplerConfig(schedule="log-snr", steps=3, noisiest=0.0, start="guess")
    assert compile_table(config, "x0").start == pytest.approx(np.sqrt(0.5))


def test_zero_steps_are_an_empty_table() -> None:
    assert compile_table(SamplerConfig(steps=0), "x0").steps == 0


@pytest.mark.parametrize("steps", [-1, 501])
def test_steps_out_of_range_are_refused(steps: int) -> None:
    with pytest.raises(OptionError, match="0 to 500"):
        compile_table(SamplerConfig(steps=steps), "x0")


def test_too_few_steps_on_the_papers_schedule_are_refused_with_a_way_out() -> None:
    with pytest.raises(OptionError, match="log-snr"):
        with_steps(SamplerConfig(schedule="linear", beta_end=0.5), 4)


def spread_after_ten_steps(config: SamplerConfig) -> float:
    """Of residuals with standard deviation 0.1, sampled with the best possible network."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal(20_000)
    return float(run(compile_table(config, "x0"), z, gaussian(0.1), rng).std())


def test_ten_steps_of_the_paper_keep_the_spread_with_the_posteriors_variance() -> None:
    config = SamplerConfig("ddim", "linear", 10, beta_end=0.5, eta=1.0)
    # One step from level 2.8, where the noise is 2.4 times the residual, makes samples too alike.
    assert 0.03 < spread_after_ten_steps(config) < 0.1


def test_ten_steps_of_the_paper_leave_noise_with_the_variance_beta() -> None:
    """beta of the last but one is 0.056, so that it adds noise of 0.24."""
    assert spread_after_ten_steps(SamplerConfig(steps=10, beta_end=0.5)) > 0.2
