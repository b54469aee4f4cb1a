"""The cost of building the class's site, on invented classes."""

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

from course.cohorts import write_cohort, write_student
from grading.manifest.load import load
from tests.bench.figure import ROOT, Figure, outside, quietly, seconds
from tests.bench.memory import watch
from website.build import build
from website.source import Folder

STUDENTS, TIMES = 1000, 10


def building() -> Iterator[Figure]:
    """Time a site of 1,000 students from nothing and with one student changed, and one of 10,000 from nothing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small, large = folder / "small", folder / "large"
        ids = write_cohort(small, load(ROOT), STUDENTS)
        records = sum(1 for _ in small.glob("*/progress/*.json"))
        cold = seconds(lambda: _site(small, folder / "site"))
        yield Figure(f"a site of {STUDENTS:,} students from nothing", cold, 15, "s", f"inv site, {records:,} records")

        write_student(small / ids[0], load(ROOT), random.Random(2), ids[0])  # noqa: S311 - for play
        changed = seconds(lambda: _site(small, folder / "site"))
        yield Figure("with one student's records changed", changed, 2, "s", "inv site again")

        for number in range(TIMES):
            for id_ in ids:
                # Links, not copies: the same records under different ids.
                shutil.copytree(small / id_, large / f"{id_}-{number}", copy_function=os.link)
        many = seconds(lambda: _site(large, folder / "large-site"))
        how = f"{TIMES * STUDENTS:,} students in {many:.0f} s, {STUDENTS:,} in {cold:.1f} s"
        yield Figure("a student's cost in a class ten times as large", many / TIMES / cold, 1.25, "×", how)


def _site(records: Path, target: Path) -> None:
    command = [sys.executable, "-m", "invoke", "site", "--records", str(records), "--to", str(target)]
    quietly(command, ROOT, outside())


def memory() -> Iterator[Figure]:
    """Measure the peak memory of all processes together that build a site of 1,000 students."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_cohort(folder / "records", load(ROOT), STUDENTS)
        script = folder / "watched.py"
        script.write_text(
            "from tests.bench.site import watched\n"
            f"if __name__ == '__main__':\n    watched({str(folder / 'records')!r}, {str(folder / 'site')!r})\n"
        )
        report = folder / "peaks"
        environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "site")))}
        with report.open("w") as said:
            subprocess.run([sys.executable, str(script)], cwd=ROOT, env=environment, stdout=said, check=True)
        _, parent, child, processes = map(float, report.read_text().split())
    how = f"{parent:.0f} MiB, and {processes:.0f} processes of at most {child:.0f} MiB"
    yield Figure(f"peak memory of a site of {STUDENTS:,} students", parent + processes * child, 500, "MiB", how)


def watched(records: str, target: str) -> None:
    """Build, and print in MiB this process's memory before and at its peak and its largest child's, then the count."""
    watch(lambda: build(Folder(Path(records)), Path(target)))
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10
    sys.stdout.write(f" {child} {os.cpu_count() or 1}")
