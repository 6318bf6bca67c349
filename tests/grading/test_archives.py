"""Archives of classes and submissions, and the names that learning platforms give them."""

import shutil
import zipfile

import pytest

from headwise.errors import DataError
from headwise.grading import archives
from headwise.grading.submissions import read_class

F = "def self_attention(X, Wq, Wk, Wv): pass\n"


def write(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(F if path.suffix == ".py" else "")


def write_zip(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def read(folder):
    """Students with their files, the same from a folder and from an archive of it."""
    students = {each.student: [*each.files] for each in read_class(folder)}
    archive = shutil.make_archive(folder.parent / f"{folder.name}-export", "zip", folder)
    assert {each.student: [*each.files] for each in read_class(folder.parent / archive)} == students
    return students


def test_archives_are_read_like_folders(tmp_path):
    folder = tmp_path / "class"
    write_zip(folder / "Zoë.zip", {"lösung.py": F, "__MACOSX/._lösung.py": "\0"})
    write_zip(folder / "ada" / "sheet 3.ZIP", {"a/main.py": F, "notes.pdf": "%PDF"})
    write_zip(folder / "bo.zip", {"notes.pdf": "%PDF"})
    assert read(folder) == {"Zoë": ["lösung.py"], "ada": ["sheet 3/a/main.py"], "bo": []}
    assert read_class(folder)[-1].notes == ["no Python file or notebook was handed in, but notes.pdf"]


def test_names_of_moodle(tmp_path):
    folder = tmp_path / "class"
    write(folder, "Anna Müller_17_assignsubmission_file_/main.py", "Bo Li_18_assignsubmission_file/main.py")
    write(folder, "Anna Müller_17_assignsubmission_onlinetext_/onlinetext.html")
    write(folder, "Chen_19_assignsubmission_file_a.py", "Chen_19_assignsubmission_file_b.py")
    write_zip(folder / "Dora_20_assignsubmission_file_x.zip", {"main.py": F})
    assert read(folder) == {
        "Anna Müller_17": ["main.py"],
        "Bo Li_18": ["main.py"],
        "Chen_19": ["a.py", "b.py"],
        "Dora_20": ["main.py"],
    }
    assert not any(each.notes for each in read_class(folder))


def test_names_of_canvas(tmp_path):
    folder = tmp_path / "class"
    write(folder, "lovelaceada_LATE_47_901_main.py", "lovelaceada_LATE_47_902_softmax.py", "libo_48_903_hw3-1.py")
    write(folder, "libo_48_904_hw3-1.py")
    assert read(folder) == {
        "lovelaceada_LATE_47": ["main.py", "softmax.py"],
        "libo_48": ["hw3-1.py", "libo_48_904_hw3-1.py"],
    }
    write(folder, "own.py")  # so the names are not those of Canvas
    assert len(read(folder)) == 5
    (other := tmp_path / "other").mkdir()
    write(other, "sheet_3_1234_ada.py", "sheet_3_1235_bo.py")
    assert len(read(other)) == 2


def test_names_of_gradescope(tmp_path):
    folder = tmp_path / "class"
    inner = folder / "assignment_5_export"
    write(inner, "submission_11/main.py", "submission_12/main.py", "submission_13/main.py")
    metadata = inner / "submission_metadata.yml"
    metadata.write_text(
        "---\nsubmission_11:\n  :submitters:\n  - :name: Anna Müller\n    :sid: '7'\n  :score: 0.0\n"
        "submission_12:\n  :submitters:\n  - :name: A/B\n    :sid:\n  - :name: Bo\n    :sid: '8'\n",
        encoding="utf-8",
    )
    assert (
        read(folder)
        == read(inner)
        == {student: ["main.py"] for student in ("A-B+Bo_8", "Anna Müller_7", "submission_13")}
    )
    for damaged in ("[", "3", "submission_11: 3"):
        metadata.write_text(damaged)
        assert list(read(folder)) == ["submission_11", "submission_12", "submission_13"]


def test_members_stay_in_the_folder(tmp_path):
    write_zip(tmp_path / "class" / "eve.zip", {"../../out.py": F, "/tmp/headwise-out.py": F, "..": "", "a/../b.py": F})
    (eve,) = read_class(tmp_path / "class")
    assert sorted(eve.files) == ["a/b.py", "out.py", "tmp/headwise-out.py"]
    assert [path.name for path in tmp_path.iterdir()] == ["class"]


def test_archives_that_cannot_be_read_are_noted(tmp_path, monkeypatch):
    folder = tmp_path / "class"
    write(folder, "ada/main.py", "ada/sheet.zip")
    write_zip(folder / "bomb.zip", {"a.py": " " * 5000})
    write_zip(folder / "cut.zip", {"a.py": F})
    (folder / "cut.zip").write_bytes((folder / "cut.zip").read_bytes().replace(b"a.py", b"b.py", 1))
    write_zip(folder / "dirs.zip", {"a": "", "a/b.py": F})
    monkeypatch.setattr(archives, "_UNPACKED", 4000)
    ada, bomb, cut, dirs = read_class(folder)
    assert list(ada.files) == ["main.py"]
    assert "cannot be unpacked (File is not a zip file)" in ada.notes[0]
    assert "when unpacked" in bomb.notes[0]
    assert all("cannot be unpacked" in each.notes[0] for each in (cut, dirs))
    with pytest.raises(DataError, match="cannot be unpacked"):
        read_class(folder / "ada" / "sheet.zip")
    monkeypatch.setattr(archives, "_ARCHIVE", 10)
    assert "larger than" in read_class(folder)[1].notes[0]
