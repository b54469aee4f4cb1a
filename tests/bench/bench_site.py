"""Measure the cost of building the class's site, on invented classes."""

from __future__ import annotations

import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from course.cohorts import write_simulated_cohort, write_simulated_records
from grading.manifest.loader import load_manifest
from tests.bench.bench_figure import ROOT, BenchmarkFigure, copy_environment_without_nox, run_quietly, time_call
from tests.bench.peak_memory import print_peak
from website.build import build_site
from website.class_sources import FolderSource

STUDENTS, TIMES = 1000, 10


def time_site_builds() -> Iterator[BenchmarkFigure]:
    """Time a site of 1,000 students from scratch and with one student changed, and one of 10,000 from scratch."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small, large = folder / "small", folder / "large"
        ids = write_simulated_cohort(small, load_manifest(ROOT), STUDENTS)
        records = sum(1 for _ in small.glob("*/progress/*.json"))
        cold = time_call(lambda: _build_site(small, folder / "site"))
        yield BenchmarkFigure(
            f"a site of {STUDENTS:,} students from scratch", cold, 15, "s", f"inv site, {records:,} records"
        )

        write_simulated_records(small / ids[0], load_manifest(ROOT), random.Random(2), ids[0])  # noqa: S311 - for play
        changed = time_call(lambda: _build_site(small, folder / "site"))
        yield BenchmarkFigure("with one student's records changed", changed, 2, "s", "inv site again")

        for number in range(TIMES):
            for id_ in ids:
                # Make links instead of copies: the same records under different ids.
                shutil.copytree(small / id_, large / f"{id_}-{number}", copy_function=os.link)
        many = time_call(lambda: _build_site(large, folder / "large-site"))
        how = f"{TIMES * STUDENTS:,} students in {many:.0f} s, {STUDENTS:,} in {cold:.1f} s"
        yield BenchmarkFigure("a student's cost in a class ten times as large", many / TIMES / cold, 1.25, "×", how)


def _build_site(records: Path, target: Path) -> None:
    """Build the site of a class with `inv site`."""
    command = [sys.executable, "-m", "invoke", "site", "--records", str(records), "--to", str(target)]
    run_quietly(command, ROOT, copy_environment_without_nox())


def measure_site_memory() -> Iterator[BenchmarkFigure]:
    """Measure the combined peak memory of all processes that build a site of 1,000 students."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_simulated_cohort(folder / "records", load_manifest(ROOT), STUDENTS)
        script = folder / "watched.py"
        script.write_text(
            "from tests.bench.bench_site import build_and_print_memory\n"
            "if __name__ == '__main__':\n"
            f"    build_and_print_memory({str(folder / 'records')!r}, {str(folder / 'site')!r})\n"
        )
        report = folder / "peaks"
        environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "site")))}
        with report.open("w") as said:
            subprocess.run([sys.executable, str(script)], cwd=ROOT, env=environment, stdout=said, check=True)
        _, parent, child, processes = map(float, report.read_text().split())
    how = f"{parent:.0f} MiB, and {processes:.0f} processes of at most {child:.0f} MiB"
    yield BenchmarkFigure(
        f"peak memory of a site of {STUDENTS:,} students", parent + processes * child, 500, "MiB", how
    )


def build_and_print_memory(records: str, target: str) -> None:
    """Build the site, then print memory in MiB (this process before, at its peak; its largest child) and the count."""
    print_peak(lambda: build_site(FolderSource(Path(records)), Path(target)))
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10
    sys.stdout.write(f" {child} {os.cpu_count() or 1}")
