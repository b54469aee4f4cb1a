"""The manifest agrees with its schema, the files and topics it names, and the tasks in the code."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from grading.manifest.__main__ import app
from grading.manifest.check_figures import CHECK_FIGURES
from grading.manifest.file_checks import find_missing_file_problems
from grading.manifest.loader import load_manifest
from grading.manifest.model import BuildStatus, NumberQuestion
from grading.manifest.problems import ManifestError
from grading.manifest.question_checks import find_question_problems
from grading.manifest.schema import SCHEMA_PATH
from grading.manifest.topics import DOCUMENT, TOPIC_SIGNS, find_troubleshooting_topics, read_topics
from grading.result import CriterionResult, CriterionStatus, Failure

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = load_manifest(ROOT)
ONE = MANIFEST.milestone(1)


@pytest.fixture
def course(tmp_path):
    """Make a small copy of the course: the manifest, the built modules and the troubleshooting page."""
    shutil.copy(ROOT / "milestones.yaml", tmp_path)
    (tmp_path / DOCUMENT).parent.mkdir(parents=True)
    shutil.copy(ROOT / DOCUMENT, tmp_path / DOCUMENT)
    for module in MANIFEST.modules:
        if module.status is BuildStatus.BUILT:
            for path in (module.lesson, module.code, module.tests):
                (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / path).write_text("")
    for milestone in MANIFEST.milestones:
        if milestone.status is BuildStatus.BUILT:
            (tmp_path / milestone.recipe).write_text("")
            (tmp_path / milestone.integration_tests).write_text("")
    return tmp_path


def build_criterion_result(name, status, failures=(), milestone=ONE):
    """Build a criterion's result with only the fields that choosing a topic needs."""
    criterion = next(c for c in milestone.criteria if c.name == name)
    fields = criterion.model_dump(include={"kind", "name", "title", "unit", "why"})
    return CriterionResult(
        **fields, status=status, threshold=criterion.threshold, comparison=criterion.comparison, failures=failures
    )


def test_the_schema_file_is_what_the_model_says():
    """`python -m grading.manifest schema --check` finds nothing to write."""
    assert CliRunner().invoke(app, ["schema", "--check"]).exit_code == 0


def test_a_schema_file_that_is_not_current_is_noticed_and_written_anew(tmp_path):
    """--check answers 2 for a missing or old file; without it the file is written."""
    run = CliRunner().invoke
    assert run(app, ["schema", "--check", "--root", str(tmp_path)]).exit_code == 2
    assert run(app, ["schema", "--root", str(tmp_path)]).exit_code == 0
    assert (tmp_path / SCHEMA_PATH).read_bytes() == (ROOT / SCHEMA_PATH).read_bytes()
    (tmp_path / SCHEMA_PATH).write_text("{}")
    assert run(app, ["schema", "--check", "--root", str(tmp_path)]).exit_code == 2


