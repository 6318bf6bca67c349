"""The report: its text and numbers follow the arrays and the models that it is given."""

import re
import string
import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from headwise import multi_head_attention
from headwise.coursework.expressiveness.fitting import Fit
from headwise.coursework.report import BUDGETS, PARTS, build
from headwise.coursework.report.attention.equivariance import equivariance_section
from headwise.coursework.report.attention.expressive_power import describe_fit
from headwise.coursework.report.attention.head_count import head_count_section
from headwise.coursework.report.attention.outputs import describe_largest_weight
from headwise.coursework.results import coursework
from headwise.data import Digits, LabelledImages, coursework_arrays, load_bundled_mnist
from headwise.document import pdf as printing
from headwise.errors import DataError, MissingExtraError, ShapeError
from headwise.experiments.tokenizers import TokenizersPlan
from headwise.progress import NoProgress
from headwise.text import as_text
from headwise.train.config import TrainingConfig
from helpers.budgets import TINY

# on one worker, so that the report is built once
pytestmark = [pytest.mark.xdist_group("report"), pytest.mark.exhaustive]


def few():
    digits = load_bundled_mnist()
    sizes = ((digits.train, 300), (digits.validation, 50), (digits.test, 40))
    return Digits("some digits", *(LabelledImages(part.images[:n], part.labels[:n]) for part, n in sizes))


@pytest.fixture(scope="module")
def made(tmp_path_factory, little_work):
    with little_work():
        return build(tmp_path_factory.mktemp("report"), budget=TINY, load=few, threads=1)


@pytest.fixture(scope="module")
def other(tmp_path_factory, little_work):
    """Other arrays, and a model that learned otherwise."""
    rng = np.random.default_rng(3)
    arrays = {"X": rng.normal(size=(4, 9)), **{n: rng.normal(size=(9, 9)) for n in ("Wq", "Wk", "Wv")}}
    tokenizers = TokenizersPlan(("7x7", "rows"), 1, recipe=TINY.tokenizers.recipe)
    budget = replace(TINY, vision=TrainingConfig(epochs=1, batch_size=50, seed=3), tokenizers=tokenizers, steps=10)
    folder = tmp_path_factory.mktemp("other")
    parts = ("vision", "attention")
    with little_work():
        return build(folder, parts=parts, budget=budget, load=few, arrays=arrays, arrays_name="other arrays", threads=1)


def timeless(page):
    return re.sub(r"\d+ s<", "<", page)


def test_the_page_needs_no_other_file(made):
    page = made.page.read_text()
    assert not re.search(r'(src|href)="(https?:|//)', page)
    assert "<script src" not in page
    for source in re.findall(r'<img src="([^"]*)"', page):
        assert source.startswith("data:image/svg+xml;base64,")
    for link in re.findall(r'href="(?!data:)([^"#]+)"', page):
        assert (made.page.parent / link).is_file(), link
    for link in re.findall(r'href="#([^"]+)"', page):
        assert page.count(f'id="{link}"') == 1


def test_the_contents_follow_the_sheet(made):
    page = made.page.read_text()
    listed = re.findall(r'<a href="#[^"]*"><span class="number">([^<]*)</span>', page)
    assert [number for number in listed if re.fullmatch(r"\d", number)] == ["1", "2", "3", "4", "5"]
    assert listed[listed.index("2") :][:4] == ["2", "2.1", "(a)", "(b)"]


def test_every_figure_is_there_in_three_formats_and_says_what_stands_behind_it(made):
    folder = made.page.parent / "figures"
    stems = {path.name.split(".")[0] for path in folder.iterdir()}
    assert {
        "training",
        "attention-1-head",
        "attention-3-heads",
        "attention-surest",
        "cuts-accuracy",
        "cuts-sizes",
        "gaussian",
    } < stems
    for stem in stems:
        for kind in ("png", "svg", "pdf"):
            assert (folder / f"{stem}.{kind}").stat().st_size > 1000
    page = made.page.read_text()
    captions = re.findall(r"<figcaption>\n(.*?)</figcaption>", page, flags=re.DOTALL)
    assert len(captions) == page.count("<img ")
    assert all("Data and seeds" in caption for caption in captions)


