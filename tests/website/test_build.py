"""Builds write the same bytes for the same records, only what has changed, and nothing in other people's files."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from desk.gradebook import PublishedRecord, open_gradebook
from desk.roster import RosterRow
from grading import progress
from grading.errors import UsageError
from tests.desk.books import fill_gradebook, make_graded_result
from tests.desk.school import TERM
from tests.render.results import build_not_yet
from tests.website.conftest import ClassOnDisk, make_attempt, read_files
from website import build as building
from website.build import build_site
from website.build_state import get_state_file_path
from website.class_sources import GradebookSource


def test_the_same_records_give_the_same_bytes(built_class: ClassOnDisk, own_class: ClassOnDisk) -> None:
    """Neither folder, time, file dates nor the number of processes makes a difference."""
    for path in own_class.records.rglob("*.json"):
        os.utime(path, (1, 1))
    shutil.copy(built_class.records / "pseudonyms.key", own_class.records / "pseudonyms.key")
    build_site(own_class.source, own_class.site, base_url="https://class.example/course/")
    assert read_files(own_class.site) == read_files(built_class.site)


def test_several_processes_write_what_one_does(
    built_class: ClassOnDisk, own_class: ClassOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processes share nothing except the folder."""
    monkeypatch.setattr(building, "ALONE", 0)
    monkeypatch.setattr(building, "CHUNK", 1)
    done = build_site(own_class.source, own_class.site, base_url="https://class.example/course", processes=2)
    assert done.rendered == 4
    assert read_files(own_class.site) == read_files(built_class.site)


def test_nothing_is_made_again_without_a_change(own_class: ClassOnDisk) -> None:
    """Pages are neither rendered nor written."""
    first = build_site(own_class.source, own_class.site)
    before = {path: path.stat().st_mtime_ns for path in own_class.site.rglob("*")}
    again = build_site(own_class.source, own_class.site)
    assert (first.rendered, first.written) == (4, first.files)
    assert (again.rendered, again.written, again.removed) == (0, 0, 0)
    assert {path: path.stat().st_mtime_ns for path in own_class.site.rglob("*")} == before


def test_one_new_record_touches_its_student_and_the_class(own_class: ClassOnDisk) -> None:
    """The result is the same site as a build from scratch."""
    build_site(own_class.source, own_class.site)
    before = read_files(own_class.site)
    progress.save_event(own_class.records / "zz-grace-canary", make_attempt(build_not_yet(), 60))
    done = build_site(own_class.source, own_class.site)
    after = read_files(own_class.site)
    changed = {path for path in after if before.get(path) != after[path]}
    assert done.rendered == 1
    folder = f"student/{own_class.pseudonym('zz-grace-canary')}/"
    assert changed
    assert all(path.startswith((folder, "class/", "index.html")) for path in changed)
    fresh = own_class.site.with_name("fresh")
    build_site(own_class.source, fresh)
    assert read_files(fresh) == after


