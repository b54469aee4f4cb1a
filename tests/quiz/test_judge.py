"""Right answers are right, in the course as in a release; nothing else is, and nothing raises."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grading.manifest.loader import load_manifest
from grading.quiz.answer_file import Answers, load_answers
from grading.quiz.decimals import normalize_number
from grading.quiz.judge import judge_answers
from grading.quiz.student_id import read_student_id
from grading.quiz.student_questions import build_student_questions, choose_parameters, choose_student_variant
from grading.submission import OWN

ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.integers(0, 400).map(lambda n: n / 2)
    | st.floats()
    | st.text(max_size=8)
    | st.lists(st.sampled_from("abcdefz"), max_size=5).map(tuple)
    | st.sampled_from([10**400, float("nan"), float("inf"), "1e999", "NaN", "-Infinity", "1_0", "٣", "0x10", "a,b"])
)


def compute_right_answers(milestone, student):
    """Compute the right answers from the student's own parameters."""
    area, _ = milestone.questions
    drawn = choose_parameters(area, choose_student_variant(area, student))
    options = build_student_questions(milestone, student)[1].options
    letters = tuple(letter for letter, text in options.items() if text in ("two", "three"))
    return Answers(student, {"area": drawn["a"] * drawn["b"], "primes": letters})


@pytest.mark.parametrize("student", ["ada", "grace", "7"])
def test_right_answers_are_right_in_clear_and_sealed(milestone, sealed, student):
    """The same answers pass in the course and in its release."""
    answers = compute_right_answers(milestone, student)
    for judged in (judge_answers(milestone, answers, student), judge_answers(sealed, answers, student)):
        assert [v.correct for v in judged] == [True, True]
        assert [v.why for v in judged] == [None, None]


@settings(max_examples=40, deadline=None)
@given(area=ANYTHING, primes=ANYTHING)
def test_sealed_and_clear_keys_agree_on_any_answer(milestone, sealed, area, primes):
    """Whatever is answered, both judge it alike and without raising."""
    answers = Answers("ada", {k: v for k, v in {"area": area, "primes": primes}.items() if v is not None})
    assert judge_answers(milestone, answers, "ada") == judge_answers(sealed, answers, "ada")


def test_another_students_right_answers_are_all_wrong(milestone):
    """A passed-on file gives nothing, and says why."""
    judged = judge_answers(milestone, compute_right_answers(milestone, "ada"), "grace")
    assert not any(v.correct for v in judged)
    assert "student ada, and you are grace" in judged[0].why


def test_another_students_answers_with_the_name_changed_are_wrong(milestone):
    """Changing `student:` in a passed-on file does not make its answers right."""
    passed_on = Answers("grace", compute_right_answers(milestone, "ada").answers)
    assert not any(v.correct for v in judge_answers(milestone, passed_on, "grace"))


def test_no_answers_are_not_yet_answered(milestone):
    """Nothing answered is neither right nor somebody else's."""
    judged = judge_answers(milestone, Answers(), "ada")
    assert [(v.correct, v.answered, v.why) for v in judged] == [(False, False, "Not answered yet.")] * 2


def test_part_of_the_right_options_is_not_right(milestone):
    """Every right option must be chosen, and no wrong one."""
    right = compute_right_answers(milestone, "ada").answers["primes"]
    for letters in (right[:1], tuple("abcde"), ()):
        assert not judge_answers(milestone, Answers("ada", {"primes": letters}), "ada")[1].correct


def test_letters_may_be_written_in_any_order_and_case(milestone):
    """The text "C, a" means what [a, c] means."""
    right = compute_right_answers(milestone, "ada").answers["primes"]
    for written in (right[::-1], ", ".join(right).upper(), " ".join(right), (*right, right[0])):
        assert judge_answers(milestone, Answers("ada", {"primes": written}), "ada")[1].correct


@pytest.mark.parametrize(
    ("answer", "digits", "expected"),
    [
        (20, 0, "20"), (20.0, 0, "20"), ("20", 0, "20"), (" +20. ", 0, "20"), ("2e1", 0, "20"), (19.6, 0, "20"),
        (0.125, 2, "0.13"), ("0.1", 2, "0.10"), (0.1 + 0.2, 1, "0.3"), (-0.001, 2, "0.00"), ("-0", 0, "0"),
        (1e-30, 1, "0.0"),
        (-2.5, 0, "-3"), (10**40, 0, "1" + "0" * 40), (True, 0, None), (None, 0, None), ([20], 0, None),
        (float("nan"), 0, None), (float("inf"), 0, None), ("1e999", 0, None), ("1e41", 0, None), (10**4000, 0, None),
        ("", 0, None), ("twenty", 0, None), ("1_0", 0, None), ("٣", 0, None), ("0x14", 0, None), ("9" * 61, 0, None),
    ],
)  # fmt: skip
def test_a_number_has_one_canonical_text(answer, digits, expected):
    """All ways to write the same rounded number are equal; anything else is not a number."""
    assert normalize_number(answer, digits) == expected


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_the_courses_own_answers_are_right(root, number):
    """The repository's own answers answer its own questions; `inv answers` writes them again."""
    student = read_student_id(root / OWN)
    assert student == "course"
    milestone = load_manifest(root).milestone(number)
    judged = judge_answers(milestone, load_answers(root / OWN, number), student)
    assert [v.question_id for v in judged if not v.correct] == []
    assert len(judged) == len(milestone.questions) > 0
