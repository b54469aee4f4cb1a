"""Measure the grader's own peak memory on hostile submissions."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from grading.manifest.loader import load_manifest
from tests.bench.bench_figure import ROOT, BenchmarkFigure, copy_environment_without_nox


def measure_hostile_memory() -> Iterator[BenchmarkFigure]:
    """Measure the grader's peak memory over all hostile submissions, each graded in a separate process."""
    # These imports are here because the tests need packages that no other group needs.
    from tests.submissions.build import Miniature, build_submission, list_miniatures
    from tests.submissions.run import build_grading_command, build_offline_environment

    manifest = load_manifest(ROOT)

    def measure_grader_peak(miniature: Miniature) -> float:
        """Grade one hostile submission, and read the grader's peak memory in MiB."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "home").mkdir()
            tree, peak, record = (
                build_submission(miniature, ROOT, manifest, folder / "tree"),
                folder / "peak",
                folder / "result",
            )
            own = {"PYTHONPATH": str(ROOT)} | miniature.about.get("environment", {})
            line = [*build_grading_command(miniature.about, peak), "--submission", str(tree), "--json", str(record)]
            subprocess.run(
                line,
                cwd=folder,
                env=copy_environment_without_nox() | build_offline_environment(folder) | own,
                capture_output=True,
                check=False,
            )
            return float(peak.read_text())

    every = list_miniatures("hostile")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        peaks = list(pool.map(measure_grader_peak, every))
    largest = max(range(len(every)), key=peaks.__getitem__)
    how = f"the largest of {len(every)} submissions, {every[largest].name}"
    yield BenchmarkFigure("peak memory of the grader on hostile submissions", peaks[largest], 300, "MiB", how)
