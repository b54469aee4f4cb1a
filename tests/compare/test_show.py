"""`tito compare` on a terminal: a table, bars, JSON and a picture, from what a comparison has found."""

from __future__ import annotations

import importlib.util
import io
import json
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from rich.console import Console

from grading.compare import case_comparison, compare_module
from grading.compare.case_comparison import Comparison, ComparisonCase, build_local_side
from grading.compare.rendering import format_comparison_figures, format_short_duration, print_comparison
from tito.app import run_command_line as type_command

ROWS = (
    Comparison("Conv2d(16, 32, 3)", "16×16×32×32", 1.2e-5, 3.4e-4, True, 0.012, 0.004),
    Comparison("Softmax", "256×512", 0.25, None, False, 2e-4, 4e-4),
    Comparison("GELU", "256×512", problem="not written yet: Task 3.6: the curve"),
)


def print_to_text(width: int, encoding: str = "utf-8") -> str:
    """Return what a terminal of this width shows."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    print_comparison(Console(file=file, width=width, highlight=False), ROWS)
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [40, 76, 80, 120])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_table_and_bars_fit_every_terminal(width, encoding):
    """Each op has its differences, both times, their ratio and two bars; nothing is wider than the screen."""
    text = print_to_text(width, encoding)
    assert max(map(len, text.splitlines())) <= width
    joined = " ".join(text.split())
    for part in ("Conv2d(16, 32, 3)", "1.2e-05", "3.4e-04", "12 ms", "4 ms", "3.0", "Softmax", "2.5e-01", "Task 3.6"):
        assert part in joined
    assert joined.count("yours") - joined.count("yours PyTorch") >= 2
    assert "No verdict depends on any of this" in joined


def test_the_slower_side_has_the_whole_bar():
    """The other one is in proportion."""
    bars = [line for line in print_to_text(80).splitlines() if "█" in line]
    assert [line.count("█") for line in bars] == [40, 13, 20, 40]


def test_without_times_there_are_no_bars():
    """Where nothing could be compared there is a table alone."""
    out = Console(file=io.StringIO(), width=80)
    print_comparison(out, ROWS[2:])
    assert "a full bar" not in out.file.getvalue()


def test_figures_in_words():
    """A dash stands where nothing was measured, and a time has its unit."""
    assert format_comparison_figures(ROWS[0]) == ("1.2e-05", "3.4e-04", "12 ms", "4 ms", "3.0×")
    assert format_comparison_figures(ROWS[2]) == ("—",) * 5
    assert [format_short_duration(seconds) for seconds in (12.3, 0.5, 1.5e-5, 2e-8, 0.0)] == [
        "12.3 s", "500 ms", "15 µs", "0.02 µs", "0 µs",
    ]  # fmt: skip


@pytest.fixture
def comparable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace PyTorch by a small stand-in with two ops to compare, without a worker."""
    monkeypatch.setattr(case_comparison, "TURNS", 1)
    torch = SimpleNamespace(get_num_threads=lambda: 2, set_num_threads=lambda _count: None)

    def work(factor: float):
        return lambda _side, arrays: build_local_side(lambda: {"the output": factor * arrays["x"]}, lambda: None)

    def draw(rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"x": rng.normal(size=(4, 4))}

    @contextmanager
    def student(*_: object):
        yield None

    cases = [
        ComparisonCase("right", "4×4", draw, work(2), work(2)),
        ComparisonCase("wrong", "4×4", draw, work(2), work(3)),
    ]
    monkeypatch.setitem(compare_module.CASES_BY_MODULE, "03_activations", lambda: cases)
    monkeypatch.setattr(compare_module, "import_pytorch", lambda: torch)
    monkeypatch.setattr(compare_module, "start_student_worker", student)


@pytest.mark.usefixtures("comparable")
def test_the_command_shows_its_seed_and_is_no_verdict(capsys):
    """An op that differs is shown as such, and the exit code is 0 all the same."""
    assert type_command(["compare", "3", "--seed", "12"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "tito compare 03_activations --seed 12" in text
    assert text.index("✓ right") < text.index("✗ wrong")


@pytest.mark.usefixtures("comparable")
def test_the_command_gives_json(capsys):
    """The same seed gives the same differences; another others."""
    found = []
    for seed in ("12", "12", "13"):
        assert type_command(["compare", "03", "--seed", seed, "--json"]) == 0
        listing = json.loads(capsys.readouterr().out)
        assert (listing["module"], listing["seed"]) == ("03_activations", int(seed))
        found.append([one["difference"] for one in listing["ops"]])
    assert found[0] == found[1] != found[2]
    assert found[0][0] == 0 < found[0][1]


@pytest.mark.usefixtures("comparable")
def test_the_command_draws_a_picture(capsys, tmp_path: Path):
    """Table and bars as SVG; a folder that is not there is said before anything is computed."""
    file = tmp_path / "speed.svg"
    assert type_command(["compare", "03", "--svg", str(file)]) == 0
    assert str(file) in capsys.readouterr().out.replace("\n", "")
    text = "".join(ET.parse(file).getroot().itertext())  # noqa: S314 - our own output
    assert "right" in text
    assert "PyTorch" in text
    assert type_command(["compare", "03", "--svg", str(tmp_path / "none" / "speed.svg")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_what_cannot_be_compared_is_wrong_usage(capsys, monkeypatch):
    """A module without a counterpart, and a machine without PyTorch: a sentence, and exit code 2."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert type_command(["compare", "15"]) == 2
    assert "15_mlops has no counterpart in PyTorch" in capsys.readouterr().err
    assert type_command(["compare", "04"]) == 2
    assert "pip install torch" in capsys.readouterr().err
