"""`tito update`: merge a newer release into a student's repository. Nothing is lost, and one command undoes it."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from grading import lock
from grading.errors import UsageError
from grading.files import write_atomically
from tito.console import make_tito_folder, open_console, require_repository
from tito.identity import can_ask

if TYPE_CHECKING:  # slow to import
    from grading.manifest.model import Manifest
    from tito.releases import Release

UPDATES = "updates"
STATE = "update.json"


@dataclass(frozen=True)
class FileChange:
    """A change to one file, whose path is relative to the repository."""

    path: Path
    what: str
    """The kind of change: added, replaced, removed, merged, conflict, or copied.

    A copied file is the student's version, kept under a new name."""
    data: bytes | None
    """The new content, or None if the file is removed."""
    conflicts: tuple[int, ...] = ()
    """The lines at which conflicts begin."""


@dataclass(frozen=True)
class UpdatePlan:
    """The changes that an update would make."""

    old: str
    new: str
    """The course's version before and after the update."""
    changes: tuple[FileChange, ...]
    tasks: tuple[str, ...]
    """The new tasks with their titles."""


def update_course(
    source: Annotated[
        str | None,
        typer.Argument(metavar="[RELEASE]", help="A folder, a zip archive or a git repository with the new release."),
    ] = None,
    branch: Annotated[
        str | None, typer.Option("--branch", metavar="NAME", help="The branch, if RELEASE is a git repository.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, but change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Update without asking.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Undo the last update.")] = False,
) -> int:
    """Update to a newer release of the course. Your code is merged with it, and --undo reverts the update.

    \\b
    Examples:
      tito update ../tinytorch-new --dry-run
      tito update ../tinytorch-new
      tito update release.zip --yes
      tito update https://github.com/class/tinytorch --branch main
      tito update --undo
    """
    root, out = require_repository(), open_console()
    if undo:
        return _undo_update(root, out)
    from grading.manifest.loader import load_manifest  # slow to import
    from tito.releases import open_release

    if not (root / lock.FILE).is_file():
        raise UsageError(f"{root} is not a released course: it has no {lock.FILE}, so it cannot be updated.")
    if source is None:
        grader = load_manifest(root).course.grader
        if grader is None:
            raise UsageError("Give the new release: a folder, a zip archive or a git repository.")
        source, branch = f"https://github.com/{grader.repository}", branch or grader.ref
    with open_release(source, branch) as release:
        plan = plan_update(root, load_manifest(root), release)
    if not plan.changes:
        out.print(f"Your course is already at version {plan.new}. There is nothing to update.")
        return 0
    show_update_plan(out, plan)
    again = f"tito update {source}{f' --branch {branch}' if branch else ''} --yes"
    if dry_run or not (yes or can_ask(out)):
        out.print(Text.assemble("\nNothing was changed. To update: ", (again, "bold")), soft_wrap=True)
        return 0
    _refuse_uncommitted_changes(root, plan)
    if not yes and out.input("\nUpdate now? (y/n) ").strip().lower() not in ("y", "yes"):
        out.print("Nothing was changed.")
        return 0
    apply_update_plan(root, plan)
    return show_steps_after_update(out, plan)


