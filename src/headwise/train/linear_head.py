"""A linear classifier on a pretrained model: logistic regression on what its tokens become, pooled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from headwise.errors import DataError
from headwise.models.encoder import Head, ImageEmbedding
from headwise.models.loaded_model import LoadedModel
from headwise.models.single_input import arrays_of
from headwise.shapes import Array, IntArray

_PENALTY = 0.1  # C of the logistic regression, on standardized features


def fit_linear_head(model: LoadedModel, inputs: Sequence[Any], labels: IntArray) -> dict[str, Array]:
    """Weight (C, F) and bias (C,) of a classifier of pooled hidden states for labels (B,); the model is unchanged.

    Features are standardized, the regression has an L2 penalty, and the standardization is folded into the weight.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    if len(inputs) != len(labels):
        raise DataError(f"labels: expected one for each of {len(inputs)} inputs; got {len(labels)}.")
    features = np.stack([_pooled(model, input) for input in inputs])
    scaler = StandardScaler().fit(features)
    regression = LogisticRegression(C=_PENALTY, max_iter=2000).fit(scaler.transform(features), labels)
    weight, bias = regression.coef_, regression.intercept_
    if len(weight) == 1:  # of two classes, scikit-learn keeps the second's
        weight, bias = np.concatenate([-weight / 2, weight / 2]), np.concatenate([-bias / 2, bias / 2])
    weight = weight / scaler.scale_
    return {"weight": weight.astype(model.dtype), "bias": (bias - weight @ scaler.mean_).astype(model.dtype)}


def with_linear_head(model: LoadedModel, weight: Array, bias: Array) -> LoadedModel:
    """The model with class scores from `fit_linear_head`."""
    network = model.architecture.network
    heads = {name: head for name, head in network.heads.items() if name != "logits"} | {"logits": _head(model)}
    architecture = replace(model.architecture, network=replace(network, heads=heads))
    params = model.params | {"heads.logits.output.weight": weight, "heads.logits.output.bias": bias}
    return replace(model, architecture=architecture, params=params)


def _head(model: LoadedModel) -> Head:
    """Class token and mean of the patches, as DINOv2's own classifiers; or the mean of the words."""
    embedding = model.architecture.network.embedding
    if not isinstance(embedding, ImageEmbedding):
        return Head(pool="mean_patches")
    prefix = sum(len(np.atleast_2d(model.params[f"embedding.{name}"])) for name in embedding.prefix)
    return Head(pool="first_and_mean" if prefix else "mean_patches", prefix=prefix)


def _pooled(model: LoadedModel, input: Any) -> Array:
    """Features (F,): the hidden states as the head pools them."""
    head = _head(model)
    states = model(**arrays_of(model, input)).last_hidden_state[0]
    mean = states[head.prefix :].mean(axis=0)
    return np.concatenate([states[0], mean]) if head.pool == "first_and_mean" else mean
