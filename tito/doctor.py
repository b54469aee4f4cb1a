"""`tito doctor`: check that everything the course needs is in place, and explain how to fix what is not."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.text import Text

from grading.render.text import format_count, to_one_line
from grading.shadow import REMOVE_SHADOW, find_shadowing_package
from tito.console import format_list_item, open_console, print_json, require_repository

T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """The outcome of one check: `ok` is True if all is well, False if not, and None if it is only worth knowing."""

    name: str
    ok: bool | None
    found: str
    mend: str | None = None


def run_doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False) -> int:
    """Check that everything the course needs is in place, and explain how to fix what is not.

    \b
    Examples:
      tito doctor
      tito doctor --json
    """
    findings = list(run_repository_checks(require_repository()))
    if as_json:
        print_json([asdict(f) for f in findings])
    else:
        show_findings(findings, "Everything the course needs is in place.")
    return 3 if any(f.ok is False for f in findings) else 0


def run_repository_checks(root: Path) -> Iterator[Finding]:
    """Run every check of a student's repository, in order, and yield its finding."""
    checks = (
        check_python,
        check_packages,
        check_manifest,
        check_editable_install,
        check_sandbox,
        check_worker_start,
        check_course_files,
        check_cache_folder,
        check_progress_records,
    )
    return run_checks(checks, root)


def run_checks(checks: Iterable[Callable[[T], Finding]], subject: T) -> Iterator[Finding]:
    """Run each check on ``subject``, in order, and yield its finding; a check that crashes yields one as well."""
    for check in checks:
        name = check.__name__.removeprefix("check_").replace("_", " ")
        try:
            yield check(subject)
        except Exception as error:
            found = f"could not be checked: {type(error).__name__}: {error}"
            yield Finding(
                name, False, found, "Run pip install -e . and try again. If this does not help, ask your instructor."
            )


def check_python(_root: Path) -> Finding:
    """Check that Python is 3.11 or later."""
    here = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info >= (3, 11)
    return Finding(
        "python", ok, f"Python {here}", None if ok else "Install Python 3.11 or later: https://www.python.org"
    )


def check_packages(_root: Path) -> Finding:
    """Check that the course is installed, and in any version each package that it requires."""
    try:
        needed = metadata.requires("tinytorch-course") or []
    except metadata.PackageNotFoundError:
        return Finding("packages", False, "the course is not installed", "pip install -e .")
    missing = []
    for requirement in needed:
        name = re.match(r"[A-Za-z0-9_.-]+", requirement)
        if name and "extra ==" not in requirement:
            try:
                metadata.version(name[0])
            except metadata.PackageNotFoundError:
                missing.append(name[0])
    if missing:
        return Finding("packages", False, f"not installed: {', '.join(missing)}", "pip install -e .")
    return Finding(
        "packages", True, f"NumPy {metadata.version('numpy')}, pytest {metadata.version('pytest')} and the others"
    )


def check_manifest(root: Path) -> Finding:
    """Check that the manifest can be read and is valid, apart from its deadlines."""
    from grading.manifest.loader import ManifestError, load_manifest  # each check imports only what it needs

    try:
        course = load_manifest(root)
    except ManifestError as error:
        return Finding("manifest", False, str(error), "git checkout -- milestones.yaml")
    return Finding("manifest", True, f"{course.course.name} {course.course.version}, {len(course.modules)} modules")


def check_editable_install(root: Path) -> Finding:
    """Check that `import tinytorch` finds this repository's files and no others."""
    if (shadow := find_shadowing_package()) is not None:
        return Finding(
            "editable install", False, f"another package named tinytorch hides yours: {shadow}", REMOVE_SHADOW
        )
    mend = f"In {root}: pip install -e ."
    spec = importlib.util.find_spec("tinytorch")
    if spec is None or not spec.submodule_search_locations:
        return Finding("editable install", False, "tinytorch cannot be imported", mend)
    places = [Path(place).resolve() for place in spec.submodule_search_locations]
    elsewhere = [place for place in places if not place.is_relative_to(root)]
    if elsewhere:
        return Finding("editable install", False, f"tinytorch is also imported from {elsewhere[0]}", mend)
    missing = sorted(set((root / "modules").resolve().glob("*/tinytorch")) - set(places))
    if missing:
        return Finding("editable install", False, f"not on the path: {missing[0].relative_to(root)}", mend)
    return Finding(
        "editable install", True, f"tinytorch consists of the {len(places)} module folders of this repository"
    )


