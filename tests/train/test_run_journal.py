"""What a run says of itself."""

from __future__ import annotations

from train.journal import Entry, summarise


def test_a_summary_says_what_became_of_the_loss_how_fast_it_was_and_how_long_it_waited() -> None:
    history = [Entry(1, 0.5, seconds=9.0, waited_s=8.0)]
    history += [Entry(2 + i, 0.25, seconds=10.0 + i, waited_s=0.5) for i in range(7)]
    assert summarise(history, batch=8) == (
        "0.3 min, step 8, mean loss 0.37500 at first, 0.25000 at last (2 steps each), "
        "8.0 crops/s, 50% of the time spent waiting for crops"
    )


def test_a_summary_of_steps_that_were_all_skipped_has_no_loss() -> None:
    history = [Entry(step, None, skipped=step, seconds=float(step)) for step in (1, 2)]
    assert "loss" not in summarise(history, batch=8)
    assert summarise([], batch=8) == "no step taken"