def plan_update(root: Path, manifest: Manifest, release: Release) -> UpdatePlan:
    """Plan what a release would change in ``root``, changing nothing. Raise UsageError if the current one is too old.

    ``manifest`` is the repository's own.
    """
    from tito.merging import merge_student_and_course_text

    old = _read_lock_digests(root)
    if lock.BASE.as_posix() not in old["files"]:
        raise UsageError(
            f"Your release is older than `tito update`: it has no {lock.BASE}, which holds the original text of your "
            "files. Copy your files under modules/ into a fresh copy of the new release instead."
        )
    base = lock.read_released_texts(root)
    changes: list[FileChange] = []
    released = (
        old["student"] | old["files"] | {lock.FILE.as_posix(): lock.digest_file_below(root, lock.FILE.as_posix())}
    )
    for path, data in (release.course | release.student).items():
        name, present = path.as_posix(), _read_bytes_or_none(root / path)
        mine = _decode_utf8_or_none(present)
        if present is None:
            changes.append(FileChange(path, "added", data))
        elif lock.digest_text_ignoring_line_ends(present) == lock.digest_text_ignoring_line_ends(data):
            continue
        elif lock.digest_text_ignoring_line_ends(present) == released.get(name):
            changes.append(FileChange(path, "replaced", data))
        elif path in release.course or name not in base or mine is None:
            changes.append(FileChange(path, "copied", data))
        elif (merged := merge_student_and_course_text(mine, base[name], data.decode())).text != mine:
            what = "conflict" if merged.conflicts else "merged"
            changes.append(FileChange(path, what, merged.text.encode(), merged.conflicts))
    for name in sorted(released):
        path, present = Path(name), _read_bytes_or_none(root / name)
        if present is None or path in release.course or path in release.student:
            continue
        # A file that the student has changed is kept, even if the new release no longer has it.
        if name in old["files"] or lock.digest_text_ignoring_line_ends(present) == released[name]:
            changes.append(FileChange(path, "removed", None))
    known = {task.id for module in manifest.modules for task in module.tasks}
    tasks = [task for module in release.manifest.modules for task in module.tasks if task.id not in known]
    new = tuple(f"{task.id} {task.title}" for task in tasks)
    return UpdatePlan(manifest.course.version, release.manifest.course.version, tuple(changes), new)


def show_update_plan(out: Console, plan: UpdatePlan) -> None:
    """Print what happens to each file that the student has changed, how many others change, and the new tasks."""
    out.print(Text(f"From version {plan.old} to {plan.new}", style="bold"))
    words = {
        "merged": "merged with your version",
        "conflict": "changed by you and by the course in the same place; you will have to resolve the conflict",
        "copied": "replaced; a copy of your version is kept next to it",
    }
    for change in plan.changes:
        if change.what in words:
            out.print(f"  {change.path.as_posix()}: {words[change.what]}", soft_wrap=True)
    for what in ("added", "replaced", "removed"):
        paths = [change.path.as_posix() for change in plan.changes if change.what == what]
        if paths:
            shown = ", ".join(paths[:4]) + (", …" if paths[4:] else "")
            out.print(f"  {len(paths)} {'file' if len(paths) == 1 else 'files'} {what}: {shown}", soft_wrap=True)
    if plan.tasks:
        out.print(Text("New tasks", style="bold"))
        for task in plan.tasks:
            out.print(f"  Task {task}")


def show_steps_after_update(out: Console, plan: UpdatePlan) -> int:
    """Print the remaining steps after an update. Return 1 if there are conflicts, otherwise 0."""
    out.print(Text(f"\nYour course is now at version {plan.new}.", style="bold green"))
    conflicts = [change for change in plan.changes if change.conflicts]
    for change in conflicts:
        lines = ", ".join(map(str, change.conflicts))
        out.print(Text(f"Conflict: {change.path.as_posix()}, line {lines}", style="yellow"), soft_wrap=True)
    if conflicts:
        out.print(
            "Your version is between <<<<<<< and =======, and the new release's version is between ======= and "
            ">>>>>>>. Keep the lines you want and delete the rest."
        )
    if any(change.path.name == "pyproject.toml" for change in plan.changes):
        out.print(Text.assemble("To install it again: ", ("pip install -e .", "bold")))
    out.print(Text.assemble("To undo the update: ", ("tito update --undo", "bold")))
    return 1 if conflicts else 0


def apply_update_plan(root: Path, plan: UpdatePlan) -> None:
    """Save the old files for `--undo`, then change them. If there is an error, restore everything."""
    from tito.reset import copy_file_aside

    now = datetime.now()
    folder = make_tito_folder(root) / UPDATES / f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    files: dict[str, dict] = {}
    added: list[Path] = []
    folder.mkdir(parents=True)
    for number, change in enumerate(plan.changes):
        present = _read_bytes_or_none(root / change.path)
        before = None if present is None else f"{number}.before"
        if before is not None and present is not None:
            (folder / before).write_bytes(present)
        after = None if change.data is None else lock.digest_text_ignoring_line_ends(change.data)
        files[change.path.as_posix()] = {"before": before, "after": after}
    try:
        for change in plan.changes:
            if change.what == "copied":
                added.append(copy_file_aside(root, change.path, now))
                files[added[-1].as_posix()] = {
                    "before": None,
                    "after": lock.digest_file_below(root, added[-1].as_posix()),
                }
        write_atomically(folder / STATE, json.dumps({"from": plan.old, "to": plan.new, "files": files}).encode())
        for change in plan.changes:
            _write_or_remove_file(root, change.path, change.data)
    except BaseException:
        for name, said in files.items():
            _write_or_remove_file(
                root, Path(name), None if said["before"] is None else (folder / said["before"]).read_bytes()
            )
        shutil.rmtree(folder)
        raise


