"""Whether a map depends on what the model has learned: compare maps as its layers are randomized from the top down.

Source: Adebayo et al., "Sanity Checks for Saliency Maps", arXiv 1810.03292 (2018), section 3: cascading randomization.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from headwise.attribution import ModelRun, compute_map
from headwise.experiments.faithfulness.heads import with_params
from headwise.metrics.faithfulness import spearman
from headwise.nn.params import Params
from headwise.shapes import Array

_LAYER = re.compile(r"(?:blocks|layers)\.(\d+)\.")


def randomization_stages(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The parameters that each stage randomizes, in addition to those of the stages before: from the head down.

    Layers that share parameters are one stage.

    Examples
    --------
    >>> randomization_stages(["embedding.word", "blocks.0.norm_1.gain", "blocks.1.norm_1.gain", "norm.gain"])
    {'head': ('norm.gain',), 'layer 1': ('blocks.1.norm_1.gain',), 'layer 0': ('blocks.0.norm_1.gain',), \
'embedding': ('embedding.word',)}
    """
    names = list(names)
    layers = {name: int(match[1]) for name in names if (match := _LAYER.match(name))}
    stages = {"head": tuple(name for name in names if name.startswith(("head", "norm")))}
    for i in sorted(set(layers.values()), reverse=True):
        stages[f"layer {i}"] = tuple(name for name, layer in layers.items() if layer == i)
    known = {name for stage in stages.values() for name in stage}
    return {**stages, "embedding": tuple(name for name in names if name not in known)}


def shuffle_parameters(params: Params, rng: np.random.Generator) -> Params:
    """Every array with its entries in random order, which leaves their distribution as it is."""
    return {name: rng.permutation(array.ravel()).reshape(array.shape) for name, array in params.items()}


def randomization_test(
    model: Any, inputs: Sequence[Any], maps: Sequence[str], limit: int, rng: np.random.Generator
) -> Array:
    """Spearman's correlation (stages, maps, inputs) of every map with that of the partly randomized model.

    All maps are of the class that the trained model predicts, of at most `limit` players.
    """
    trained = [ModelRun(model, input, limit=limit) for input in inputs]
    expected = [[compute_map(run, name) for name in maps] for run in trained]
    fresh = shuffle_parameters(model.params, rng)
    correlations, replaced = [], Params()
    for names in randomization_stages(model.params).values():
        replaced |= {name: fresh[name] for name in names}
        randomized = with_params(model, replaced)
        runs = [ModelRun(randomized, run.input, run.explained, limit) for run in trained]
        correlations.append(
            [
                [_correlation(before, compute_map(run, name)) for before, name in zip(row, maps, strict=True)]
                for row, run in zip(expected, runs, strict=True)
            ]
        )
    return np.array(correlations).swapaxes(1, 2)


def _correlation(before: Array, after: Array) -> float:
    """Spearman's correlation; zero for a map that overflowed with random weights, which has no order."""
    return spearman(before, after) if np.isfinite(after).all() else 0.0
