"""Other numbers in the parameters of a student's layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from grading.testing.expect import values


def draw_parameters(layer: Any, rng: np.random.Generator) -> Any:
    """The layer, with random parameters of float64 in the shapes that its parameters have."""
    for parameter in layer.parameters():
        parameter.data = rng.normal(size=values(parameter).shape)
    return layer