def test_tables_have_names_of_their_own_and_state_what_was_computed(made):
    links = Counter(re.findall(r'href="tables/([^"]+)"', made.page.read_text()))
    assert set(links.values()) == {1}
    assert set(links) == {path.name for path in (made.page.parent / "tables").iterdir()}
    output = multi_head_attention(**coursework_arrays(), heads=3).output
    table = np.loadtxt(made.page.parent / "tables" / "output-3.csv", delimiter=",", skiprows=1, usecols=range(1, 7))
    np.testing.assert_allclose(table, output, atol=5e-5)


@pytest.mark.exhaustive  # test_sentences_are_true_of_the_arrays builds less
def test_text_follows_arrays_and_model(made, other):
    pages = [report.page.read_text() for report in (made, other)]
    for this, that in (
        ("N = 5 tokens", "N = 4 tokens"),
        ("120 permutations", "24 permutations"),
        ("3 heads of 3 rows are 9 rows, and there are 6", "The multi-head version"),
        ("for 2 epochs", "for 1 epoch with"),
    ):
        assert this in pages[0]
        assert this not in pages[1]
        assert that in pages[1]
    assert "which cannot be meant" not in pages[1]  # nine rows, three heads: there the first H rows are D/H rows
    figures = [report.page.parent / "figures" / "attention-surest.json" for report in (made, other)]
    assert figures[0].read_text() != figures[1].read_text()
    assert made.headlines[:2] != other.headlines[:2]


@pytest.mark.parametrize(
    ("changed", "said", "unsaid"),
    [
        ({}, ["differ by up to", "Inputs 0 and 1 change places.", "differ most"], ["agree", "on these arrays"]),
        (
            {"X": np.ones((5, 6))},
            ["outputs for H = 1 and H = 3 agree, since all heads have the same weights", "All weights are 0.200"],
            ["what differs is the weights", "differ most", "differ by up to"],
        ),
        (
            {"Wq": np.zeros((6, 6)), "Wk": np.zeros((6, 6))},
            ["place, but on these arrays", "up to n only: "],
            ["up to n only, but", "differ most"],
        ),
        ({"Wv": np.zeros((6, 6))}, ["agree, though the weights do not"], ["what differs is the weights"]),
        ({"Wv": 1e8 * np.eye(6)}, ["change places, unaltered"], ["do more than follow"]),
        ({"bq": np.ones(6)}, ["a bias is added to every row alike"], []),
        (
            {"Wo": np.eye(6)[::-1]},
            ["what comes after them acts on each row alike", "leave out what follows the heads"],
            [],
        ),
        ({"X": np.eye(2, 6)}, ["all 2 permutations"], ["The other outputs stay"]),
        ({"X": np.eye(7, 6) + 0.1}, ["720 of the 5,040 permutations, drawn at random"], []),
    ],
)
def test_sentences_are_true_of_the_arrays(changed, said, unsaid):
    study = coursework(coursework_arrays() | changed)
    runs = [describe_largest_weight(run, study.rounding) for run in study.runs]
    text = " ".join(
        [*map(as_text, runs), *sentences(equivariance_section(study)), *sentences(head_count_section(study))]
    )
    for sentence in said:
        assert sentence in text
    for sentence in unsaid:
        assert sentence not in text


def sentences(section):
    for block in section.blocks:
        for each in getattr(block, "statements", ()) or [step.words for step in getattr(block, "steps", ())]:
            yield each if isinstance(each, str) else as_text(each)
        if title := getattr(block, "title", None):
            yield as_text(title)


@pytest.mark.exhaustive
def test_only_the_parts_that_were_asked_for_in_their_order(other):
    page = other.page.read_text()
    assert page.index('<section id="attention">') < page.index('<section id="vision">')
    assert '<section id="gaussian">' not in page
    assert not list((other.page.parent / "studies").glob("gaussian-pretraining-*"))


@pytest.mark.exhaustive
def test_the_second_time_results_are_reused_and_the_page_is_the_same(made, little_work):
    before = made.page.read_text()
    weights = made.page.parent / "model" / "model.safetensors"
    written = weights.stat().st_mtime_ns
    with little_work():
        again = build(made.page.parent, budget=TINY, load=few, threads=1)
    assert weights.stat().st_mtime_ns == written
    assert timeless(again.page.read_text()) == timeless(before)


