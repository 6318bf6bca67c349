"""Labelled folders and CSV files."""

import numpy as np
import pytest
from PIL import Image

from headwise.data.labelled_files import load_labelled
from headwise.errors import DataError


def test_a_folder_has_a_class_for_each_subfolder(tmp_path):
    for name, count in (("birds", 2), ("ants", 3)):
        (tmp_path / name).mkdir()
        for i in range(count):
            Image.fromarray(np.full((3, 5), i, np.uint8)).save(tmp_path / name / f"{i}.PNG", format="png")
        (tmp_path / name / "notes.txt").write_text("")
    labelled = load_labelled(tmp_path)
    assert (labelled.kind, labelled.classes) == ("image", ("ants", "birds"))
    assert labelled.labels.tolist() == [0, 0, 0, 1, 1]
    assert [path.parent.name for path in labelled.inputs] == ["ants"] * 3 + ["birds"] * 2


def test_a_csv_file_has_texts_and_labels(tmp_path):
    path = tmp_path / "reviews.csv"
    path.write_text('id,label,text\n7,good,"Yes, it is."\n8,bad,no\n', encoding="utf-8")
    labelled = load_labelled(path)
    assert (labelled.kind, labelled.inputs, labelled.classes) == ("text", ("Yes, it is.", "no"), ("bad", "good"))
    assert labelled.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffText;Label\nYes, it is.;good\nno;bad\n;\n",
        "text\tlabel\nYes, it is.\tgood\nno\tbad\n",
        'label, text\ngood,"Yes, it is."\nbad,no\n\n',
    ],
)
def test_csv_files_as_spreadsheets_write_them(content, tmp_path):
    path = tmp_path / "reviews.csv"
    path.write_text(content, encoding="utf-8")
    labelled = load_labelled(path)
    assert (labelled.inputs, labelled.classes) == (("Yes, it is.", "no"), ("bad", "good"))
    assert labelled.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("words,label\na,b\n", "columns text and label"),
        ("", "none"),
        ("text,label\n", "no rows"),
        ("text,label\na,b\nc,\n", "row 2 lacks one"),
        ("text,label\na,b\nc\n", "row 2 lacks one"),
        ("text,label\na,b\nc,b\n", "two labels"),
        ("text,label\né,b\n", "expected a CSV file with the columns text and label, in UTF-8"),
    ],
)
def test_other_files_are_errors(content, message, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(DataError, match=message):
        load_labelled(path)


def test_missing_and_empty_folders_are_errors(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        load_labelled(tmp_path / "nowhere")
    with pytest.raises(DataError, match="a subfolder of images for each class"):
        load_labelled(tmp_path)
