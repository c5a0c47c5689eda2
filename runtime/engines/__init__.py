"""Engines: what runs the two graphs of a bundle. Each library is imported only when named."""

from runtime.engines.protocol import (
    Clock,
    CudaEngine,
    Engine,
    LoopEngine,
    Noise,
    Request,
    Result,
    SamplingEngine,
    failure,
    lacks,
    out_of_memory,
    require,
)
from runtime.engines.registry import AUTO_ORDER, ENGINES, GraphMode, choose_engine, open_engine

__all__ = [
    "AUTO_ORDER",
    "ENGINES",
    "Clock",
    "CudaEngine",
    "Engine",
    "GraphMode",
    "LoopEngine",
    "Noise",
    "Request",
    "Result",
    "SamplingEngine",
    "choose_engine",
    "failure",
    "lacks",
    "open_engine",
    "out_of_memory",
    "require",
]
