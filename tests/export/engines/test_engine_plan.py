from __future__ import annotations

import pytest

from export.engines.plan import (
    BuildConfig,
    check_level,
    parse_counts,
    parse_mib,
    parse_size,
    parse_targets,
    plan_sizes,
)
from runtime.bundle import Graph, Tensor
from runtime.errors import OptionError
from runtime.plans.shapes import Counts, Size, SizeRange, bound_bytes

HD = Size(1280, 720)
RANGE = SizeRange(Size(64, 64), HD, Size(1920, 1088))


def test_a_size_is_width_first() -> None:
    assert parse_size("1280x720") == Size(width_px=1280, height_px=720)
    assert str(HD) == "1280x720"


@pytest.mark.parametrize("text", ["", "1280", "0x8", "8x-8", "1280x720x3", "a x b", "1e3x8"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="WIDTHxHEIGHT"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "counts"),
    [("4", Counts(4, 4, 4)), ("1:4", Counts(1, 4, 4)), ("1:2:4", Counts(1, 2, 4))],
)
def test_counts_are_one_two_or_three_numbers(text: str, counts: Counts) -> None:
    assert parse_counts(text, "--samples") == counts


@pytest.mark.parametrize("text", ["", "0", "4:1", "1:5:4", "1:2:3:4", "x", "-1", "1:"])
def test_counts_out_of_order_or_form_are_refused(text: str) -> None:
    with pytest.raises(OptionError, match="--samples"):
        parse_counts(text, "--samples")


def test_targets_are_sorted_and_named_once() -> None:
    assert parse_targets("sm120, SM86,sm86") == (86, 120)


@pytest.mark.parametrize("text", ["", "86", "sm", "sm8.6", "ampere"])
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="sm86"):
        parse_targets(text)


@pytest.mark.parametrize(("text", "mib"), [("512", 512), ("512MiB", 512), ("1.5 gib", 1536)])
def test_memory_is_in_mib_unless_it_says_gib(text: str, mib: int) -> None:
    assert parse_mib(text, "--workspace") == mib


@pytest.mark.parametrize("text", ["", "0", "-1", "4GB", "lots", "0.1MiB"])
def test_what_is_no_memory_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="--workspace"):
        parse_mib(text, "--workspace")


def test_levels_that_the_library_would_silently_change_are_refused() -> None:
    assert check_level(5) == 5
    with pytest.raises(OptionError, match="0 "):
        check_level(6)


def test_nothing_given_is_one_profile_to_full_hd() -> None:
    assert plan_sizes([], [], [], [], 8) == (RANGE,)


def test_defaults_obey_the_size_rule_of_the_model() -> None:
    assert plan_sizes([], [], [], [], 32)[0].opt == Size(1280, 736)


def test_a_small_maximum_moves_the_default_tuned_size() -> None:
    assert plan_sizes([], [], [Size(640, 480)], [], 8)[0].opt == Size(640, 480)


def test_pinned_sizes_alone_are_the_only_profiles() -> None:
    assert plan_sizes([], [], [], [HD], 8) == (SizeRange(HD, HD, HD),)


def test_pinned_sizes_come_after_the_ranges() -> None:
    assert plan_sizes([], [], [Size(1920, 1088)], [HD], 8) == (RANGE, SizeRange(HD, HD, HD))


def test_bounds_given_several_times_make_several_profiles() -> None:
    lows, highs = [Size(64, 64), Size(648, 8)], [Size(640, 480), Size(1280, 720)]
    assert [sizes.max for sizes in plan_sizes(lows, [], highs, [], 8)] == highs


def test_bounds_that_do_not_match_in_number_are_refused() -> None:
    with pytest.raises(OptionError, match="--max"):
        plan_sizes([HD, HD], [], [HD], [], 8)


def test_a_size_off_the_rule_names_the_nearest_legal_one() -> None:
    with pytest.raises(OptionError, match="1920x1088"):
        plan_sizes([], [], [Size(1920, 1080)], [], 16)


@pytest.mark.parametrize("low", [Size(2560, 64), Size(64, 1440)])
def test_a_smallest_size_above_the_largest_is_refused(low: Size) -> None:
    with pytest.raises(OptionError, match="min <= opt <= max"):
        plan_sizes([low], [], [], [], 8)


def test_the_same_profile_twice_is_refused() -> None:
    with pytest.raises(OptionError, match="twice"):
        plan_sizes([], [], [], [HD, HD], 8)


def test_samples_are_the_batch_of_the_step_and_not_of_the_predictor() -> None:
    config = BuildConfig((RANGE,), pictures=Counts(1, 1, 2), samples=Counts(1, 4, 4))
    assert config.profiles("predictor")[0].max == (2, 3, 1088, 1920)
    assert config.profiles("step")[0].opt == (4, 3, 720, 1280)
    assert config.profiles("step")[0].max == (8, 3, 1088, 1920)


def test_inputs_and_outputs_are_counted_in_bytes_at_one_shape() -> None:
    picture = ("batch", 3, "8*rows", "8*columns")
    inputs = (Tensor("z", "float32", picture), Tensor("row", "float32", (7,)))
    graph = Graph("step.onnx", inputs, (Tensor("z_next", "float32", picture),))
    assert bound_bytes(graph, (2, 3, 16, 8)) == 4 * (2 * 2 * 3 * 16 * 8 + 7)
