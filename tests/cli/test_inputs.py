"""What ``headwise explain`` and others take as an input: files, texts, and what is neither."""

from pathlib import Path

import numpy as np
import pytest

from headwise.cli.inputs import read_input
from headwise.errors import DataError


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("-", "standard input is not read"),
        ("https://example.com/cat.jpg", "the address https://example.com/cat.jpg"),
        ("file:///tmp/cat", "the address file:///tmp/cat"),
        ("folder", "is a folder; expected a file"),
        ("cat.jpg", "cat.jpg: no such file"),
        (" ", "expected an image"),
    ],
)
def test_what_is_no_file_is_not_taken_for_a_text(argument, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    with pytest.raises(DataError, match=message):
        read_input(argument, None)
    if argument.strip():
        assert read_input(None, [argument])[0] == argument


@pytest.mark.parametrize("name", ["a.txt", "a.TXT", "a.md", "a.rst", "notes", "a.html"])
def test_a_text_may_be_in_a_file_of_any_name(name, tmp_path):
    (tmp_path / name).write_text("\ufeffA cat’s mat.\n", encoding="utf-8")
    assert read_input(str(tmp_path / name), None) == ("A cat’s mat.", tmp_path / name)


def test_other_files_are_left_to_the_model(tmp_path):
    for name, content in (("photo.jpg", b"text"), ("photo", b"\xff\xd8\xff"), ("a.docx", b"PK\3\4\0\0")):
        (tmp_path / name).write_bytes(content)
        assert read_input(str(tmp_path / name), None) == (tmp_path / name, tmp_path / name)
    (tmp_path / "a.txt").write_text("Größe", encoding="latin-1")
    with pytest.raises(DataError, match="expected text in UTF-8"):
        read_input(str(tmp_path / "a.txt"), None)


def test_arrays_of_any_case(tmp_path):
    with (tmp_path / "A.NPY").open("wb") as file:
        np.save(file, np.eye(2))
    np.testing.assert_array_equal(read_input(str(tmp_path / "A.NPY"), None)[0], np.eye(2))
