"""`inv rehearse`: create a small class on this machine on which to try every command before the real class."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from course.answers import build_right_answers
from course.skeleton import make_skeleton, make_solution
from desk.class_folder import make_class_folder
from desk.git import build_git_environment
from desk.gradebook import FILE as BOOK
from desk.gradebook import PublishedRecord, open_gradebook
from desk.grading_process import GradingTask
from desk.leaderboard import get_machine_name, save_leaderboard_run
from desk.rehearsal_cast import CAST, COPIED, DUE, OWN, CastMember
from desk.roster import FILE, read_roster
from grading import progress
from grading.errors import GraderError, UsageError
from grading.files import write_atomically
from grading.grade import build_course_record
from grading.manifest.loader import load_manifest
from grading.manifest.model import BuildStatus, ChoiceQuestion, Manifest, Milestone
from grading.progress import Event, Kind
from grading.quiz.answer_file import Answers, save_answers
from grading.quiz.student_id import save_student_id
from grading.result import CourseRecord, Result
from grading.submission import list_source_files

USUAL = 4
"""The default number of students."""
SERVER = "repositories-of-the-rehearsal"
DEADLINES = "deadlines.yaml"
RECORDED = Path(__file__).with_name("recorded")
UNFINISHED = "\n\ndef next_thing_to_write(:\n"
MARKER = "student_"
"""The prefix that Chi adds to some names."""


def write_rehearsal_class(root: Path, folder: Path, students: int = USUAL, now: datetime | None = None) -> Path:
    """Write a roster, bare repositories and, for 6 or more students, a gradebook. Return the roster's path.

    Deadlines and a gradebook are added if any student has recorded results or a new id. Raise UsageError if the folder
    already contains a roster or if the number of students is invalid, and GraderError if git fails.
    """
    if (folder / FILE).exists():
        raise UsageError(
            f"{folder / FILE} already exists, so this folder belongs to a different class. Choose a new --folder."
        )
    if not 1 <= students <= len(CAST):
        raise UsageError(f"--students must be 1 to {len(CAST)}, not {students}.")
    manifest, at, cast = load_manifest(root), now or datetime.now(UTC), CAST[:students]
    make_class_folder(folder)
    texts = _load_module_texts(root, manifest)
    commits = {member.id: _create_student_repository(manifest, texts, member, folder / SERVER, at) for member in cast}
    lines = ["id,name,email,section,repository,public,leaderboard,extension_days"]
    lines += [
        f'{member.id},"{member.name}",{member.id}@example.org,{member.section},./{SERVER}/{member.id}.git,'
        f"{(agreed := 'yes' if member.public else 'no')},{agreed},{member.extension}"
        for member in cast
    ]
    write_atomically(folder / FILE, "".join(f"{line}\n" for line in lines).encode())
    if any(member.recorded or member.before for member in cast):
        write_atomically(folder / DEADLINES, _format_deadlines(at).encode())
        _fill_rehearsal_gradebook(root, manifest, folder, cast, commits, at)
    return folder / FILE


Texts = dict[Path, tuple[int, str, str]]
"""The type of the texts: for each file, its module's number, the released text and the text with the solution."""


def _load_module_texts(root: Path, manifest: Manifest) -> Texts:
    """Map each file that students edit to its module's number, its skeleton and its solution."""
    built = [module for module in manifest.modules if module.status is BuildStatus.BUILT]
    found: Texts = {}
    for file in list_source_files(manifest, built):
        source = (root / file.path).read_text("utf-8")
        given, written = (write(source, manifest, file.path) for write in (make_skeleton, make_solution))
        found[file.path] = (file.module.number, given, written)
    return found


