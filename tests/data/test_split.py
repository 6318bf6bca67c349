import numpy as np

from headwise.data.split import stratified_holdout


def test_every_class_has_its_fraction_but_never_all_items():
    labels = np.repeat([0, 1, 2, 3], [50, 10, 2, 3])
    held_out = stratified_holdout(labels, 0.2, np.random.default_rng(0))
    assert np.bincount(labels[held_out]).tolist() == [10, 2, 1, 1]
    assert len(set(held_out.tolist())) == 14
    assert np.bincount(labels[stratified_holdout(labels, 0.99, np.random.default_rng(0))]).tolist() == [49, 9, 1, 2]
    assert stratified_holdout(labels, 0.2, np.random.default_rng(1)).tolist() != held_out.tolist()
