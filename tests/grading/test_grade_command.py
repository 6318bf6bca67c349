"""``headwise grade`` as a teacher runs it."""

import csv
import doctest
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import headwise
from headwise.cli.grade import grade
from headwise.errors import DataError
from helpers.processes import PATIENCE, restore_sigint

EXAMPLE = Path(__file__).parents[2] / "examples" / "class"
FOUND = {  # each student's mistakes, task by task
    "ada": ("right", "right", "right"),
    "bo": ("scale-missing", "scale-missing", "there is no function attention"),
    "chen": ("right", "heads-interleaved", "mask-after-softmax"),
    "dora": ("softmax-axis", "softmax-axis", "mask-inverted"),
    "emil": (
        "it did not come to an end within 3 s in a call of self_attention",
        "heads-split-unmoved",
        "there is no function attention",
    ),
    "finn": ("unknown", None, "it ended its own process (exit status 0) in a call of attention"),
    "gus": (
        "weights-transposed softmax-overflow",
        "there is no function multi_head_attention or mha",
        "there is no function attention",
    ),
    "hana": ("scale-missing", "scale-missing", "there is no function attention"),
}
SCRIPT = "import typer; from headwise.cli.grade import grade\nif __name__ == '__main__': typer.run(grade)"

app = typer.Typer()
app.command()(grade)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.mark.exhaustive  # test_grade_class.py grades smaller classes
def test_the_example_class(tmp_path):
    out, feedback = tmp_path / "grades.csv", tmp_path / "feedback"
    rubric = EXAMPLE / "rubric.yaml"
    done = run(EXAMPLE, "--rubric", rubric, "--out", out, "--feedback", feedback, "--processes", 2)
    assert done.exit_code == 0
    with out.open(encoding="utf-8") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    tasks = ("One head", "Several heads", "With a mask")
    for student, found in FOUND.items():
        for task, mistake in zip(tasks, found, strict=True):
            assert mistake is None or rows[student][f"{task}: found"] == mistake
    assert "headwise cannot be imported" in rows["finn"]["Several heads: found"]
    assert (rows["ada"]["points"], rows["ada"]["out_of"]) == ("20", "20")
    assert "line 25, did not run: FileNotFoundError" in rows["bo"]["notes"]
    assert "scale-missing" in done.stdout
    pages = {path.relative_to(feedback).as_posix() for path in feedback.rglob("*.*")}
    assert pages == {"index.html", *(f"students/{name}.{kind}" for name in FOUND for kind in ("html", "md"))}


@pytest.fixture
def small(tmp_path):
    folder = tmp_path / "class"
    folder.mkdir()
    (folder / "ada.py").write_text((EXAMPLE / "bo.py").read_text())
    return folder


def test_json(small):
    found = json.loads(run(small, "--json").stdout)
    assert found["unconfined"] == [] or not sys.platform.startswith("linux")
    assert found["grades"][0]["tasks"][0]["mistakes"] == ["scale-missing"]
    assert found["groups"][0]["students"] == ["ada"]


@pytest.mark.exhaustive
def test_forms(small, tmp_path):
    for form in ("otter", "nbgrader"):
        assert run(small, "--format", form, "--out", tmp_path / f"{form}.csv").exit_code == 0
        assert "ada" in (tmp_path / f"{form}.csv").read_text()
    run(small, "--format", "gradescope", "--out", tmp_path / "all")
    run(small, "--format", "gradescope", "--out", tmp_path / "results.json")
    one, all_of_one = (json.loads(p.read_text()) for p in (tmp_path / "results.json", tmp_path / "all" / "ada.json"))
    assert one["score"] == all_of_one["score"] == 16


def blocks(language):
    page = (EXAMPLE.parents[1] / "docs" / "how-to" / "autograders.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


@pytest.mark.exhaustive
def test_the_script_for_gradescope(small, tmp_path):
    for name in ("results", "source"):
        (tmp_path / name).mkdir()
    small.rename(tmp_path / "submission")
    (tmp_path / "source" / "rubric.yaml").write_text((EXAMPLE / "rubric.yaml").read_text())
    script = blocks("bash")[1].replace("/opt/headwise/bin/headwise", f"'{sys.executable}' -m headwise")
    subprocess.run(["bash", "-ec", script.replace("/autograder", str(tmp_path))], check=True, capture_output=True)
    results = json.loads((tmp_path / "results" / "results.json").read_text(encoding="utf-8"))
    assert results["score"] == sum(test["score"] for test in results["tests"]) == 10
    assert sum(test["max_score"] for test in results["tests"]) == 20


def test_the_test_for_otter():
    names = {"self_attention": headwise.self_attention}
    (block,) = blocks("py")
    exec(block, names)
    test = doctest.DocTestParser().get_doctest(names["test"]["suites"][0]["cases"][0]["code"], names, "q1", None, 0)
    assert doctest.DocTestRunner().run(test) == (0, 2)


def test_what_is_refused(small, tmp_path):
    for arguments in (
        (tmp_path / "none",),
        (small, "--rubric", tmp_path / "none.yaml"),
        (small, "--format", "gradescope"),
        (small, "--out", tmp_path),
        (small, "--feedback", small),
    ):
        with pytest.raises(DataError):
            run(*arguments)
    assert run(small, "--format", "xml").exit_code == 2


def test_ctrl_c_leaves_the_file_of_before(small, tmp_path):
    (small / "slow.py").write_text("while True: pass\ndef self_attention(X, Wq, Wk, Wv): pass\n")
    out = tmp_path / "grades.csv"
    out.write_text("of before")
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, small, "--out", out],
        preexec_fn=restore_sigint,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr.readline().startswith("Grading 2")
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode
    assert out.read_text() == "of before"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["grades.csv"]
