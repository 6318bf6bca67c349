"""The selection of figures, and the files that they write."""

import numpy as np
import pytest

from headwise.errors import DataError
from headwise.figures import CaptionedFigure, figure_names, select_figures
from helpers.factories import SCORE, make_dependence, make_record

WITHOUT_TEST = ["maps", "matrices", "roles", "rollout", "depth", "positions"]


def kinds(*args, **kwargs):
    return [figure.kind for figure in select_figures(*args, **kwargs)]


def test_selection_by_name_and_token(rng):
    record = make_record(rng)
    assert kinds(record) == kinds(record, token=0) == ["maps"]
    assert kinds(record, "all") == kinds(record, "all", 0) == WITHOUT_TEST
    assert kinds(record, "all", 4) == ["token", *WITHOUT_TEST]
    assert kinds(record, "depth", 4) == ["token", "depth"]
    assert kinds(record, ("rollout", "maps"), 4) == ["token", "rollout", "maps"]
    assert kinds(record, ("rollout", "maps"), 0) == ["maps", "rollout"]
    assert [figure.stem for figure in select_figures(record, "maps", 4)] == ["attention-token-4"]
    assert [figure.stem for figure in select_figures(record, "all")][:2] == ["attention", "attention-matrices"]


def test_all_selects_the_figures_that_the_arrays_allow(rng):
    record = make_record(rng)
    assert kinds(make_record(rng, positions=np.zeros((0, 0))), "all") == WITHOUT_TEST[:-1]
    tested = [name for name in figure_names() if name not in ("lines", "dependence")]  # which need words, and maps
    assert kinds(record, "all", testable=True) == kinds(make_record(rng, score=SCORE), "all") == tested
    record = make_record(rng, dependence=make_dependence(rng, range(16)))
    assert kinds(record) == ["maps", "dependence"]
    assert kinds(record, "all") == ["maps", "dependence", *WITHOUT_TEST[1:]]


@pytest.mark.parametrize("name", ["map", "token"])
def test_an_unknown_figure_is_an_error_that_lists_the_names(rng, name):
    with pytest.raises(DataError, match=r"figure: .*maps, dependence, .*, or all; got"):
        select_figures(make_record(rng), name)


@pytest.mark.parametrize("figures", ["rollout", pytest.param("all", marks=pytest.mark.exhaustive)])
def test_every_file_has_the_same_bytes_in_every_run(figures, rng, tmp_path):
    for figure in select_figures(make_record(rng, "14x14", shape=(1, 2), score=SCORE), figures, 2):
        first = figure.save(tmp_path / "first" / figure.stem)
        second = CaptionedFigure(figure.record, figure.kind, figure.token).save(tmp_path / "second" / figure.stem)
        endings = ["png", "svg", "pdf", "npz", "md", "tex", "txt", "alt.txt", "json"]
        assert [path.name for path in first] == [f"{figure.stem}.{ending}" for ending in endings]
        for a, b in zip(first, second, strict=True):
            assert a.read_bytes() == b.read_bytes(), a.name