def check_sandbox(_root: Path) -> Finding:
    """Check that bubblewrap or Landlock works; without either, the finding's `ok` is None, not False."""
    from grading.sandbox import bubblewrap, launch

    if not sys.platform.startswith("linux"):
        return Finding(
            "sandbox",
            None,
            "this system has no bubblewrap: your code runs in a limited process, which is enough on your own machine",
        )
    reason = bubblewrap.find_bubblewrap_problem()
    if reason is None:
        return Finding("sandbox", True, "bubblewrap works")
    without = launch.find_landlock_problem()
    if without is None:
        return Finding("sandbox", True, f"Landlock works, which official grading also accepts ({reason})")
    return Finding(
        "sandbox",
        None,
        f"{reason}; {without}. Your code runs in a limited process, which is enough on your own machine.",
    )


def check_worker_start(_root: Path) -> Finding:
    """Check that a worker process starts with the grader's own versions, and that it answers."""
    from grading.errors import GraderError
    from grading.remote import WorkerFailureError
    from grading.sandbox.launch import ADVICE, choose_fence
    from grading.sandbox.view import find_real_interpreter
    from grading.workers import probe_worker

    fence = choose_fence(official=False)
    try:
        probe = probe_worker(fence)
    except (GraderError, WorkerFailureError) as error:
        mend = (
            "A worker inherits none of your shell's variables. This command must work: "
            f"env -i {find_real_interpreter()} -I -c 'print(1)'. "
            "If it does not, create the course's environment with a different Python, such as one from "
            "uv or python.org."
        )
        return Finding("worker", False, str(error).removesuffix(ADVICE).strip(), mend)
    versions = f"Python {probe.python}, NumPy {probe.numpy}"
    found = f"starts in {fence} with {versions}; a round trip takes {1000 * probe.round_trip_seconds:.2f} ms"
    return Finding("worker", True, found)


def check_course_files(root: Path) -> Finding:
    """Check that tests, grader and manifest match the release's lock file. Without that file, the check passes."""
    from grading.lock import find_changed_course_files

    changed = find_changed_course_files(root)
    if not changed:
        return Finding("course files", True, "unchanged since the release")
    names = ", ".join(changed[:5]) + (", …" if len(changed) > 5 else "")
    return Finding("course files", False, f"changed: {names}", f"git checkout -- {' '.join(changed[:5])}")


def check_cache_folder(_root: Path) -> Finding:
    """Check that the cache folder, which stores results, is writable."""
    from grading import cache

    if cache.is_measurement_cache_writable():
        return Finding("cache folder", True, f"{cache.find_measurement_cache_folder()} is writable")
    return Finding(
        "cache folder",
        False,
        f"{cache.find_measurement_cache_folder()} is not writable",
        f"Make {cache.find_measurement_cache_folder()} writable.",
    )


def check_progress_records(root: Path) -> Finding:
    """Check that every progress record can be read; damaged ones are moved to `progress/damaged/`."""
    from grading import progress

    history = progress.read_history(root)
    if history.damaged:
        one = history.damaged[0]
        found = f"{len(history.damaged)} damaged, the first being {one.path.as_posix()}: {one.reason}"
        mend = (
            "A damaged record is set aside and does not count. If Git has an earlier version, restore it to progress/."
        )
        return Finding("progress records", False, found, mend)
    return Finding("progress records", True, f"{format_count(len(history.events), 'record')}, all readable")


def show_findings(findings: list[Finding], success_message: str) -> None:
    """Print the findings, with instructions for each problem, then the number of problems or the success message."""
    out = open_console()
    plain = out.options.ascii_only
    for finding in findings:
        sign, style = {True: ("✓", "green"), False: ("✗", "red"), None: ("·", "cyan")}[finding.ok]
        if plain:
            sign = {True: "ok", False: "NO", None: "--"}[finding.ok]
        text = Text.assemble((finding.name, "bold"), f": {to_one_line(finding.found, 600)}")
        if finding.mend:
            text.append("\nto fix it: ").append(to_one_line(finding.mend, 600), style="bold")
        out.print(format_list_item(sign, text, style=style, indent=0))
    wrong = sum(f.ok is False for f in findings)
    out.print(f"\n{wrong} to fix." if wrong else f"\n{success_message}")
