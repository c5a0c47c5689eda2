from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from runtime.noise import normals
from runtime.noise_fields import Key, NoiseFields

KEY = Key(7, 1, 2, 16, 24)


def test_a_field_is_the_noise_of_its_key() -> None:
    assert np.array_equal(NoiseFields(2**20).field(KEY), normals(*KEY))


def test_a_field_is_kept_while_there_is_room() -> None:
    fields = NoiseFields(2 * KEY.bytes)
    first = fields.field(KEY)
    assert fields.field(KEY) is first
    for step in (3, 4):
        fields.field(KEY._replace(step=step))
    assert fields.field(KEY) is not first


def test_a_field_too_large_to_keep_is_drawn_each_time() -> None:
    fields = NoiseFields(2 * KEY.bytes - 1)
    fields.ahead(KEY)
    assert fields.field(KEY) is not fields.field(KEY)


def test_a_kept_field_cannot_be_written_to() -> None:
    assert not NoiseFields(2**20).field(KEY).flags.writeable


def test_a_field_drawn_ahead_is_the_same() -> None:
    fields = NoiseFields(2**20)
    fields.ahead(KEY)
    assert np.array_equal(fields.field(KEY), normals(*KEY))
    fields.close()


def test_after_closing_fields_are_still_drawn() -> None:
    fields = NoiseFields(2**20)
    fields.ahead(KEY)
    fields.close()
    assert np.array_equal(fields.field(KEY), normals(*KEY))
    fields.close()


def test_several_threads_share_the_fields() -> None:
    fields = NoiseFields(3 * KEY.bytes)
    keys = [KEY._replace(step=step % 5) for step in range(60)]
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(fields.field, keys))
    assert all(np.array_equal(a, normals(*key)) for a, key in zip(drawn, keys, strict=True))
