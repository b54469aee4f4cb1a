"""A roster is read as intended, and every mistake is reported with its line and how to fix it."""

from __future__ import annotations

from pathlib import Path

import pytest

from desk.repository import build_git_address, find_repository_problem, parse_github_name
from desk.roster import RosterRow, check_roster, read_roster
from grading.errors import UsageError


def write_roster_file(folder: Path, data: str | bytes) -> Path:
    """Write a roster with this text."""
    path = folder / "roster.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_every_column_is_read(tmp_path: Path) -> None:
    """Column names in any case and order, quotes, blank lines, a byte order mark and CRLF are accepted."""
    text = (
        '\ufeffName,ID,email,github,repository,section,public,extension_days\r\n"Lovelace, Ada",Ada,ada@example.org,'
        "AdaL,class/tinytorch-ada,B,Yes,3\r\n\r\nБоб,bob,,,,,,\r\n"
    )
    ada, bob = read_roster(write_roster_file(tmp_path, text)).rows
    assert ada == RosterRow("ada", "Lovelace, Ada", "ada@example.org", "adal", "class/tinytorch-ada", "B", True, 3)
    assert bob == RosterRow("bob", "Боб")


HEAD = "id,name,email,github,repository,section,public,extension_days\n"


@pytest.mark.parametrize(
    ("data", "line", "message", "mend"),
    [
        (b"id,name\nada,Ad\xe9\n", 2, "not UTF-8 text: byte 0xe9", "CSV UTF-8"),
        ("id,name\nada,Ada\n".encode("utf-16"), 1, "UTF-16", "CSV UTF-8"),
        ("id,name\nada,A\0\n", 2, "null byte", "CSV UTF-8"),
        ("id;name\nada;Ada\n", 1, "not separated by commas", "comma delimited"),
        ("id,nmae\nada,Ada\n", 1, "unknown column nmae", "`name`?"),
        ("id,name,name\nada,A,B\n", 1, "there are two columns name", "Delete one of the two"),
        ("name\nAda\n", 1, "no column id", "Add the column"),
        ("", 1, "no column id", "Add the column"),
        (HEAD + ",Ada,,,,,,\n", 2, "has no id", "student.yaml"),
        (HEAD + "a.b,Ada,,,,,,\n", 2, "id:", "hyphens and underscores"),
        (HEAD + "ada,,,,,,,\nbob,,,,,,,\nADA,,,,,,,\n", 4, "the id ada is already on line 2", "Delete or change"),
        (HEAD + "ada,,x@y.org,,,,,\nbob,,X@Y.org,,,,,\n", 3, "the email X@Y.org is already", "Delete or change"),
        (HEAD + "ada,,,,c/r,,,\nbob,,,,https://github.com/C/r.git,,,\n", 3, "is already on line 2", "Delete or change"),
        (HEAD + "ada,,ada,,,,,\n", 2, "not an e-mail address", "name@host"),
        (HEAD + "ada,,=1+1@x.org,,,,,\n", 2, "not an e-mail address", "name@host"),
        (HEAD + "ada,,,,,,maybe,\n", 2, "public is 'maybe'", "yes or no"),
        ("id,public,links\nada,no,yes\n", 2, "links is yes, but public is not", "agree to both"),
        ("id,leaderboard\nada,perhaps\n", 2, "leaderboard is 'perhaps'", "yes or no"),
        (HEAD + "ada,,,,,,,two\n", 2, "extension_days is 'two'", "whole number"),
        (HEAD + "ada,,,,,,,-2\n", 2, "extension_days is '-2'", "whole number"),
        (HEAD + "ada,,,,,,,3 4\n", 2, "extension_days is '3 4'", "2:5 for five days for milestone 2"),
        (HEAD + "ada,,,,,,,1:3 1:4\n", 2, "extension_days is", "2:5"),
        (HEAD + "ada,,,,,,,0:3\n", 2, "extension_days is", "2:5"),
        (HEAD + "ada,,,,--upload-pack=x,,,\n", 2, "is not the name of a repository", "owner/name"),
        (HEAD + "ada,,,,ext::sh -c id,,,\n", 2, "is not the name of a repository", "owner/name"),
        (HEAD + "ada,,,,https://me:secret@github.com/c/r,,,\n", 2, "a password", "credential helper"),
        (HEAD + "ada,Ada\n", 2, "has 2 cells where the header has 8", "double quotes"),
        (HEAD + 'ada,"Ada,,,,,,\n', 2, "not CSV", "double quote"),
        (HEAD + '"bo\nb",,,,,,,\nada,,,,,,,x\n', 4, "extension_days is 'x'", "whole number"),
        (HEAD + "ada,A\u202eda,,,,,,\n", 2, "invisible", "one line"),
        (HEAD + "ada,Ada\u200d,,,,,,\n", 2, "invisible", "one line"),
        (HEAD + "ada,\u200c\u200c,,,,,,\n", 2, "invisible", "one line"),
        (HEAD + 'ada,"Ada\nB",,,,,,\n', 2, "invisible", "one line"),
        (HEAD + "ada,,a\u200cb@example.org,,,,,\n", 2, "invisible", "one line"),
    ],
)
def test_a_problem_is_told_with_its_line_and_repair(
    tmp_path: Path, data: str | bytes, line: int, message: str, mend: str
) -> None:
    """The message has the line number that a text editor shows, states the problem, and tells how to fix it."""
    found = check_roster(write_roster_file(tmp_path, data)).problems
    assert [p for p in found if p.line == line and message in p.message and mend in p.repair], found
    assert "secret" not in " ".join(map(str, found))
    with pytest.raises(UsageError, match=r"roster\.csv:"):
        read_roster(tmp_path / "roster.csv")


