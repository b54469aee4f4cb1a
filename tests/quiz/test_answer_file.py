"""Keeping answers in a student's repository."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from grading.quiz.answer_file import Answers, load_answers, save_answers

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
ANSWER = (
    st.integers(-(10**17), 10**17)
    | st.floats(-1e9, 1e9).filter(lambda x: abs(x) > 1e-9)
    | TEXT
    | st.lists(TEXT, max_size=4).map(tuple)
)


@given(st.dictionaries(TEXT.filter(bool), ANSWER, max_size=4))
def test_what_is_saved_is_read_back(tmp_path_factory, given_answers):
    """Numbers, letters and lists of letters come back with their types."""
    root = tmp_path_factory.getbasetemp()
    answers = Answers("ada", given_answers)
    assert save_answers(root, 7, answers) is None
    assert load_answers(root, 7) == answers


def test_the_file_reads_as_a_person_would_write_it(tmp_path):
    """Several letters stand on one line, below a comment that explains the file."""
    save_answers(tmp_path, 1, Answers("ada", {"area": 20, "primes": ("a", "c"), "one": "b"}))
    text = (tmp_path / "answers/milestone-1.yaml").read_text()
    assert text.startswith("# ")
    assert text.endswith("student: ada\nanswers:\n  area: 20\n  primes: [a, c]\n  one: b\n")


def test_no_file_is_no_answers(tmp_path):
    """Having no answers yet is not an error."""
    assert load_answers(tmp_path, 1) == Answers()


def test_a_damaged_file_is_set_aside_and_never_lost(tmp_path):
    """Saving over two damaged files keeps both next to the new one."""
    file = tmp_path / "answers/milestone-1.yaml"
    file.parent.mkdir()
    for number, text in enumerate(["student: ada\nanswers: {a: 1", "student: [x]"], start=1):
        file.write_text(text)
        aside = save_answers(tmp_path, 1, Answers("ada", {"area": 1}))
        assert aside is not None
        assert aside.as_posix() == f"answers/milestone-1.damaged-{number}.yaml"
        assert (tmp_path / aside).read_text() == text
        assert load_answers(tmp_path, 1).answers == {"area": 1}
