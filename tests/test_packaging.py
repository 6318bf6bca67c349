"""The project's metadata agree with each other."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import headwise

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # what the format requires
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == headwise.__version__
    assert citation["license"] == PROJECT["project"]["license"] == "MIT"


def test_the_changelog_has_this_version():
    assert f"## {headwise.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_core_needs_two_libraries():
    names = [re.match(r"[\w-]+", requirement)[0] for requirement in PROJECT["project"]["dependencies"]]
    assert names == ["numpy", "threadpoolctl"]


def test_all_is_every_extra_for_users():
    (requirement,) = EXTRAS["all"]
    assert set(re.findall(r"\w+", requirement)) - {"headwise"} == set(EXTRAS) - {"all", "docs", "dev", "parity"}


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda path: path.name)
def test_the_workflow_runs_targets_that_exist(path):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    made = {target for command in commands for target in re.findall(r"make ([a-z-]+)", command)}
    assert made
    assert made <= targets


def test_the_description_for_an_index_has_no_relative_links():
    hook = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for substitution in hook["substitutions"]:
        text = re.sub(substitution["pattern"], substitution["replacement"], text)
    targets = re.findall(r"\]\(([^)]*)\)", text)
    assert all(target.startswith("https://") for target in targets), targets
    assert "Heat maps, one for each layer and head" in text