def test_a_changed_template_renders_what_it_makes(
    own_class: ClassOnDisk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The portfolio's template affects students, but not lessons."""
    build_site(own_class.source, own_class.site)
    seen: list[str] = []
    real = building._list_input_files

    def files(kind: str) -> list[Path]:
        """List a kind's input files, with an edited copy of the portfolio's template."""
        seen.append(kind)
        found = real(kind)
        assert any(path.name == "portfolio.html.jinja" for path in found) == (kind == "student")
        edited = tmp_path / "portfolio.html.jinja"
        edited.write_text("changed", "utf-8")
        return [edited if path.name == edited.name else path for path in found]

    monkeypatch.setattr(building, "_list_input_files", files)
    assert build_site(own_class.source, own_class.site).rendered == 4
    assert set(seen) == {"student", "class", "course"}


def test_a_page_that_was_deleted_or_cut_is_made_again(own_class: ClassOnDisk) -> None:
    """The saved state is compared with the files on disk."""
    build_site(own_class.source, own_class.site)
    before = read_files(own_class.site)
    folder = own_class.site / "student" / own_class.pseudonym("zz-ada-canary")
    (folder / "feed.xml").unlink()
    (own_class.site / "course" / "01_setup.html").write_text("", "utf-8")
    done = build_site(own_class.source, own_class.site)
    assert (done.rendered, done.written) == (1, 2)
    assert read_files(own_class.site) == before


def test_another_key_does_not_rename_the_class_unasked(own_class: ClassOnDisk) -> None:
    """Addresses that students have shared stay valid, unless the site is built into a different folder."""
    build_site(own_class.source, own_class.site)
    before = read_files(own_class.site)
    (own_class.records / "pseudonyms.key").unlink()
    with pytest.raises(UsageError, match=r"pseudonyms\.key"):
        build_site(own_class.source, own_class.site)
    assert read_files(own_class.site) == before


def test_a_site_of_an_earlier_version_is_made_again(own_class: ClassOnDisk) -> None:
    """The state from an earlier version cannot be read, but the folder still counts as a site."""
    build_site(own_class.source, own_class.site)
    before = read_files(own_class.site)
    get_state_file_path(own_class.site).write_text('{"version": 1, "parts": {"class": {"gone": true}}}', "utf-8")
    (own_class.site / "class" / "2.html").write_text("a page that is no more", "utf-8")
    done = build_site(own_class.source, own_class.site)
    assert (done.rendered, done.removed) == (4, 1)
    assert read_files(own_class.site) == before


def test_sections_are_told_only_when_asked(own_class: ClassOnDisk) -> None:
    """Each section has its own list; without the option no file states who is in which."""
    build_site(own_class.source, own_class.site)
    assert not (own_class.site / "class" / "section-1.html").exists()
    assert not any(b"Section-Canary" in data for data in read_files(own_class.site).values())
    build_site(own_class.source, own_class.site, sections=True)
    page = (own_class.site / "class" / "section-1.html").read_text("utf-8")
    assert "<h1>Section Section-Canary</h1>" in page
    assert page.count('<th scope="row">') == 4, "two students, in both tables"
    assert "No section" in (own_class.site / "class" / "index.html").read_text("utf-8")


def test_who_leaves_the_class_leaves_the_site(own_class: ClassOnDisk) -> None:
    """The student's pages are removed, with their folder."""
    build_site(own_class.source, own_class.site)
    gone = own_class.site / "student" / own_class.pseudonym("zz-grace-canary")
    assert gone.is_dir()
    lines = own_class.roster.read_text("utf-8").splitlines(keepends=True)
    own_class.roster.write_text("".join(line for line in lines if "grace" not in line), "utf-8")
    assert build_site(own_class.source, own_class.site).removed > 0
    assert not gone.exists()


def test_a_student_can_be_left_out(own_class: ClassOnDisk) -> None:
    """A left-out student has no page, row or file, and an unknown id gives an error."""
    hidden = own_class.pseudonym("zz-ada-canary")
    build_site(own_class.source, own_class.site, left_out=["zz-ada-canary"])
    for path, data in read_files(own_class.site).items():
        assert hidden not in path
        assert hidden.encode() not in data
        assert "Łubieńska".encode() not in data
    with pytest.raises(UsageError, match="there is no student zz-typo"):
        build_site(own_class.source, own_class.site, left_out=["zz-typo"])


def test_agreeing_to_be_named_renders_anew(own_class: ClassOnDisk) -> None:
    """The roster is one of the page's inputs."""
    build_site(own_class.source, own_class.site)
    text = own_class.roster.read_text("utf-8")
    own_class.roster.write_text(text.replace("Ada Łubieńska", "Ada Nowak"), "utf-8")
    assert build_site(own_class.source, own_class.site).rendered == 1
    portfolio = own_class.site / "student" / own_class.pseudonym("zz-ada-canary") / "portfolio.html"
    assert "<h1>Ada Nowak</h1>" in portfolio.read_text("utf-8")


def test_a_folder_with_anything_else_is_refused(own_class: ClassOnDisk) -> None:
    """Nothing in the folder is touched."""
    own_class.site.mkdir()
    (own_class.site / "thesis.txt").write_text("mine", "utf-8")
    with pytest.raises(UsageError, match="is not empty, and it does not contain a site"):
        build_site(own_class.source, own_class.site)
    assert read_files(own_class.site) == {"thesis.txt": b"mine"}


def test_files_of_others_beside_the_pages_stay(own_class: ClassOnDisk) -> None:
    """An example is a CNAME file for the host."""
    build_site(own_class.source, own_class.site)
    (own_class.site / "CNAME").write_text("class.example\n", "utf-8")
    build_site(own_class.source, own_class.site)
    assert (own_class.site / "CNAME").read_text("utf-8") == "class.example\n"


def test_an_interrupted_build_can_be_repeated(own_class: ClassOnDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next build completes it, and removes nothing that is needed."""
    with monkeypatch.context() as patch:
        patch.setattr(building, "render_course_pages", interrupt)
        with pytest.raises(KeyboardInterrupt):
            build_site(own_class.source, own_class.site)
    build_site(own_class.source, own_class.site)
    fresh = own_class.site.with_name("fresh")
    build_site(own_class.source, fresh)
    assert read_files(own_class.site) == read_files(fresh)


def interrupt(*_: object) -> None:
    """Raise KeyboardInterrupt, as Ctrl-C does."""
    raise KeyboardInterrupt


def test_a_damaged_state_is_told_as_a_folder_of_others(own_class: ClassOnDisk) -> None:
    """Nothing is guessed from a damaged state."""
    build_site(own_class.source, own_class.site)
    get_state_file_path(own_class.site).write_text('{"version": 2, "parts": 3}', "utf-8")
    with pytest.raises(UsageError, match="it does not contain a site"):
        build_site(own_class.source, own_class.site)


@pytest.mark.parametrize("address", ["class.example", "javascript:alert(1)", 'https://a.example/"><script>', "ftp://x"])
def test_a_wrong_address_is_refused(own_class: ClassOnDisk, address: str) -> None:
    """The build stops before anything is written."""
    with pytest.raises(UsageError, match="is not the address of a site"):
        build_site(own_class.source, own_class.site, base_url=address)
    assert not own_class.site.exists()


def test_a_gradebook_can_be_what_it_is_built_from(tmp_path: Path) -> None:
    """A new official result or published record rebuilds that student's pages, and nobody else's."""
    path = fill_gradebook(
        tmp_path / "gradebook.sqlite",
        [RosterRow("zz-ada", name="Ada Lovelace", public=True), RosterRow("zz-grace", name="Grace Hidden")],
        {"zz-ada": [(1, 2, TERM)], "zz-grace": [(2, 1, TERM)]},
    )
    with open_gradebook(path) as book:
        event = progress.encode_event_file(make_attempt(build_not_yet(), 1)).decode()
        edited = PublishedRecord("zz-grace", "progress/x.json", TERM, 7, event, "it was edited after it was published")
        book.save_records("zz-grace", [edited])
    source, site = GradebookSource(path), tmp_path / "site"
    assert build_site(source, site).rendered == 2
    told = {p: data.decode() for p, data in read_files(site).items() if p.endswith("index.html")}
    timelines = [page for page in told.values() if "Timeline" in page]
    assert any("Ada Lovelace" in page and "Unlocked" in page for page in timelines)
    assert any("It does not count: it was edited after it was published" in page for page in timelines)
    assert not any("Hidden" in page for page in told.values())
    assert build_site(source, site).written == 0
    with open_gradebook(path) as book:
        book.save_result("zz-grace", make_graded_result(3, at=TERM + timedelta(days=3)))
    assert build_site(source, site).rendered == 1
    with open_gradebook(path) as book:
        book.save_records("zz-grace", [replace(edited, reason=None)])
    assert build_site(source, site).rendered == 1, "what vouches for a record is on the page"
