"""Rules for every workflow, in the course and in a release, whatever else changes in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from course.workflows import COPIED_WORKFLOWS, SAMPLE_GRADER, TEMPLATE_WORKFLOWS, build_release_workflows, main
from grading.github.__main__ import app
from grading.manifest.loader import load_manifest
from tests.docs_commands import list_chores, list_nox_sessions
from tests.workflows import syntax
from tests.workflows.expressions import EMBEDDED

ROOT = Path(__file__).resolve().parents[2]
PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+\n")
OURS = re.compile(r'nox -s ("\$SESSION"|[\w-]+)( -- \S.*)?|\.ci/run')
INSTALL = 'pip install --quiet "nox[uv]"'
OF_GITHUB = r"github\.(token|ref|sha|repository|run_id|event_name)|job\.workflow_(repository|sha)"
OF_EVENT = r"github\.event\.(repository\.(default_branch|private)|pull_request\.(number|head\.(sha|repo\.full_name)))"
OF_RUN = r"github\.event\.workflow_run\.(id|event|conclusion|head_repository\.full_name)"
OF_JOBS = r"needs\.(plan|fetch)\.(result|outputs\.\w+)|steps\.plan\.outputs\.\w+"
OF_MATRIX = r"matrix\.(session|minutes|shard|number|system|python|module)"
OF_CLASS = r"secrets\.(CLASS_TOKEN|PSEUDONYM_KEY)"
HARMLESS = re.compile(f"{OF_GITHUB}|{OF_EVENT}|{OF_RUN}|{OF_JOBS}|{OF_MATRIX}|{OF_CLASS}")


def read_workflow_texts() -> dict[str, str]:
    """Read every workflow, keyed by name: the course's, and those in a release that call them."""
    found = {path.name: path.read_text("utf-8") for path in sorted((ROOT / ".github/workflows").iterdir())}
    return found | {path.name: data.decode() for path, data in build_release_workflows(ROOT, SAMPLE_GRADER).items()}


def list_parts(kind: str) -> list[Any]:
    """List each step that runs or uses something, or each job, with its location."""
    found = []
    for name, text in read_workflow_texts().items():
        workflow = syntax.parse_workflow(text)
        if kind == "job":
            found += [pytest.param(job, id=f"{name}:{key}") for key, job in workflow["jobs"].items()]
            continue
        for job, _, step in syntax.list_steps(workflow):
            if kind in step:
                found.append(pytest.param(step, id=f"{name}:{job}:{step.get('name', step[kind])}"))
    return found


def test_all_workflows_are_looked_at():
    """They are the course's workflows, and those that only a release has."""
    assert set(read_workflow_texts()) == {
        "ci.yml",
        "collect.yml",
        "long.yml",
        "newest.yml",
        "site.yml",
        *COPIED_WORKFLOWS,
        *TEMPLATE_WORKFLOWS,
    }


@pytest.mark.parametrize("step", list_parts("run"))
def test_no_expression_stands_in_a_command(step):
    """A shell reads exactly the text in the file; values come through the environment, in which they are quoted."""
    assert "${{" not in step["run"]
    assert not re.search(r'(?<!")\$[A-Z]', step["run"])


@pytest.mark.parametrize("step", list_parts("run"))
def test_every_command_is_one_of_the_project_s_own(step):
    """Each is one line that also runs at a desk: a nox session, the script that CI runs, or the installation of nox."""
    command = step["run"].strip()
    assert command == INSTALL or OURS.fullmatch(command), command
    known = list_nox_sessions(ROOT)
    if chore := re.match(r"nox -s desk -- (\S+)", command):
        assert chore[1] in list_chores(ROOT)
    found = re.match(r"nox -s ([\w-]+)", command)
    assert found is None or found[1] in known
    if found and found[1] == "github":
        words = command.partition(" -- ")[2].split()
        options = typer.main.get_command(app).commands[words[0]].params  # type: ignore[attr-defined]
        assert {w for w in words if w.startswith("--")} <= {name for option in options for name in option.opts}


def test_long_checks_cover_every_session_and_module_there_is():
    """The workflow lists them, since GitHub needs the matrix beforehand; all exist, and no module is left out."""
    jobs = syntax.parse_workflow(read_workflow_texts()["long.yml"])["jobs"]
    assert set(jobs["session"]["strategy"]["matrix"]["session"]) <= set(list_nox_sessions(ROOT))
    assert jobs["mutation"]["strategy"]["matrix"]["module"] == [m.id for m in load_manifest(ROOT).modules]


@pytest.mark.parametrize("name", sorted(read_workflow_texts()))
def test_an_expression_asks_only_for_what_cannot_be_chosen(name):
    """Allowed are numbers, digests, repository names and our own outputs, but no branch name, title or user text."""
    for found in EMBEDDED.finditer(read_workflow_texts()[name]):
        expression = re.sub(r"'[^']*'", "", found[1])
        for part in re.findall(r"[a-z_]+(?:\.[\w-]+)+", expression):
            assert HARMLESS.fullmatch(part), f"{name}: {part}"


