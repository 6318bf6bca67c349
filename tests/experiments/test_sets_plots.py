import numpy as np

from headwise.experiments.sets.plots import draw_errors


def test_every_run_is_a_dot_and_every_mean_a_bar():
    errors = {"rFF + mean": [2.0, 3.0, 7.0], "rFF + max": [0.1, 0.2, 0.3], "rFF + PMA": [1.0, 2.0, 3.0]}
    axes = draw_errors(errors, {"rFF + max": 0.13, "SAB + PMA": 0.2}).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(errors)
    lines = axes.get_lines()
    for row, own in enumerate(errors.values()):
        assert lines[2 * row].get_xdata().tolist() == own
        assert set(lines[2 * row].get_ydata()) == {row}
        np.testing.assert_allclose(lines[2 * row + 1].get_xdata(), np.mean(own))
    assert (lines[-1].get_xdata().tolist(), lines[-1].get_ydata().tolist()) == ([0.13], [1])
    bottom, top = axes.get_ylim()
    assert bottom > top  # the first model is above