@pytest.mark.parametrize("name", ["علی\u200cرضا", "ශ\u0dca\u200dරී", "രാജന\u0d4d\u200d", "র\u200d্যাচেল", "Ngô Thị Ái"])
def test_names_are_taken_in_their_own_spelling(tmp_path: Path, name: str) -> None:
    """Persian, Sinhala, Malayalam and Bengali names contain joiners, which are invisible but necessary."""
    path = tmp_path / "roster.csv"
    path.write_text(f"{HEAD}ada,{name},,,,{name},,\n", "utf-8")
    (row,) = read_roster(path).rows
    assert (row.name, row.section) == (name, name)


def test_user_names_are_github_s(tmp_path: Path) -> None:
    """Managed users' names contain an underscore; old names may end in a hyphen or have two in a row."""
    names = ["dana_uni", "a--b", "ada-", "-ada-"]
    rows = read_roster(
        write_roster_file(tmp_path, "id,github,repository\n" + "".join(f"{n},{n},{n}/work\n" for n in names))
    ).rows
    assert [(row.id, row.github, row.repository) for row in rows] == [(n, n, f"{n}/work") for n in names]


def test_a_login_of_canvas_is_one_student_s(tmp_path: Path) -> None:
    """Two students with the same login would get each other's grades."""
    found = check_roster(write_roster_file(tmp_path, "id,sis_login\nada,s1\nbob,S1\ncyd,s3\n"))
    assert [row.sis_login for row in found.rows] == ["s1", "s3"]
    assert "the sis_login S1 is already on line 2" in found.problems[0].message


def test_days_may_be_one_milestone_s(tmp_path: Path) -> None:
    """Such days are in the same cell as the days for all milestones."""
    rows = read_roster(write_roster_file(tmp_path, f"{HEAD}ada,,,,,,,3 2:5 1:0\nbob,,,,,,,2:14\ncyd,,,,,,,\n")).rows
    assert [(row.extension_days, row.milestone_days) for row in rows] == [
        (3, ((1, 0), (2, 5))),
        (0, ((2, 14),)),
        (0, ()),
    ]


def test_every_problem_is_told_at_once_and_the_good_rows_are_read(tmp_path: Path) -> None:
    """Nobody has to fix a roster one error at a time."""
    found = check_roster(write_roster_file(tmp_path, "id,public\nada,x\nbob,yes\nb.b,no\nbob,no\n"))
    assert [p.line for p in found.problems] == [2, 4, 5]
    assert [row.id for row in found.rows] == ["bob"]


def test_a_missing_roster_is_said(tmp_path: Path) -> None:
    """The message lists the columns that the roster should have."""
    with pytest.raises(UsageError, match=r"cannot be read: No such file.* id, name, email"):
        check_roster(tmp_path / "none.csv")


def test_repositories_may_be_named_in_the_usual_ways() -> None:
    """owner/name means a repository on GitHub; addresses and paths are unchanged."""
    for text in ("octo/hello", "https://github.com/octo/hello", "git@github.com:octo/hello.git", "./a b", "/srv/x.git"):
        assert find_repository_problem(text) is None
    assert build_git_address("octo/hello") == "https://github.com/octo/hello.git"
    assert build_git_address("ssh://git@host/x.git") == "ssh://git@host/x.git"
    assert parse_github_name("https://github.com/octo/hello.git") == parse_github_name("octo/hello") == "octo/hello"
    assert parse_github_name("https://example.org/octo/hello") is None
