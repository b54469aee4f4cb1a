"""Copies are found however they are disguised; code that everybody has is not reported."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from desk.roster import RosterRow
from desk.similar import FINGERPRINT, GRAM, WINDOW, find_similar_pairs, fingerprint_code, hash_given_code, tokenize_code
from desk.similar_page import render_similarity_page
from desk.similar_read import SubmissionFiles
from grading.errors import UsageError
from tests.desk.school import make_released_files, make_solved_files

NOTHING = np.empty(0, np.uint64)
OWN = '''
def moving_average(values, width):
    """The mean of each window."""
    total = sum(values[:width])
    found = [total / width]
    for index in range(width, len(values)):
        total += values[index] - values[index - width]
        found.append(total / width)
    return found
'''
DISGUISED = """
# mine, all mine
def smooth( data ,n ) :
        acc=sum( data[ : n ] )     # start
        out=[ acc/n ]

        for k in range( n,len( data ) ):
                acc+=data[ k ]-data[ k-n ]
                out.append( acc/n )
        return out
"""
OTHER = """
def moving_average(values, width):
    from collections import deque
    window, means = deque(maxlen=width), []
    while values:
        window.append(values.pop(0))
        if len(window) == width and not means or means is not None:
            means = means + [sum(window) * (1.0 / width)]
    return tuple(means)
"""


def test_names_numbers_comments_and_layout_do_not_count() -> None:
    """The disguised copy has the same tokens."""
    assert [kind for kind, _ in tokenize_code(OWN)] == [kind for kind, _ in tokenize_code(DISGUISED)]
    assert [kind for kind, _ in tokenize_code(OWN)] != [kind for kind, _ in tokenize_code(OTHER)]


@pytest.mark.parametrize(
    "text",
    ['f"a {x!r:>{width}} b"', "f'{x}'", 'rf"""\n{x}\n"""', """f"{f'{x} y'} z\"""", "'a'", 'b"a"'],
)
def test_a_string_is_one_token_in_every_version_of_python(text: str) -> None:
    """Since Python 3.12 an f-string is several tokens, and its text could make unrelated code look similar."""
    assert [kind for kind, _ in tokenize_code(f"y = {text} + 1\n")] == ["n", "=", "s", "+", "0"]
    assert tokenize_code(f"{text}\nx\n")[:1] == [("n", 2 + text.count("\n"))]


def test_every_match_long_enough_is_found() -> None:
    """At least one fingerprint is kept from any run of GRAM + WINDOW - 1 tokens."""
    source = "\n".join(f"a{n} = b[{n}] + {'-' * (n % 5)}c({', '.join('x' * (n % 4))})" for n in range(60))
    kept = set(fingerprint_code(source, NOTHING)["value"].tolist())
    lines = source.splitlines()
    for start in range(0, 50, 5):
        part = "\n".join(lines[start : start + 8])
        assert len(tokenize_code(part)) >= GRAM + WINDOW - 1
        assert kept & set(hash_given_code([part]).tolist())


def test_a_copy_is_found_with_its_lines_and_others_are_not() -> None:
    """The match covers the entire function on both sides."""
    files = {"ada": {"a.py": OWN}, "bob": {"b.py": "import math\n\n" + DISGUISED}, "cyd": {"a.py": OTHER}}
    (pair,) = find_similar_pairs(files, [])
    assert (pair.left, pair.right, pair.share) == ("ada", "bob", 1.0)
    assert {(m.file, m.right_file) for m in pair.matches} == {("a.py", "b.py")}
    assert min(m.left[0] for m in pair.matches) <= 4
    assert max(m.left[1] for m in pair.matches) >= 8
    assert max(m.right[1] for m in pair.matches) >= 11


def test_what_is_given_and_what_many_have_is_left_out() -> None:
    """The skeleton never counts, and a solution that many students found is not a sign of copying."""
    assert find_similar_pairs({"ada": {"a.py": OWN}, "bob": {"a.py": DISGUISED}}, [OWN]) == ()
    assert find_similar_pairs({f"s{n}": {"a.py": OWN} for n in range(40)}, []) == ()
    skeletons = make_released_files()
    assert find_similar_pairs({"ada": skeletons, "bob": dict(skeletons)}, skeletons.values()) == ()


def test_a_copy_among_honest_work_is_first() -> None:
    """Among complete modules the copied pair comes first, although all students solve the same tasks."""
    skeletons, solution = make_released_files(), make_released_files() | make_solved_files("03_activations")
    files = {"ada": solution, "bob": {k: v.replace("result", "outcome") for k, v in solution.items()}, "cyd": skeletons}
    (pair,) = find_similar_pairs(files, skeletons.values())
    assert {pair.left, pair.right} == {"ada", "bob"}
    assert pair.share > 0.9


@pytest.mark.parametrize(
    "source", ["", "def f(:\n", "'''", "x = 1\n\ty = 2\n", "\0", "(" * 500, "é = 1\n" * 3, "a = 1\r\nb = 2\r"]
)
def test_what_is_no_python_is_read_as_far_as_it_goes(source: str) -> None:
    """No code that a student writes stops the comparison."""
    assert fingerprint_code(source, NOTHING).dtype == FINGERPRINT


