"""The recorded study of rows and patches: equal tokens, parameters and compute, and differences from its rows."""

import numpy as np
import pytest

from headwise.coursework.report.vision.long_study import COMPARISONS, load_record
from headwise.experiments.tokenizers.costs import multiply_adds
from rows_or_patches import cells, count_parameters

CELLS = {cell.name: cell for cell in cells()}


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_what_a_comparison_calls_equal_is_equal(comparison):
    base, *others = (CELLS[name] for name in COMPARISONS[comparison])
    for other in others:
        if "tokens" in comparison:
            assert other.model.image_tokenizer.num_tokens == base.model.image_tokenizer.num_tokens
        if "parameters" in comparison:
            mine, theirs = (count_parameters(cell.model, cell.positions) for cell in (base, other))
            assert abs(theirs - mine) < 0.003 * mine
        if "compute" in comparison:
            assert abs(multiply_adds(other.model) - multiply_adds(base.model)) < 0.003 * multiply_adds(base.model)
        assert other.positions == base.positions == ("no positions" not in comparison)


def test_the_record_is_complete_and_its_differences_are_those_of_the_runs():
    record = load_record()
    assert len(record.rows) == len(record.data) * record.seeds * len(record.models)
    assert record.data == ("MNIST", "Fashion-MNIST")
    assert set(record.models) == set(CELLS)
    item = next(item for item in record.differences() if (item.comparison, item.model) == ("equal parameters", "4x4"))
    runs = {
        name: [row.n_correct for row in record.rows if (row.data, row.model) == (item.data, name)]
        for name in ("rows", "4x4")
    }
    assert item.points.mean == pytest.approx(np.mean(np.subtract(runs["4x4"], runs["rows"])) / 100)
    assert all(row.best_epoch <= row.epochs <= record.plan["recipe"]["epochs"] for row in record.rows)
