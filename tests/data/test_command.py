"""`tito data` lists, fetches and tells where, in sentences and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from grading.data.files import VARIABLE
from grading.data.sources import SOURCES
from tests.data.conftest import read_folder
from tests.data.samples import make_mnist_files, make_mnist_source
from tests.data.server import Mirror, find_closed_port
from tito.app import run_command_line

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tito(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Return `tito("list")`, which runs `tito data list` and returns exit code, output and errors."""
    monkeypatch.setenv("COLUMNS", "100")

    def type_(*arguments: str) -> tuple[int, str, str]:
        """Run `tito data` with these arguments."""
        code = run_command_line(("data", *arguments))
        return code, *capsys.readouterr()

    return type_


def test_the_list_says_what_is_not_here_and_how_to_get_it(tito: Typed, cache: Path) -> None:
    """Each data set with its size and command; nothing is made on the disk."""
    code, out, _ = tito("list")
    assert code == 0
    assert "mnist: MNIST" in out
    assert "not downloaded (12 MB). To get it: tito data fetch mnist" in out
    assert "not downloaded (170 MB). To get it: tito data fetch cifar10" in out
    assert not cache.exists()


def test_a_fetched_data_set_is_listed_as_here(
    tito: Typed, cache: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fetch says how many images there are and where; fetching again asks the network nothing."""
    monkeypatch.setitem(SOURCES, "mnist", make_mnist_source(mirror.url))
    code, out, _ = tito("fetch", "mnist")
    assert code == 0
    assert "mnist is available: 6 training and 4 test images, in\n" in out
    assert str(cache / "mnist") in out
    assert read_folder(cache / "mnist") == make_mnist_files()
    mirror.asked.clear()
    assert tito("fetch", "mnist")[0] == 0
    assert mirror.asked == []
    (mnist, *_) = json.loads(tito("list", "--json")[1])
    assert mnist == {
        "name": "mnist",
        "title": "a tiny MNIST",
        "here": True,
        "from": "cache",
        "folder": (cache / "mnist").as_posix(),
        "missing": [],
        "download_bytes": 9000,
        "stand_in": "digits",
    }


def test_what_the_named_folder_has_is_not_downloaded(
    tito: Typed, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is verified where it is; half a data set is listed as such."""
    monkeypatch.setitem(SOURCES, "mnist", make_mnist_source(find_closed_port()))
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    for name, data in make_mnist_files().items():
        (tmp_path / name).write_bytes(data)
    code, out, _ = tito("fetch", "mnist")
    assert code == 0
    assert str(tmp_path) in out
    assert not cache.exists()
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    assert "train-labels-idx1-ubyte missing from" in " ".join(tito("list")[1].split())
    assert tito("fetch", "mnist")[0] == 3


def test_without_a_network_fetch_is_an_error_of_the_machine(tito: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 3, each mirror with its reason, and what to do."""
    monkeypatch.setitem(SOURCES, "mnist", make_mnist_source(find_closed_port()))
    code, _, err = tito("fetch", "mnist")
    assert code == 3
    assert "it cannot be reached" in err
    assert "export TINYTORCH_DATA=FOLDER" in err


def test_an_unknown_name_is_wrong_usage(tito: Typed) -> None:
    """Exit code 2, and the names there are."""
    code, _, err = tito("fetch", "imagenet")
    assert code == 2
    assert "mnist, cifar10" in err


def test_where_tells_both_folders_in_order(
    tito: Typed, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The named folder, or that there is none, and then the cache."""
    assert f"1. {VARIABLE}: not set\n2. downloads: {cache}\n" == tito("where")[1]
    assert json.loads(tito("where", "--json")[1]) == {VARIABLE: None, "cache": cache.as_posix()}
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert f"1. {VARIABLE}: {tmp_path}\n" in tito("where")[1]
