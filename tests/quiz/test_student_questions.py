"""Every student gets their own questions."""

from __future__ import annotations

import pytest

from grading.manifest.model import NumberQuestion
from grading.quiz.sealing import seal_question
from grading.quiz.student_questions import (
    VARIANT_COUNT,
    build_student_questions,
    choose_parameters,
    choose_student_variant,
)


def test_there_are_64_different_variants(milestone):
    """All combinations of a question with 64 of them are used."""
    drawn = [choose_parameters(milestone.questions[0], variant) for variant in range(VARIANT_COUNT)]
    assert len(drawn) == VARIANT_COUNT
    assert len({tuple(v.items()) for v in drawn}) == VARIANT_COUNT


def test_few_combinations_are_repeated_in_turn():
    """A question with three combinations still has 64 variants, each combination used about as often."""
    question = NumberQuestion(kind="number", id="few", prompt="{{ a }}?", read="a lesson", parameters={"a": (1, 2, 3)})
    used = [choose_parameters(question, variant)["a"] for variant in range(VARIANT_COUNT)]
    assert len(used) == VARIANT_COUNT
    assert {used.count(n) for n in (1, 2, 3)} == {21, 22}


def test_variants_do_not_change_from_one_version_of_python_to_the_next(milestone):
    """The draw is pinned: a release and the instructor's run must agree for years."""
    first = [choose_parameters(milestone.questions[0], variant) for variant in range(3)]
    assert first == [{"a": 13, "b": 128}, {"a": 3, "b": 128}, {"a": 2, "b": 64}]
    assert choose_student_variant(milestone.questions[0], "ada") == 9


def test_a_release_asks_what_the_course_asks(milestone, sealed):
    """Sealing changes neither parameters nor letters."""
    assert build_student_questions(milestone, "ada") == build_student_questions(sealed, "ada")


def test_students_are_asked_different_things(milestone):
    """Fifty students share neither all parameters nor one order of options."""
    asked = [build_student_questions(milestone, f"student-{n}") for n in range(50)]
    assert len({number.prompt for number, _ in asked}) > 25
    assert len({tuple(choice.options.values()) for _, choice in asked}) > 25


def test_case_of_the_name_changes_nothing(milestone):
    """Ada and ada get one set of questions."""
    assert build_student_questions(milestone, "Ada") == build_student_questions(milestone, "ada")


def test_prompts_are_written_with_plain_numbers(milestone):
    """Whole parameters are shown without a point, and no template is left."""
    for n in range(20):
        prompt = build_student_questions(milestone, f"s{n}")[0].prompt
        assert "{{" not in prompt
        assert ".0" not in prompt


def test_nothing_of_the_key_is_left_in_a_sealed_question(milestone):
    """The sealed question has no formula, and the order of its options reveals nothing."""
    number, choice = map(seal_question, milestone.questions)
    assert number.answer is None
    assert (choice.right, choice.wrong) == ((), ())
    assert choice.options == tuple(sorted(choice.options))


def test_what_is_sealed_already_cannot_be_sealed_again(sealed):
    """A release's manifest cannot be the source of another release."""
    with pytest.raises(ValueError, match="no plain-text answer"):
        seal_question(sealed.questions[0])
