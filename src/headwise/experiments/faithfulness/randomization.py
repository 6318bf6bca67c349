"""Whether a map depends on what the model has learned: compare maps as its layers are randomized from the top down.

Source: Adebayo et al., "Sanity Checks for Saliency Maps", arXiv 1810.03292 (2018), section 3: cascading randomization.
"""

from __future__ import annotations

import numpy as np

from headwise.experiments.faithfulness.maps import maps
from headwise.metrics.faithfulness import spearman
from headwise.models.attention_gradients import attention_and_gradients
from headwise.models.vit import ViTConfig, vit_params
from headwise.nn.params import Params
from headwise.shapes import Array

__all__ = ["randomization_stages", "randomization_test", "randomize"]


def randomization_stages(model: ViTConfig) -> dict[str, tuple[str, ...]]:
    """The prefixes of the parameters that each stage randomizes, in addition to those of the stages before.

    Examples
    --------
    >>> randomization_stages(ViTConfig(n_layers=2))
    {'head': ('head.', 'norm.'), 'layer 1': ('blocks.1.',), 'layer 0': ('blocks.0.',), 'embedding': ('embedding.',)}
    """
    layers = {f"layer {i}": (f"blocks.{i}.",) for i in reversed(range(model.n_layers))}
    return {"head": ("head.", "norm."), **layers, "embedding": ("embedding.",)}


def randomize(params: Params, fresh: Params, model: ViTConfig) -> list[Params]:
    """The parameters after each stage: those from the top down to it are `fresh`, the others as trained."""
    stages = []
    replaced: Params = {}
    for prefixes in randomization_stages(model).values():
        replaced |= {name: array for name, array in fresh.items() if name.startswith(prefixes)}
        stages.append(params | replaced)
    return stages


def randomization_test(
    images: Array, params: Params, model: ViTConfig, head: tuple[int, int], rng: np.random.Generator
) -> Array:
    """Spearman's correlation of every map with that of the partly randomized model.

    Parameters
    ----------
    images : ndarray of shape (B, Y, X)
    params, model : dict, ViTConfig
        As trained.
    head : (int, int)
        Layer and index of its most important head.
    rng : numpy.random.Generator
        For the random parameters, drawn as before any training.

    Returns
    -------
    ndarray of shape (stages, maps, B)
        All maps are of the class that the trained model predicts.
    """
    trained = attention_and_gradients(images, params, model)
    expected = [maps(p, dp, head) for p, dp in zip(trained.weights, trained.gradients, strict=True)]
    fresh = {name: array.astype(params[name].dtype) for name, array in vit_params(model, rng).items()}
    correlations = []
    for randomized in randomize(params, fresh, model):
        record = attention_and_gradients(images, randomized, model, trained.target)
        pairs = zip(expected, record.weights, record.gradients, strict=True)
        correlations.append([list(map(spearman, before, maps(p, dp, head))) for before, p, dp in pairs])
    return np.array(correlations).swapaxes(1, 2)