def test_a_finished_report_is_built_again_after_a_change_of_the_code_or_the_data(tmp_path, monkeypatch):
    def load(path):
        return path.read_text()

    def is_built_again():
        page.write_text("as it was")
        build(tmp_path / "report", parts=("gaussian",), budget=TINY, load=partial(load, data))
        return page.read_text() != "as it was"

    page, data, code = tmp_path / "report" / "index.html", tmp_path / "digits", tmp_path / "package" / "code.py"
    page.parent.mkdir()
    code.parent.mkdir()
    data.write_text("some digits")
    code.write_text("x = 1")
    monkeypatch.setattr("headwise.__file__", str(code))
    assert is_built_again()
    assert not is_built_again()
    code.write_text("x = 2")
    assert is_built_again()
    data.write_text("other digits")
    assert is_built_again()
    assert not is_built_again()


@pytest.mark.exhaustive
def test_with_parts_side_by_side_it_is_the_same_report(made, tmp_path, little_work):
    class Messages(NoProgress):
        def __init__(self):
            self.messages = []

        def message(self, text):
            self.messages.append(text)
            self.page = (tmp_path / "index.html").read_text()

    shown = Messages()
    with little_work():
        build(tmp_path, budget=replace(TINY, parallel=True), load=few, threads=1, processes=2, progress=shown)
    [message] = shown.messages
    assert re.fullmatch(r"The first page is written, after \d+ s: .*index.html", message)
    for anchor in ("expressiveness", "likelihood", "pictures"):
        assert f'<section id="{anchor}">' in shown.page
    assert '<section id="cuts">' not in shown.page
    alone = made.page.parent
    files = [sorted(path.relative_to(folder) for path in folder.rglob("*.*")) for folder in (alone, tmp_path)]
    assert files[0] == files[1]
    for path in files[0]:
        measured = path.name in ("cuts-costs.csv", "runs.csv", "times.csv")  # these have times
        if path.suffix in (".csv", ".npz", ".safetensors", ".svg") and not measured:
            assert (alone / path).read_bytes() == (tmp_path / path).read_bytes(), path


def test_a_report_has_no_number_but_those_it_measured():
    """Over the templates of every module of the report."""
    import ast
    from pathlib import Path

    import headwise.coursework.report

    for path in Path(headwise.coursework.report.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Statement" and node.args:
                for part in ast.walk(node.args[0]):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        literal = "".join(text for text, *_ in string.Formatter().parse(part.value))
                        assert not re.search(r"\d", re.sub("<[^<>]+>", "", literal)), (path.name, literal)


def test_a_fit_is_judged_by_what_it_reached():
    def template(*losses):
        return describe_fit(Fit(1, 3, np.array(losses)[:, None])).template

    assert "reproduced all" in template(1e-6, 1e-5)
    assert "reproduced none" in template(0.2, 0.5)
    assert "inconclusive" in template(1e-6, 0.5)


def test_refusals_come_before_anything_is_written(tmp_path, monkeypatch, rng):
    folder = tmp_path / "report"
    with pytest.raises(DataError, match="part: expected attention, vision, series, gaussian; got vison"):
        build(folder, parts=("vison",))
    arrays = {"X": rng.normal(size=(5, 4)), **{n: rng.normal(size=(4, 4)) for n in ("Wq", "Wk", "Wv")}}
    with pytest.raises(ShapeError, match="heads: expected a divisor of the 4 rows of Wq"):
        build(folder, arrays=arrays, load=few)
    monkeypatch.setattr(sys.modules["headwise.coursework.report.build"], "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="aeon"):
        build(folder)
    assert not folder.exists()


@pytest.mark.skipif(printing.browser() is None, reason="no browser")
def test_it_is_printed_where_there_is_a_browser(made):
    assert made.pdf.read_bytes().startswith(b"%PDF")
    assert 'href="report.pdf"' in made.page.read_text()


def test_without_a_browser_there_is_a_page_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(printing, "browser", lambda: None)
    (tmp_path / "report.pdf").write_text("of another page")
    made = build(tmp_path, parts=("gaussian",), budget=TINY)
    assert made.pdf is None
    assert "report.pdf" not in made.page.read_text()
    assert not (tmp_path / "report.pdf").exists()


def test_every_budget_spends_more_than_the_one_before():
    budgets = [BUDGETS[name] for name in ("quick", "default", "full")]
    for less, more in pairwise(budgets):
        assert less.tokenizers.seeds < more.tokenizers.seeds
        assert less.series["seeds"] < more.series["seeds"]
        assert less.vision.epochs < more.vision.epochs
        assert less.starts < more.starts
    assert list(PARTS) == ["attention", "vision", "series", "gaussian"]
    assert budgets[0].with_seed(7).tokenizers.recipe.seed == 7
