"""Does a map depend on what the model has learnt? Its layers are made anew, from the top, and the maps compared.

Source: Adebayo et al., "Sanity Checks for Saliency Maps", arXiv 1810.03292 (2018), section 3: cascading randomisation.
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
    """What is made anew at each stage, besides all that was before: the beginnings of the weights' names.

    Examples
    --------
    >>> randomization_stages(ViTConfig(n_layers=2))
    {'head': ('head.', 'norm.'), 'layer 1': ('blocks.1.',), 'layer 0': ('blocks.0.',), 'embedding': ('embedding.',)}
    """
    layers = {f"layer {i}": (f"blocks.{i}.",) for i in reversed(range(model.n_layers))}
    return {"head": ("head.", "norm."), **layers, "embedding": ("embedding.",)}


def randomize(params: Params, fresh: Params, model: ViTConfig) -> list[Params]:
    """The weights after each stage: those from the top down to it are `fresh`, the others as they were learnt."""
    found = []
    anew: Params = {}
    for starts in randomization_stages(model).values():
        anew |= {name: array for name, array in fresh.items() if name.startswith(starts)}
        found.append(params | anew)
    return found


def randomization_test(
    images: Array, params: Params, model: ViTConfig, head: tuple[int, int], rng: np.random.Generator
) -> Array:
    """Rank correlation of every kind of map with that of the same model, its weights made anew from the top.

    Parameters
    ----------
    images : ndarray of shape (B, Y, X)
    params, model : dict, ViT
        As trained.
    head : (int, int)
        Layer and head that matter most in it.
    rng : numpy.random.Generator
        For the new weights, which are drawn as before any training.

    Returns
    -------
    ndarray of shape (stages, kinds, B)
        All maps are of the class that the trained model reads.
    """
    whole = attention_and_gradients(images, params, model)
    own = [maps(weights, gradients, head) for weights, gradients in zip(whole.weights, whole.gradients, strict=True)]
    fresh = {name: array.astype(params[name].dtype) for name, array in vit_params(model, rng).items()}
    found = []
    for changed in randomize(params, fresh, model):
        closer = attention_and_gradients(images, changed, model, whole.target)
        pairs = zip(own, closer.weights, closer.gradients, strict=True)
        found.append([list(map(spearman, before, maps(w, g, head))) for before, w, g in pairs])
    return np.array(found).swapaxes(1, 2)