def _create_student_repository(
    manifest: Manifest, texts: Texts, member: CastMember, server: Path, now: datetime
) -> list[str]:
    """Create a student's bare repository and work tree with all they pushed; return the commits, oldest first."""
    tree, bare = server / f"{member.id}.work", server / f"{member.id}.git"
    for name, (number, given, written) in texts.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = _make_student_version(written, member, number, path.name) if number <= member.modules else given
        path.write_text(text, "utf-8")
    save_student_id(tree, member.id)
    reached = [m for m in manifest.milestones if manifest.module(m.trigger).number <= member.modules and member.answers]
    for milestone in reached:
        save_answers(tree, milestone.id, _build_member_answers(milestone, member))
    git = _StudentGit(member.id)
    git("init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    git("--git-dir", str(bare), "config", "core.logAllRefUpdates", "true")
    git("--git-dir", str(bare), "config", "uploadpack.allowFilter", "true")
    git("init", "--quiet", "--initial-branch=main", str(tree))
    commits = []
    for turn, days in enumerate(member.days):
        path = tree / manifest.modules[member.modules - 1].code
        if turn and member.puts_back:
            for name, (number, given, _) in texts.items():
                if number == member.modules:
                    (tree / name).write_text(given, "utf-8")
        elif turn:  # another attempt
            path.write_text(f"{path.read_text('utf-8')}# try {turn + 1}\n", "utf-8")
        git.at = now - timedelta(days=days)
        git("-C", str(tree), "add", "--all")
        git("-C", str(tree), "-c", "commit.gpgSign=false", "commit", "--quiet", "--message", "My work")
        git("-C", str(tree), "push", "--quiet", str(bare.resolve()), "HEAD:main")
        commits.append(git("-C", str(tree), "rev-parse", "HEAD").strip())
    return commits


def _make_student_version(solution_text: str, member: CastMember, module: int, file: str) -> str:
    """Change a solution's text as this student would: leave it unfinished, rename names, or add own or copied code."""
    if member.change in ("unfinished", "renamed") and module == 2:
        solution_text += UNFINISHED
    if member.change == "renamed":
        solution_text = solution_text.replace("result", f"{MARKER}result").replace("value", f"{MARKER}value")
    if member.change in ("own", "copied") and file == "layers.py":
        solution_text += (
            OWN if member.change == "own" else re.sub(r"\w+", lambda word: COPIED.get(word[0], word[0]), OWN)
        )
    return solution_text


def _build_member_answers(milestone: Milestone, member: CastMember) -> Answers:
    """Answer a milestone's questions correctly, except one of milestone 1 unless `member.answers` is "right"."""
    answers = build_right_answers(milestone, member.id)
    if member.answers == "right" or milestone.id > 1:
        return answers
    asked = next(question.id for question in milestone.questions if not isinstance(question, ChoiceQuestion))
    return replace(answers, answers={**answers.answers, asked: 1})


def _fill_rehearsal_gradebook(
    root: Path,
    manifest: Manifest,
    folder: Path,
    cast: tuple[CastMember, ...],
    commits: dict[str, list[str]],
    now: datetime,
) -> None:
    """Fill the class's gradebook: enroll the cast, save recorded results, their leaderboard runs and module records."""
    course = build_course_record(root, manifest)
    rows = {row.id: row for row in read_roster(folder / FILE).rows}
    with open_gradebook(folder / BOOK, make=True) as book:
        book.set_enrolled_students(replace(rows[member.id], id=member.before or member.id) for member in cast)
        for member in cast:
            for turn, (commit, days) in enumerate(zip(commits[member.id], member.days, strict=True)):
                at = now - timedelta(days=days, hours=-1)
                for found in (_load_recorded_result(name, member, commit, at, course) for name in member.recorded):
                    milestone = manifest.milestone(found.milestone or 0)
                    if turn and member.puts_back and manifest.module(milestone.trigger).number == member.modules:
                        continue
                    book.save_result(member.before or member.id, found)
                    if member.public:
                        task = GradingTask(member.id, milestone.id, commit, "")
                        save_leaderboard_run(book, task, found, course.digest, get_machine_name())
            if member.recorded:
                begun = now - timedelta(days=member.days[0])
                book.save_records(member.before or member.id, _build_published_records(manifest, member, begun))


def _load_recorded_result(name: str, member: CastMember, commit: str, at: datetime, course: CourseRecord) -> Result:
    """Load a recorded result, and adapt it as if this student's commit had been graded at this time."""
    found = Result.model_validate_json((RECORDED / f"{name}.json").read_bytes())
    how = "Recorded for the rehearsal with the course’s own solution. "
    return found.model_copy(
        update={
            "started_at": at,
            "course": course,
            "criteria": tuple(c.model_copy(update={"how": how + c.how if c.how else None}) for c in found.criteria),
            "submission": found.submission.model_copy(
                update={"student": member.id, "commit": commit, "digest": commit}
            ),
        }
    )


def _build_published_records(manifest: Manifest, member: CastMember, until: datetime) -> list[PublishedRecord]:
    """Invent the records of a `progress` branch up to a time: when the student started, tested and completed modules.

    Every module is started and completed, every third after a failed attempt.
    """
    events = []
    for module in manifest.modules[: member.modules]:
        at = until - timedelta(days=3 * (member.modules - module.number + 1), hours=7 * module.number % 11)
        kinds = [Kind.MODULE_STARTED, *[Kind.MODULE_TESTED] * (2 * (module.number % 3 == 2)), Kind.MODULE_COMPLETED]
        events += [Event(kind, at + timedelta(hours=9 * n), module.id) for n, kind in enumerate(kinds)]
    return [
        PublishedRecord(
            member.before or member.id,
            f"{progress.FOLDER.as_posix()}/{number}.json",
            event.at,
            None,
            progress.encode_event_file(event).decode(),
            None,
        )
        for number, event in enumerate(events)
    ]


def _format_deadlines(now: datetime) -> str:
    """Format deadlines that make some students late, as text to append to milestones.yaml."""
    due = [
        f"    - milestone: {milestone}\n      at: {now - timedelta(days=days):%Y-%m-%d} 23:59\n"
        for milestone, days in DUE.items()
    ]
    return (
        "# The rehearsal's deadlines. To see lateness, add these lines to the end of milestones.yaml.\n"
        "deadlines:\n  timezone: UTC\n  late:\n    grace_minutes: 15\n    off_per_day: 0.1\n    days: 5\n"
        f"  due:\n{''.join(due)}"
        "  extensions:\n    - section: C\n      days: 2\n      milestones: [1]\n"
    )


class _StudentGit:
    """Runs git as one student, at a time that can be set."""

    def __init__(self, student: str) -> None:
        who = {"NAME": student, "EMAIL": f"{student}@example.org"}
        self._who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in who.items()}
        self.at: datetime | None = None

    def __call__(self, *words: str) -> str:
        """Run git, and return what it prints; raise GraderError if it fails."""
        times = {}
        if self.at is not None:  # the bare repository records this as the push time
            times = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), f"{int(self.at.timestamp())} +0000")
        done = subprocess.run(  # noqa: S603
            ["git", *words],  # noqa: S607
            env=build_git_environment(os.environ) | self._who | times,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise GraderError(f"git {words[0]} failed: {done.stderr.strip()}")
        return done.stdout