@pytest.mark.parametrize("name", sorted(read_workflow_texts()))
def test_every_action_is_pinned_to_a_commit(name):
    """Each action is pinned with its version in a comment; only the course's own workflows are called by name."""
    for line in re.findall(r"uses: .*\n", read_workflow_texts()[name]):
        own = line.startswith(("uses: $/.github/workflows/", f"uses: {SAMPLE_GRADER.repository}/.github/workflows/"))
        assert own or PINNED.fullmatch(line), f"{name}: {line}"


def test_an_action_has_one_pin():
    """Every use has the same version."""
    pins: dict[str, set[str]] = {}
    for text in read_workflow_texts().values():
        for action, pin in re.findall(r"uses: (actions/[\w-]+)@(.*)\n", text):
            pins.setdefault(action, set()).add(pin)
    assert pins
    assert all(len(found) == 1 for found in pins.values()), pins


def list_grading_jobs() -> list[Any]:
    """List the jobs in which student code runs: in a session that grades, or in the course's own tests."""
    found = []
    for name, text in read_workflow_texts().items():
        for key, job in syntax.parse_workflow(text)["jobs"].items():
            commands = [step.get("run", "") for step in job.get("steps", ())]
            grades = ("--submission", "--only grade", ".ci/run", 'nox -s "$SESSION"')
            if any(word in command for command in commands for word in grades):
                found.append(pytest.param(job, id=f"{name}:{key}"))
    return found


def test_student_code_runs_where_it_is_thought_to():
    """It runs in one job of grade.yml, one of collect.yml, and the jobs that run the course's own tests."""
    assert [case.id for case in list_grading_jobs()] == [
        "ci.yml:everything",
        "collect.yml:grade",
        "grade.yml:grade",
        "long.yml:session",
        "newest.yml:newest",
    ]


def test_a_class_is_fetched_where_no_student_code_runs():
    """Every `collect` states which half it runs, and the token is in the half that only fetches."""
    for case in list_parts("run"):
        (step,) = case.values
        if re.match(r"nox -s desk -- collect", step["run"]) and "--plan-matrix" not in step["run"]:
            assert ("--only fetch" in step["run"]) == ("secrets.CLASS_TOKEN" in str(step.get("env")))
            assert "--only fetch" in step["run"] or "--only grade" in step["run"]


@pytest.mark.parametrize("job", list_grading_jobs())
def test_a_job_that_runs_student_code_may_only_read_and_holds_no_token(job):
    """No token is in its permissions, a step's environment or on disk; and the job has a time limit."""
    assert job["permissions"] == {"contents": "read"}
    assert "timeout-minutes" in job
    for step in job["steps"]:
        assert "token" not in str(step.get("env", {})).lower()
        assert "secrets." not in str(step)
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("job", list_parts("job"))
def test_a_job_that_may_write_never_sees_student_code(job):
    """It checks out the course alone, by the name and commit that GitHub gives for the workflow itself."""
    writes = [what for what, level in job["permissions"].items() if level == "write"]
    for step in job.get("steps", ()) if writes else ():
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["path"] == "course"
            assert step["with"]["repository"] == "${{ job.workflow_repository || 'no/course' }}"
            assert step["with"]["ref"] == "${{ job.workflow_sha }}"


@pytest.mark.parametrize("name", sorted(read_workflow_texts()))
def test_no_job_has_a_permission_it_does_not_ask_for_or_a_cache(name):
    """The default is none, each permission has a reason, and no cache can carry anything between runs."""
    text, workflow = read_workflow_texts()[name], syntax.parse_workflow(read_workflow_texts()[name])
    assert workflow["permissions"] == {}
    assert workflow["cache-mode"] == "none"
    assert all(job["permissions"] for job in workflow["jobs"].values())
    for line in re.findall(r"^ +[a-z-]+: (?:read|write)\b.*$", text, re.MULTILINE):
        assert re.search(r"# \w", line), f"{name}: {line}"
    assert "actions/cache" not in text


@pytest.mark.parametrize("name", sorted(read_workflow_texts()))
def test_no_workflow_of_the_default_branch_runs_on_a_fork_s_event(name):
    """pull_request_target is not used; workflow_run is, by the one workflow that only reports."""
    events = set(syntax.parse_workflow(read_workflow_texts()[name])["on"])
    assert "pull_request_target" not in events
    assert ("workflow_run" in events) == (name == "autograde-forks.yml")


def test_grading_is_superseded_and_publishing_is_not():
    """A new commit in a pull request cancels the grading of the previous one; a publication waits its turn."""
    caller, grade = (
        syntax.parse_workflow(read_workflow_texts()["autograde.yml"]),
        syntax.parse_workflow(read_workflow_texts()["grade.yml"]),
    )
    assert caller["concurrency"] == {
        "group": "autograde-${{ github.event.pull_request.number || github.run_id }}",
        "cancel-in-progress": True,
    }
    assert grade["jobs"]["publish"]["concurrency"] == {
        "group": "tinytorch-publish",
        "cancel-in-progress": False,
        "queue": "max",
    }


def test_what_is_linted_is_all_of_it(tmp_path):
    """The settings state why a rule is not kept."""
    assert main([str(tmp_path)], ROOT) == 0
    written = {path.name for path in (tmp_path / ".github/workflows").iterdir()}
    assert written == set(read_workflow_texts())
    assert (tmp_path / ".github/zizmor.yml").is_file()
    assert main([], ROOT) == main(["--help"], ROOT) == 2
