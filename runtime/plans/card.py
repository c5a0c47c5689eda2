"""What lies beside a plan: its identity, what was measured of it, and what was proved."""

from __future__ import annotations

import msgspec

from runtime.bundle import FileEntry
from runtime.plans.identity import Identity

CARD_FORMAT = 1


class Memory(msgspec.Struct, frozen=True):
    """Bytes of one engine; the tuples have one entry for each profile.

    ``scratch`` is what an execution context allocates, ``bound`` the inputs and outputs at the
    profile's largest shape.
    """

    scratch: tuple[int, ...]
    bound: tuple[int, ...]
    weights: int
    persistent: int

    def needed(self, profile: int) -> int:
        """All of it, for a program that uses one profile."""
        return self.scratch[profile] + self.bound[profile] + self.weights + self.persistent


class Proof(msgspec.Struct, frozen=True):
    """What was found: none of it is what was asked for, all of it is what is there.

    ``convolutions`` counts those of the typed network by data type; ``layer_weights`` the built
    layers' weights by data type, None where no GPU could read the plan back; ``weights_bytes`` is
    the builder's figure for the plan and ``graph_weights_bytes`` that of the graph.
    """

    precision: str
    convolutions: dict[str, int]
    quantized: int
    graph_weights_bytes: int
    weights_bytes: int
    plan_bytes: int
    layer_weights: dict[str, int] | None


class Card(msgspec.Struct, frozen=True):
    """What lies beside a plan as ``<key>.json``: a plan cannot be read without its GPU."""

    format: int
    identity: Identity
    plan: FileEntry
    memory: Memory
    proof: Proof
    seconds: float

    @property
    def file(self) -> str:
        """The plan's name in the ``engines`` directory."""
        return f"{self.identity.key}.plan"