def _undo_update(root: Path, out: Console) -> int:
    """Undo the last update, copy each file that changed since then, and return 0; raise UsageError if there is none."""
    from tito.reset import copy_file_aside

    states = sorted((root / ".tito" / UPDATES).glob(f"*/{STATE}"))
    if not states:
        raise UsageError("There is no update to undo.")
    try:
        folder, state = states[-1].parent, json.loads(states[-1].read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError(f"{states[-1]} cannot be read. Its folder holds the files from before the update.") from None
    kept = []
    for name, said in state["files"].items():
        present = _read_bytes_or_none(root / name)
        if present is not None and lock.digest_text_ignoring_line_ends(present) != said["after"]:
            kept.append((name, copy_file_aside(root, Path(name), datetime.now())))
    for name, said in state["files"].items():
        _write_or_remove_file(
            root, Path(name), None if said["before"] is None else (folder / said["before"]).read_bytes()
        )
    shutil.rmtree(folder)
    out.print(Text(f"The update was undone. Your course is at version {state['from']} again.", style="bold"))
    for name, copy in kept:
        out.print(f"  {name} had changed since the update. That version is in {copy.as_posix()}", soft_wrap=True)
    if "pyproject.toml" in state["files"]:
        out.print(Text.assemble("To install it again: ", ("pip install -e .", "bold")))
    return 0


def _refuse_uncommitted_changes(root: Path, plan: UpdatePlan) -> None:
    """Raise UsageError if Git finds uncommitted work in a file that the update would change; do nothing without Git."""
    git = shutil.which("git")
    if git is None:
        return
    command = [git, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all"]
    done = subprocess.run(command, cwd=root, capture_output=True, check=False)  # noqa: S603
    prefix = subprocess.run([git, "rev-parse", "--show-prefix"], cwd=root, capture_output=True, check=False)  # noqa: S603
    if done.returncode or prefix.returncode:
        return  # outside a git repository, `--undo` is the only safety net
    start = prefix.stdout.decode().strip()
    changed = {entry[3:].removeprefix(start) for entry in done.stdout.decode("utf-8", "replace").split("\0") if entry}
    mixed = sorted(changed & {change.path.as_posix() for change in plan.changes})
    if mixed:
        shown = ", ".join(mixed[:3]) + (", …" if mixed[3:] else "")
        raise UsageError(
            f"The update would change files that contain uncommitted work: {shown}. Nothing was changed. "
            'Commit your work first: git commit -am "Before the update"'
        )


def _read_lock_digests(root: Path) -> dict[str, dict[str, str]]:
    """Read the lock's "files" and "student", each path to digest; raise UsageError if the lock cannot be read."""
    try:
        said = json.loads((root / lock.FILE).read_bytes())
        return {key: dict(said[key]) for key in ("files", "student")}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        raise UsageError(f"{lock.FILE} cannot be read. Restore it: git checkout -- {lock.FILE}") from None


def _read_bytes_or_none(path: Path) -> bytes | None:
    """Read a file's bytes; return None if it does not exist."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _decode_utf8_or_none(data: bytes | None) -> str | None:
    """Decode UTF-8 bytes; return None if they are not UTF-8."""
    try:
        return None if data is None else data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _write_or_remove_file(root: Path, path: Path, data: bytes | None) -> None:
    """Write a file or, if ``data`` is None, remove it together with the folders that this leaves empty."""
    if data is not None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(root / path, data)
        return
    (root / path).unlink(missing_ok=True)
    for folder in path.parents[:-1]:
        if (root / folder).is_dir() and not any((root / folder).iterdir()):
            (root / folder).rmdir()
