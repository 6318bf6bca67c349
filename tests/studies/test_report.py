"""The report: its text and numbers follow the arrays and the model that it is given."""

import re

import numpy as np
import pytest

from headwise.data.arrays import coursework_arrays
from headwise.data.digits import Digits, Labelled, bundled_digits
from headwise.studies.report import build
from headwise.train.recipe import Recipe

# on one worker, so that the report is built once
pytestmark = pytest.mark.xdist_group("report")


@pytest.fixture(scope="module")
def few():
    digits = bundled_digits()
    return Digits("some digits", *(Labelled(p.images[:n], p.labels[:n]) for p, n in (
        (digits.train, 300), (digits.validation, 50), (digits.test, 40)
    )))  # fmt: skip


@pytest.fixture(scope="module")
def made(few, tmp_path_factory):
    return build(tmp_path_factory.mktemp("report"), digits=few, recipe=Recipe(epochs=2, batch=50))


def test_the_page_needs_nothing_beside_it(made):
    page = made.page.read_text()
    assert not re.search(r'(src|href)="(https?:|//)', page)
    assert "<script" not in page
    for source in re.findall(r'<img src="([^"]*)"', page):
        assert source.startswith("data:image/svg+xml;base64,")
    for link in re.findall(r'href="([^"#]+)"', page):
        assert (made.page.parent / link).is_file(), link


def test_every_figure_is_there_in_three_formats(made):
    folder = made.page.parent / "figures"
    stems = {path.name.split(".")[0] for path in folder.iterdir()}
    assert {"training", "attention-1-head", "attention-3-heads", "attention-surest"} <= stems
    for stem in stems:
        for kind in ("png", "svg", "pdf"):
            assert (folder / f"{stem}.{kind}").stat().st_size > 1000


def test_tables_state_what_was_computed(made):
    from headwise import multi_head_attention

    output = multi_head_attention(**coursework_arrays(), heads=3).output
    table = np.loadtxt(made.page.parent / "tables" / "output-3.csv", delimiter=",", skiprows=1, usecols=range(1, 7))
    np.testing.assert_allclose(table, output, atol=5e-5)


def test_text_follows_arrays_and_model(made, few, rng, tmp_path):
    arrays = {"X": rng.normal(size=(4, 9)), **{n: rng.normal(size=(9, 9)) for n in ("Wq", "Wk", "Wv")}}
    other = build(
        tmp_path, digits=few, arrays=arrays, arrays_name="other arrays", recipe=Recipe(epochs=1, batch=50, seed=3)
    )
    pages = [made.page.read_text(), other.page.read_text()]
    assert "N = 5 tokens" in pages[0]
    assert "N = 4 tokens" in pages[1]
    assert "120 permutations" in pages[0]
    assert "24 permutations" in pages[1]
    assert "in 2 epochs" in pages[0]
    assert "in 1 epochs" in pages[1]
    assert f"{arrays['X'][0, 0]:g}" in pages[1]


def test_the_second_time_the_model_is_kept_and_the_page_is_the_same(made, few):
    before = made.page.read_text()
    weights = made.page.parent / "model" / "model.safetensors"
    written = weights.stat().st_mtime_ns
    again = build(made.page.parent, digits=few, recipe=Recipe(epochs=2, batch=50))

    def timeless(text):
        return re.sub(r"\d+ s<", "", text)

    assert weights.stat().st_mtime_ns == written
    assert timeless(again.page.read_text()) == timeless(before)
