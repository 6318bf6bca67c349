"""Reading what a class has handed in, without running any of it."""

import json
import os

import pytest

from headwise.errors import DataError
from headwise.grading.submissions import (
    describe_definitions,
    find_function,
    other_files,
    read_class,
    read_submission,
)

F = "def self_attention(X, Wq, Wk, Wv): pass\n"


def notebook(*cells):
    made = [{"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in cells]
    return json.dumps({"cells": [{"cell_type": "markdown", "source": ["# mine"]}, *made], "nbformat": 4})


def test_files_and_folders_are_submissions(tmp_path):
    (tmp_path / "bo.py").write_text(F)
    (tmp_path / "ada" / "part" / "__pycache__").mkdir(parents=True)
    (tmp_path / "ada" / "part" / "main.py").write_text(F)
    (tmp_path / "ada" / "part" / "__pycache__" / "junk.py").write_text(F)
    (tmp_path / "ada" / ".ipynb_checkpoints").mkdir()
    (tmp_path / "ada" / ".ipynb_checkpoints" / "old.ipynb").write_text(notebook(F))
    (tmp_path / "grades.csv").write_text("")
    (tmp_path / "empty").mkdir()
    found = read_class(tmp_path)
    assert [(each.student, list(each.files)) for each in found] == [
        ("ada", ["part/main.py"]),
        ("bo", ["bo.py"]),
        ("empty", []),
    ]
    assert found[2].notes == ["no Python file or notebook was handed in"]


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "ada.py").write_text(F)
    (tmp_path / "cheat.py").symlink_to(tmp_path / "ada.py")
    (tmp_path / "eve").mkdir()
    (tmp_path / "eve" / "mine.py").symlink_to(tmp_path / "ada.py")
    assert [(each.student, list(each.files)) for each in read_class(tmp_path)] == [("ada", ["ada.py"]), ("eve", [])]


def test_notebooks(tmp_path):
    cells = (
        "%matplotlib inline\nimport numpy as np",
        "%%time\nx = 1",
        "%%bash\nrm -rf /",
        "for i in range(2):\n    !ls\nhelp?",
        "for i in",
        's = """\n% not magic\n"""',
        F,
    )
    (tmp_path / "ada.ipynb").write_text(notebook(*cells))
    (ada,) = read_class(tmp_path)
    text = ada.files["ada.ipynb"]
    expected = "# %% cell 2|pass|import numpy as np|# %% cell 3|# %%time|x = 1|# %% cell 4||# %% cell 5|"
    assert text.startswith((expected + "for i in range(2):|    pass|pass|# %% cell 7").replace("|", "\n"))
    assert "% not magic" in text
    [note] = ada.notes
    assert note.startswith("ada.ipynb: cell 6")
    assert find_function(ada, ("attention", "self_attention")) == ("ada.ipynb", "self_attention")


def test_what_notebooks_understand_and_python_does_not(tmp_path):
    cells = (
        "%%writefile lib.py\ndef softmax(x): ...",
        "%%memit -r 1\n%%time\n!pip install a \\\n    b\nfrom lib import softmax",
        "pip install einops\nls = 3\nls = [\n   2]\n%time y = sum([1, \\\n   2])",
        "%%writefile data.txt\nx",
        "%%latex\nx",
    )
    (tmp_path / "ada.ipynb").write_text(notebook(*cells))
    (ada,) = read_class(tmp_path)
    assert not ada.notes
    assert [line for line in ada.files["ada.ipynb"].split("\n") if line and not line.startswith("#")] == [
        "def softmax(x): ...",
        "pass",
        "from lib import softmax",
        "pass",
        "ls = 3",
        "ls = [",
        "   2]",
        "y = sum([1, \\",
        "   2])",
    ]
    assert "# %%memit -r 1\n# %%time\npass\n\nfrom lib" in ada.files["ada.ipynb"]  # with as many lines


def test_a_notebook_of_format_3(tmp_path):
    cells = [{"cell_type": "markdown", "source": "x"}, {"cell_type": "code", "input": [F], "prompt_number": 1}]
    (tmp_path / "ada.ipynb").write_text(json.dumps({"nbformat": 3, "worksheets": [{"cells": cells}]}))
    (ada,) = read_class(tmp_path)
    assert (ada.files, ada.notes) == ({"ada.ipynb": f"# %% cell 2\n{F}\n"}, [])


def test_an_object_stands_for_its_class(tmp_path):
    (tmp_path / "a.py").write_text("class MHA:\n    pass\nmha = MHA(12, 3)\natt = other(MHA)\n")
    submission = read_submission(tmp_path)
    assert find_function(submission, ("mha", "MHA")) == ("a.py", "MHA")
    assert find_function(submission, ("att",)) == ("a.py", "att")


def test_where_a_function_is_defined(tmp_path):
    (tmp_path / "a.py").write_text("from b import sa\ndef other(): pass")
    (tmp_path / "b.py").write_text("class K:\n    def mha(self): pass\nsa = lambda x: x")
    with pytest.raises(DataError, match="nowhere: expected a folder with a submission"):
        read_submission(tmp_path / "nowhere")
    submission = read_submission(tmp_path)
    assert find_function(submission, ("self_attention", "sa")) == ("b.py", "sa")
    assert find_function(submission, ("mha",)) is None


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.py", b"def f(:", "x.py: not Python, line 1"),
        ("x.py", b"\xff\xfe\0", "x.py: no text in an encoding that is known"),
        ("x.py", b"#\x81", "x.py: no text in an encoding that is known"),
        ("x.py", b"a\0b", "x.py: cannot be read|x.py: not Python"),
        ("x.py", b"-" * 200_000 + b"1", "MemoryError"),
        ("x.py", b"#" * (2 << 20), "larger than 1 MB"),
        ("x.ipynb", b"{", "x.ipynb: not a notebook, as it is not JSON"),
        ("x.ipynb", b"[" * 100_000, "nested too deeply"),
        ("x.ipynb", b"[]", "it has no cells"),
        ("x.ipynb", b'{"worksheets": 3}', "TypeError"),
        ("x.ipynb", b'{"cells": [{"cell_type": "code", "source": 3}]}', "TypeError"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_read_is_noted(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    (only,) = read_class(tmp_path)
    assert not only.files
    assert any(part in only.notes[0] for part in says.split("|"))


def test_names_that_cannot_be_printed_or_are_too_long(tmp_path):
    for name in ("a\nb.py", "a\tb.py", os.fsdecode(b"\xff.py"), "l" * 250 + ".py"):
        (tmp_path / name).write_text(F)
    names = [each.student for each in read_class(tmp_path)]
    assert len(set(names)) == 4
    assert all(name.isprintable() and name.encode() and len(name) < 80 for name in names)


def test_a_heap_of_files_is_cut(tmp_path):
    folder = tmp_path / "heap"
    for level in range(12):
        (folder / ("a/" * level)).mkdir(parents=True, exist_ok=True)
        (folder / ("a/" * level) / "f.py").write_text(f"x = '{600_000 * 'a'}'\n")
    (heap,) = read_class(tmp_path)
    assert len(heap.files) == 6
    assert "more than 4 million characters" in heap.notes[0]
    assert len(heap.notes) == 9 - 6


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.py")
    assert "not a regular file" in read_class(tmp_path)[0].notes[0]


def test_no_class(tmp_path):
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(DataError, match="expected"):
            read_class(folder)


def test_python_in_the_encoding_that_it_declares_is_read(tmp_path):
    code = "# -*- coding: latin-1 -*-\nname = 'Straße'\ndef self_attention(X): ...\n"
    (tmp_path / "ada.py").write_bytes(code.encode("latin-1"))
    (tmp_path / "bo.py").write_bytes(code.replace("# -*- coding: latin-1 -*-", "# none").encode("latin-1"))
    ada, bo = read_class(tmp_path)
    assert ada.files == {"ada.py": code}
    assert bo.files["bo.py"].startswith("# none\nname = 'Straße'")
    assert bo.notes == ["bo.py: read as Windows-1252, but Python expects UTF-8"]


def test_text_as_editors_on_windows_write_it(tmp_path):
    code = "# Größe\r\ndef self_attention(X): ...\r\n"
    for name, encoding in (("bom", "utf-8-sig"), ("le", "utf-16"), ("cp", "cp1252"), ("crlf", "utf-8")):
        (tmp_path / f"{name}.PY").write_bytes(code.encode(encoding))
    submissions = read_class(tmp_path)
    assert [list(submission.files.items()) for submission in submissions] == [
        [(f"{submission.student}.py", code)] for submission in submissions
    ]
    assert [len(submission.notes) for submission in submissions] == [0, 1, 0, 1]


def test_files_without_code_and_folders_without_files_are_noted(tmp_path):
    (tmp_path / "ada.py").write_text("# later\n")
    (tmp_path / "bo.ipynb").write_bytes(b"")
    (tmp_path / "chen").mkdir()
    (tmp_path / "chen" / "sheet.rar").write_bytes(b"Rar!")
    (tmp_path / "dora").mkdir()
    (tmp_path / "emil.7z").write_bytes(b"7z")
    assert [submission.notes for submission in read_class(tmp_path)] == [
        ["ada.py: there is no code in it"],
        ["bo.ipynb: there is no code in it"],
        ["no Python file or notebook was handed in, but sheet.rar"],
        ["no Python file or notebook was handed in"],
    ]
    assert other_files(tmp_path) == ["emil.7z"]


def test_a_python_file_with_commands_of_a_notebook_is_read_without_them(tmp_path):
    (tmp_path / "ada.py").write_text("!pip install numpy\n%matplotlib inline\n" + F)
    (tmp_path / "bo.py").write_text("x = (\n")
    ada, bo = read_class(tmp_path)
    assert ada.files == {"ada.py": "pass\npass\n" + F}
    assert ada.notes == ["ada.py: read without its notebook commands, which are not Python"]
    assert bo.notes == ["bo.py: not Python, line 1: '(' was never closed"]


def test_functions_in_branches_are_found_and_others_are_listed(tmp_path):
    (tmp_path / "a.py").write_text(
        "try:\n    import cupy\nexcept ImportError:\n    def first(x): pass\n"
        "for _ in range(2):\n    if True:\n        def second(x, y=1): pass\n"
        "class K:\n    def third(self): pass\ndef outer():\n    def fourth(): pass\n"
    )
    submission = read_submission(tmp_path)
    assert find_function(submission, ("first",)) == find_function(submission, ("third", "first")) == ("a.py", "first")
    assert find_function(submission, ("second",)) == ("a.py", "second")
    assert find_function(submission, ("third", "fourth")) is None
    assert describe_definitions(submission) == "first, second, class K (third), outer"