def test_the_page_shows_pairs_side_by_side_as_text() -> None:
    """No code and no name can run as markup or script."""
    evil = OWN + "\nx = '</pre><script>alert(1)</script>'\n"
    files = {"ada": {"a.py": evil}, "bob": {"a.py": evil}}
    text = render_similarity_page(
        find_similar_pairs(files, []), pack_submissions(files), {"ada": "Ada <b>", "bob": "Bob"}
    )
    assert "<script>" not in text
    assert "Ada &lt;b&gt;" in text
    assert text.count("<figure>") % 2 == 0
    assert text.count("<mark>") == text.count("</mark>") > 0
    assert "No two submissions" in render_similarity_page((), {}, {})
    assert "100% in common" in text
    assert text.count("<details>") == 1


def pack_submissions(class_files: Mapping[str, Mapping[str, str]]) -> dict[str, SubmissionFiles]:
    """Pack each student's files as `read_submissions` returns them."""
    return {s: SubmissionFiles(zlib.compress(json.dumps(files).encode()), {}) for s, files in class_files.items()}


def test_what_few_share_weighs_more_than_what_many_share() -> None:
    """Each pair shares a complete file; one file belongs to two more students, so its pairs come last."""
    rare, usual = OWN, OTHER
    files = {f"s{n}": {"a.py": text} for n, text in enumerate([usual, usual, usual, usual, rare, rare])}
    pairs = find_similar_pairs(files, [])
    assert (pairs[0].left, pairs[0].right) == ("s4", "s5")
    assert pairs[0].alone == pairs[0].common == pairs[0].rarity
    assert len(pairs) == 7
    assert all(pair.alone == 0 and pair.rarity == pytest.approx(pair.common / 3, abs=0.06) for pair in pairs[1:])


def test_other_classes_are_compared_with_and_not_among_themselves() -> None:
    """A copy of last year's work is found, but two similar submissions from last year are not reported."""
    before = {"1:old": {"a.py": OWN}, "1:older": {"a.py": OWN}}
    pairs = find_similar_pairs({"ada": {"a.py": DISGUISED}, "bob": {"a.py": OTHER}}, [], before)
    assert {(pair.left, pair.right) for pair in pairs} == {("ada", "1:old"), ("ada", "1:older")}


def test_submissions_are_read_as_they_were_handed_in(class_folder: Path, tmp_path: Path) -> None:
    """Submissions are read from the collected repositories without a checkout, and links are not followed."""
    from desk import git
    from desk.collect import FILE
    from desk.gradebook import Visit, open_gradebook
    from desk.similar_page import write_similarity_page
    from grading.render.progress_watch import SilentWatch
    from grading.submission import MAX_BYTES
    from tests.desk.school import ROOT, School

    school, head_of = School(tmp_path / "school"), {}
    solution = make_released_files() | make_solved_files("03_activations")
    with open_gradebook(class_folder / FILE, make=True) as book:
        for student in ("ada", "bob", "gone"):
            school.enroll_student(student, solution)
        book.set_enrolled_students(school.rows)
        for student in ("ada", "bob"):
            if student == "bob":
                layers = school.get_work_folder("bob") / "modules/02_tensor/tinytorch/tensor.py"
                layers.unlink()
                layers.symlink_to("/etc/passwd")
                school.push_files("bob", {})
            head = head_of[student] = git.list_remote_heads(f"file://{school.get_repository_path(student)}").commit
            repository = class_folder / "repositories" / f"{student}.git"
            git.init_bare_repository(repository)
            git.fetch_commits(repository, f"file://{school.get_repository_path(student)}", [head], largest=MAX_BYTES)
            book.save_visit(Visit(student, school_day(), "refs/heads/main", head))
    (pair,) = write_similarity_page(ROOT, class_folder, tmp_path / "similar.html", SilentWatch())
    assert (pair.left, pair.right) == ("ada", "bob")
    text = (tmp_path / "similar.html").read_text()
    assert "03_activations" in text
    assert "root:" not in text
    with open_gradebook(tmp_path / "last" / FILE, make=True) as book:
        book.set_enrolled_students([RosterRow("zoe", "Zoe", section="B"), RosterRow("ada")])
        for student in ("zoe", "ada"):
            book.save_visit(Visit(student, school_day(), "refs/heads/main", head_of["ada"]))
    with pytest.raises(UsageError, match="inv collect --only fetch --folder"):
        write_similarity_page(ROOT, class_folder, tmp_path / "similar.html", SilentWatch(), [tmp_path / "last"])
    for student in ("zoe", "ada"):
        shutil.copytree(class_folder / "repositories/ada.git", tmp_path / f"last/repositories/{student}.git")
    pairs = write_similarity_page(ROOT, class_folder, tmp_path / "similar.html", SilentWatch(), [tmp_path / "last"])
    assert {(pair.left, pair.right) for pair in pairs} == {
        ("ada", "bob"),
        ("ada", "1:zoe"),
        ("bob", "1:zoe"),
        ("bob", "1:ada"),
    }, "a student who takes the course again is not compared with their own work"
    assert "Zoe (B, last)" in (tmp_path / "similar.html").read_text()


def school_day():
    """Return a fixed time for commits."""
    from tests.desk.school import TERM

    return TERM
