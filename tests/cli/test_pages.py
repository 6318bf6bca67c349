"""Every command on the pages is one that exists; those of the how-to pages run."""

import re
from pathlib import Path

import pytest

from helpers.commands import parse

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
HOW_TO = sorted((ROOT / "docs" / "how-to").glob("*.md"))


def lines(program, pages=PAGES):
    """(page, arguments) of every command line of a program in a block of code."""
    for page in pages:
        for block in re.findall(r"```\w*\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            joined = block.replace("\\\n", " ")
            for line in re.findall(rf"^(?:\$ )?{program} (.*)$", joined, re.MULTILINE):
                marks = [pytest.mark.exhaustive] * (pages is HOW_TO and line.startswith(("study", "caption")))
                yield pytest.param(line, id=f"{page.stem}-{line}", marks=marks)


@pytest.mark.sampled
@pytest.mark.parametrize("line", [*lines("headwise")])
def test_a_command_on_a_page_has_these_options(line, tmp_path, monkeypatch):
    """It is parsed without being run."""
    monkeypatch.chdir(tmp_path)
    parse(line)


@pytest.mark.parametrize("line", [*lines("make")])
def test_a_target_on_a_page_is_in_the_makefile(line):
    assert re.search(rf"^{line.split()[0]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("line", [*lines("headwise", HOW_TO)])
def test_a_command_of_a_how_to_page_runs(line, run_small):
    if "--scheduler" not in line:
        run_small(line)
        return
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 1, "processes": False, "protocol": "tcp", "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(**options) as cluster:
        run_small(re.sub(r"tcp://\S+", cluster.scheduler_address, line))