def test_the_schema_accepts_the_manifest_and_refuses_a_misspelt_key():
    """An editor that uses the published schema agrees with the reader."""
    schema = json.loads((ROOT / SCHEMA_PATH).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    data = yaml.safe_load((ROOT / "milestones.yaml").read_text(encoding="utf-8"))
    assert list(validator.iter_errors(data)) == []
    data["milestones"][0]["criteria"][0]["at_leest"] = 1
    assert not validator.is_valid(data)


def test_a_complete_course_has_no_missing_files(course):
    """With every named file and topic in place there is nothing to report."""
    assert find_missing_file_problems(MANIFEST, course) == ()
    assert CliRunner().invoke(app, ["check", "--root", str(course)]).exit_code == 0


@pytest.mark.parametrize(
    "path",
    [
        *(path for m in MANIFEST.modules[:4] for path in (m.lesson, m.code, m.tests)),
        ONE.recipe,
        ONE.integration_tests,
    ],
    ids=str,
)
def test_a_missing_file_is_named_with_its_line(course, path):
    """Each file that the manifest names is missed when it is gone, on the line that names it."""
    (course / path).unlink()
    (problem,) = find_missing_file_problems(MANIFEST, course)
    assert path.as_posix() in problem.message
    assert "does not exist" in problem.message
    assert "status: planned" in problem.repair
    line = (course / "milestones.yaml").read_text(encoding="utf-8").splitlines()[problem.line - 1]
    assert path.parts[1] in line
    assert CliRunner().invoke(app, ["check", "--root", str(course)]).exit_code == 2


def test_a_missing_folder_is_one_problem_of_its_module(course):
    """Without its folder a module is reported once, not once for each file."""
    shutil.rmtree(course / "modules" / "03_activations")
    (problem,) = find_missing_file_problems(MANIFEST, course)
    assert "its folder modules/03_activations does not exist" in problem.message


def test_a_topic_without_a_heading_is_named(course):
    """A troubleshooting topic must be a heading of the page; a heading in a code block is none."""
    page = (course / DOCUMENT).read_text(encoding="utf-8")
    hidden = page.replace("### Right on four points", "```text\n### Right on four points", 1) + "```\n"
    (course / DOCUMENT).write_text(hidden.replace("### Right on four points", "### Left on four points"))
    problems = find_missing_file_problems(MANIFEST, course)
    assert any("right-on-four-points-but-wrong-with-noise has no heading" in p.message for p in problems)


def test_a_missing_or_repeated_heading_page_is_a_problem(course):
    """No page, or two topics of one name, is said with the file's name."""
    page = course / DOCUMENT
    page.write_text(page.read_text(encoding="utf-8") + "\n### Memory runs out\n", encoding="utf-8")
    with pytest.raises(ManifestError, match="Rename one of the two"):
        find_missing_file_problems(MANIFEST, course)
    page.unlink()
    with pytest.raises(ManifestError, match="milestone-troubleshooting"):
        find_missing_file_problems(MANIFEST, course)


def test_every_topic_says_something():
    """No heading of the page stands alone."""
    assert [t.slug for t in read_topics(ROOT).values() if len(t.text) < 150] == []


def test_every_sign_stands_in_the_grader_and_leads_to_a_topic():
    """The words by which a cause is known are Python's own or the grader's, as it writes them today."""
    files = [p for p in (ROOT / "grading").rglob("*.py") if p.name != "topics.py"]
    tests = sorted((ROOT / "modules").glob("*/test_*.py"))
    told = "\n".join(p.read_text(encoding="utf-8") for p in (*files, *tests))
    for sign, topic in TOPIC_SIGNS.items():
        assert topic in read_topics(ROOT)
        if "::" in sign:
            folder, _, name = sign.partition("::")
            of = [p for p in tests if p.relative_to(ROOT).as_posix().startswith(folder.removesuffix(" … "))]
            assert any(f"def {name}" in p.read_text(encoding="utf-8") for p in of), sign
        else:
            assert sign.endswith("Error") or all(part in told for part in sign.split(" … ")), sign


def test_what_failed_leads_to_its_topic():
    """A failed criterion leads to its own topic; what passed or was not attempted to none."""
    results = [
        build_criterion_result("module_tests", CriterionStatus.PASSED),
        build_criterion_result("accuracy", CriterionStatus.FAILED),
        build_criterion_result("demo", CriterionStatus.NOT_ATTEMPTED),
    ]
    assert find_troubleshooting_topics(ONE, results) == ("the-loss-stays-at-0693",)


def test_a_visible_cause_comes_before_the_criterions_topic():
    """A deadline that passed is what to read about first."""
    late = Failure(title="The recipe trains", got="no answer within 10 s; is there an endless loop?")
    result = build_criterion_result("loss", CriterionStatus.FAILED, (late,))
    assert find_troubleshooting_topics(ONE, [result]) == (
        "it-takes-too-long-or-never-ends",
        "the-loss-falls-but-not-far-enough",
    )


def test_a_recipe_that_fails_its_own_tests_leads_to_the_symptom():
    """Without Tanh the module's tests fail first, and the page on a loss of 0.693 is the one that helps."""
    test = "modules/04_layers/test_layers.py::test_recipe_learns[XOR]"
    got = "[0.5, 0.5, 0.5, 0.5], a loss of 0.693: as good as always answering 0.5"
    stays = Failure(title="After training all four corners are right", got=got, test=test)
    result = build_criterion_result("module_tests", CriterionStatus.FAILED, (stays,))
    assert find_troubleshooting_topics(ONE, [result]) == ("the-loss-stays-at-0693", "module-tests-fail")
    test = "modules/11_training/test_integration.py::test_recipe_learns_a_simple_task"
    slow = Failure(title="The recipe learns a simple task", got="0.4 (float)", test=test)
    result = build_criterion_result("integration_tests", CriterionStatus.FAILED, (slow,))
    assert find_troubleshooting_topics(ONE, [result]) == ("accuracy-on-cifar-10-is-too-low", "integration-tests-fail")


def test_training_that_passes_its_limit_leads_to_its_own_topic():
    """Where the recipe ran out of CPU time, steps and their cost are read about before loops that never end."""
    late = Failure(title="The recipe builds, trains and predicts (seed 5)", got="no answer within 10 s of CPU time")
    topics = find_troubleshooting_topics(ONE, [build_criterion_result("accuracy", CriterionStatus.FAILED, (late,))])
    assert topics == ("training-does-not-end-in-time", "it-takes-too-long-or-never-ends", "the-loss-stays-at-0693")


def test_a_tokenizer_that_is_refused_leads_to_its_own_topic():
    """A topic about wrong merges or tokens comes before the topic of the figure that could not be measured."""
    five = MANIFEST.milestone(5)
    title = "The recipe builds, trains and predicts (stories)"
    for got in ("tokens that stand for b'no'", "a token of 70 bytes: b'aaa'", "two tokens that both stand for b'abc'"):
        result = build_criterion_result("claims", CriterionStatus.FAILED, (Failure(title=title, got=got),), five)
        assert find_troubleshooting_topics(five, [result]) == (
            "the-tokenizer-is-refused",
            "claims-of-stories-are-false",
        )


@pytest.mark.parametrize("milestone", MANIFEST.milestones, ids=lambda m: str(m.id))
def test_the_first_pages_say_of_each_milestone_what_the_manifest_does(milestone):
    """README's table and commands, and the headings of the troubleshooting page, follow its status."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in readme.splitlines()]
    (row,) = [row for row in rows if row[:2] == [str(milestone.id), milestone.name]]
    assert (row[2], row[-1]) == (milestone.trigger, milestone.status.value)
    built = milestone.status is BuildStatus.BUILT
    assert (f"nox -s milestone-{milestone.id}\n" in readme) == built
    heading = f"## Milestone {milestone.id}: {milestone.name}{'' if built else ' (planned)'}\n"
    assert heading in (ROOT / DOCUMENT).read_text(encoding="utf-8")


def test_where_nothing_is_planned_no_page_says_so():
    """Once all is built, the first page does not explain what planned means, nor do the changes."""
    if all(part.status is BuildStatus.BUILT for part in (*MANIFEST.modules, *MANIFEST.milestones)):
        assert "planned" not in (ROOT / "README.md").read_text(encoding="utf-8").lower()
        assert "still planned" not in (ROOT / "docs/CHANGELOG.md").read_text(encoding="utf-8").lower()


def test_every_topic_of_milestone_5_is_led_to():
    """By a criterion that was not met, or by what its failure says."""
    milestone = MANIFEST.milestone(5)
    led_to = {criterion.topic for criterion in milestone.criteria} | set(TOPIC_SIGNS.values())
    assert set(milestone.troubleshooting) <= led_to


@pytest.mark.parametrize(
    ("explanation", "topics"),
    [
        ("module 13_kernels needs numba, which is not installed: pip install numba", ("numba-is-not-installed",)),
        ("official grading needs a sandbox: bubblewrap is not installed", ("the-sandbox-is-missing",)),
        ("the data cannot be downloaded", ()),
    ],
)
def test_an_error_of_the_machine_leads_to_its_cause(explanation, topics):
    """A part missing on the machine has its topic, and the criterion's own topic, about student code, is not shown."""
    result = build_criterion_result("accuracy", CriterionStatus.ERROR).model_copy(update={"explanation": explanation})
    assert find_troubleshooting_topics(ONE, [result]) == topics


def test_every_task_of_the_manifest_has_a_gap_and_every_gap_a_task():
    """The ids after BEGIN SOLUTION are those of the manifest, module by module."""
    for module in MANIFEST.modules:
        if module.status is BuildStatus.BUILT:
            recipe = ROOT / module.folder / "recipe.py"
            files = [ROOT / module.code, *([recipe] if recipe.is_file() else [])]
            text = "\n".join(file.read_text(encoding="utf-8") for file in files)
            assert set(re.findall(r"# BEGIN SOLUTION (\S+)", text)) == {task.id for task in module.tasks}


def test_all_number_questions_can_be_asked_and_answered():
    """Every combination of parameters gives a prompt and a finite answer."""
    assert find_question_problems(MANIFEST, ROOT) == ()


@pytest.mark.parametrize(
    ("change", "key", "message"),
    [
        ({"prompt": "What is {{ missing }}?"}, "prompt", "'missing' is undefined"),
        ({"prompt": "What is {{ x"}, "prompt", "cannot be rendered"),
        ({"answer": "x +"}, "answer", "cannot be computed"),
        ({"answer": "x / (x - 3)"}, "answer", "division by zero"),
        ({"answer": "y + 1"}, "answer", "'y' is undefined"),
        ({"answer": "x > 1"}, "answer", "is True"),
        ({"answer": "x / 2"}, "digits", "between two roundings"),
        ({"parameters": {"x": (1, 2, 3)}}, "parameters", "only 3 combinations"),
    ],
)
def test_a_question_that_cannot_be_asked_is_named(change, key, message):
    """A broken template, expression or choice of parameters is reported on its own line."""
    fields = {"prompt": "What is {{ x }}?", "parameters": {"x": tuple(range(3, 70))}, "answer": "x"} | change
    question = NumberQuestion(kind="number", id="training_memory", read="the lesson", **fields)
    broken = ONE.model_copy(update={"questions": (question, *ONE.questions[1:])})
    problems = find_question_problems(MANIFEST.model_copy(update={"milestones": (broken,)}), ROOT)
    assert message in problems[0].message
    line = (ROOT / "milestones.yaml").read_text(encoding="utf-8").splitlines()[problems[0].line - 1]
    assert key in line or key == "digits"


def test_own_parameters_make_own_answers():
    """No answer of a number question serves more than a third of all parameters."""
    from grading.manifest.question_checks import SandboxedEnvironment, _draw_combinations

    for question in ONE.questions:
        if isinstance(question, NumberQuestion):
            answer = SandboxedEnvironment().compile_expression(question.answer)
            parameters = list(_draw_combinations(question, 0))
            given = Counter(round(answer(**p), question.digits) for p in parameters)
            assert max(given.values()) <= len(parameters) / 3, question.id


def test_the_known_checks_are_the_graders():
    """The checks that a criterion may name are those the grader can run."""
    from grading.grade import CHECKS

    assert set(CHECK_FIGURES) == set(CHECKS)
