"""A rubric is checked before anything is graded, and what is wrong in it is said where it stands."""

import pytest

from headwise.checker.catalogue import CATALOGUE
from headwise.errors import DataError
from headwise.grading.rubric import default_rubric, read_rubric

GOOD = """
title: Sheet 3
tasks:
  - function: [self_attention, sa]
    kind: self_attention
    points: {runs: 1, plain: 2.5, right: 4}
    mistakes: {scale-missing: 1}
  - {name: Masked, function: attention, points: {mask: 3}}
limits: {seconds_per_call: 2, memory_mb: 512}
"""


def read(tmp_path, text):
    path = tmp_path / "rubric.yaml"
    path.write_text(text)
    return read_rubric(path)


def test_a_rubric(tmp_path):
    rubric = read(tmp_path, GOOD)
    first, second = rubric.tasks
    assert (rubric.title, rubric.out_of, rubric.limits.seconds_per_call, rubric.limits.memory_mb) == (
        "Sheet 3",
        10.5,
        2.0,
        512,
    )
    assert (first.name, first.function, first.points["plain"]) == ("self_attention", ("self_attention", "sa"), 2.5)
    assert (second.name, second.kind, second.mistakes) == ("Masked", "auto", {})


def test_the_rubric_that_ships():
    rubric = default_rubric()
    assert [task.out_of for task in rubric.tasks] == [10, 10]
    assert set(rubric.tasks[0].mistakes) <= set(CATALOGUE)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tasks:", "task:", "the rubric: 'task' is unknown; expected one of title, tasks, limits"),
        ("runs: 1", "run: 1", "task 1, points: 'run' is unknown"),
        ("runs: 1", "runs: yes", "task 1, points, runs: expected a number of points, 0 or more; got True"),
        ("runs: 1", "runs: -1", "got -1"),
        ("runs: 1", "runs: .nan", "got nan"),
        ("{mask: 3}", "{mask: 0}", "task 2, points: expected a property with points"),
        ("scale-missing: 1", "scale-mising: 1", "task 1, mistakes: 'scale-mising' is unknown"),
        (", right: 4", "", "task 1, mistakes: they are deducted from the points of `right`"),
        ("function: attention", "conventions: odd, function: attention", "task 2, conventions: convention"),
        ("kind: self_attention", "kind: self", 'task 1, kind: expected "auto", "self_attention"'),
        ("[self_attention, sa]", "[self attention]", "task 1, function: expected the name of a function"),
        ("name: Masked", "name: self_attention", "tasks: 'self_attention' occurs twice"),
        ("function: attention, ", "", "task 2: function is missing"),
        ("memory_mb: 512", "memory: 512", "limits: 'memory' is unknown"),
        ("memory_mb: 512", "memory_mb: 0", "limits, memory_mb: expected a number above 0"),
        ("title: Sheet 3", "title: [", "not YAML"),
        ("title: Sheet 3", "!!python/object/apply:os.system ['true']", "not YAML"),
    ],
)
def test_an_error_names_its_place(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(DataError) as error:
        read(tmp_path, GOOD.replace(old, new))
    assert message in str(error.value)
    assert "rubric.yaml: " in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "tasks: []", "tasks: 3", "tasks: [3]", "3"])
def test_what_is_no_rubric(tmp_path, text):
    with pytest.raises(DataError):
        read(tmp_path, text)


def test_a_rubric_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="there is no such rubric"):
        read_rubric(tmp_path / "none.yaml")


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.sampled
@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        "tasks: " + "[" * 5000 + "]" * 5000,
        GOOD.replace("runs: 1", f"runs: 1{'0' * 5000}"),
        GOOD.replace("runs: 1", f"runs: 0x1{'0' * 5000}"),
        GOOD.replace("seconds_per_call: 2", f"seconds_per_call: 0x1{'0' * 5000}"),
        GOOD.replace("Sheet 3", "2024-13-45"),
        GOOD.replace("Sheet 3", "[Sheet, 3]"),
        GOOD.replace("name: Masked", "name: {a: b}"),
        f"{BOMB}\ntasks: *j",
        GOOD.replace("title: Sheet 3", f"{BOMB}\ntitle: *j"),
        "!!python/object/apply:os.system [ls]",
        "tasks: \0",
    ],
    ids=lambda text: text[:25],
)
def test_no_rubric_is_too_strange_for_a_message(text, tmp_path):
    with pytest.raises(DataError, match=r"rubric\.yaml") as error:
        read(tmp_path, text)
    assert len(str(error.value)) < 2000
