"""Stand-ins for the `progress` function that a recipe's training calls, with arguments by position or by name."""

from __future__ import annotations

from typing import Any

from grading.testing import expect


class Reports:
    """A `progress` that keeps each report as {name: value}; `Reports("step", "loss")` accepts (1, loss=0.7)."""

    def __init__(self, *names: str):
        self._names = names
        self.calls: list[dict[str, Any]] = []

    def __call__(self, *values: Any, **named: Any) -> None:
        """Keep one report. An extra value is named after its position, so that `check_types` can show it."""
        places = (*self._names, *(f"value {n}" for n in range(len(self._names) + 1, len(values) + 1)))
        self.calls.append(dict(zip(places, values, strict=False)) | named)

    def check_types(self, *types: type) -> None:
        """Expect at least one report, and in each exactly this object's names, with values of exactly these types."""
        wanted = dict(zip(self._names, types, strict=True))
        call = f"progress({', '.join(wanted)}) while training"
        expect.that(bool(self.calls), call=call, got="no calls", expected="about 50")
        for report in self.calls:
            fits = {name: type(value) for name, value in report.items()} == wanted
            got = ", ".join(f"{name}={expect.describe_value(value)}" for name, value in report.items())
            expected = ", ".join(f"{name}: {kind.__name__}" for name, kind in wanted.items())
            expect.that(fits, call=call, got=got, expected=expected, hint="int(step), float(loss)")


def ignore_reports(*_values: Any, **_named: Any) -> None:
    """Ignore a progress report."""
