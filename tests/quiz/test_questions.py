"""Every student gets their own questions."""

from __future__ import annotations

import pytest

from grading.manifest.model import NumberQuestion
from grading.quiz.questions import VARIANTS, for_student, variant_of, variants
from grading.quiz.sealing import seal


def test_there_are_64_different_variants(milestone):
    """All combinations of a question with 64 of them are used."""
    drawn = variants(milestone.questions[0])
    assert len(drawn) == VARIANTS
    assert len({tuple(v.items()) for v in drawn}) == VARIANTS


def test_few_combinations_are_repeated_in_turn():
    """A question with three combinations still has 64 variants, each combination used about as often."""
    question = NumberQuestion(kind="number", id="few", prompt="{{ a }}?", read="a lesson", parameters={"a": (1, 2, 3)})
    used = [v["a"] for v in variants(question)]
    assert len(used) == VARIANTS
    assert {used.count(n) for n in (1, 2, 3)} == {21, 22}


def test_variants_do_not_change_from_one_version_of_python_to_the_next(milestone):
    """The draw is pinned: a release and the instructor's run must agree for years."""
    first = variants(milestone.questions[0])[:3]
    assert first == [{"a": 13, "b": 128}, {"a": 3, "b": 128}, {"a": 2, "b": 64}]
    assert variant_of(milestone.questions[0], "ada") == 9


def test_a_release_asks_what_the_course_asks(milestone, sealed):
    """Sealing changes neither parameters nor letters."""
    assert for_student(milestone, "ada") == for_student(sealed, "ada")


def test_students_are_asked_different_things(milestone):
    """Fifty students share neither all parameters nor one order of options."""
    asked = [for_student(milestone, f"student-{n}") for n in range(50)]
    assert len({number.prompt for number, _ in asked}) > 25
    assert len({tuple(choice.options.values()) for _, choice in asked}) > 25


def test_case_of_the_name_changes_nothing(milestone):
    """Ada and ada get one set of questions."""
    assert for_student(milestone, "Ada") == for_student(milestone, "ada")


def test_prompts_are_written_with_plain_numbers(milestone):
    """Whole parameters are shown without a point, and no template is left."""
    for n in range(20):
        prompt = for_student(milestone, f"s{n}")[0].prompt
        assert "{{" not in prompt
        assert ".0" not in prompt


def test_nothing_of_the_key_is_left_in_a_sealed_question(milestone):
    """The sealed question has no formula, and the order of its options reveals nothing."""
    number, choice = map(seal, milestone.questions)
    assert number.answer is None
    assert (choice.right, choice.wrong) == ((), ())
    assert choice.options == tuple(sorted(choice.options))


def test_what_is_sealed_already_cannot_be_sealed_again(sealed):
    """A release's manifest cannot be the source of another release."""
    with pytest.raises(ValueError, match="no answer in clear"):
        seal(sealed.questions[0])
