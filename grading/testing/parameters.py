"""Fill the parameters of a student's layer with random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from grading.testing.expect import values


def draw_parameters(layer: Any, rng: np.random.Generator) -> Any:
    """Replace a layer's parameters with random float64 values of the same shapes, and return the layer."""
    for parameter in layer.parameters():
        parameter.data = rng.normal(size=values(parameter).shape)
    return layer
