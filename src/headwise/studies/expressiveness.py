"""Is one head more expressive than three? As families of functions X ↦ SA(X), neither contains the other.

Both counterexamples are constructed and run, and each family is fitted to functions drawn from the other. The final
transformation is the identity throughout, D is the width and H divides it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from headwise.attention import attention_backward, attention_forward, multi_head_attention
from headwise.attention.operator import Cache
from headwise.nn.params import Params, pack, unpack
from headwise.shapes import Array
from headwise.train.adamw import AdamW, adamw_step

__all__ = ["Expressiveness", "Fit", "expressiveness", "fit", "forms_read_off", "off_the_segment"]

WIDTH, MANY, TOKENS = 6, 3, 5
_RANK = 1e-6  # a singular value below this is none
_SHARP = 20.0  # logits apart, so that a softmax is a choice to within e^−20


@dataclass(frozen=True)
class Fit:
    """One family fitted to functions that another number of heads computes.

    Attributes
    ----------
    heads, of : int
        Heads of the family that was fitted, and of the functions it was fitted to.
    losses : ndarray of shape (targets, starts)
        Mean squared error on fresh inputs after the last step, over the variance of the outputs.
    """

    heads: int
    of: int
    losses: Array

    @property
    def best(self) -> Array:
        """(targets,): of all starts."""
        return np.asarray(self.losses.min(axis=1))


@dataclass(frozen=True)
class Expressiveness:
    """Both counterexamples, and the fits.

    Attributes
    ----------
    off_segment : float
        How far an output of three heads lies from the segment on which every single head's output must lie.
    segment : float
        That segment's length.
    ranks : (tuple of int, tuple of int)
        Of the bilinear form that each output coordinate shows: for a random single head, and for three.
    one_form : float
        By how much the single head's coordinates differ in what they show.
    read_off : float
        By how much the forms that were read off the outputs differ from those that the functions were made with.
    fits : tuple of Fit
        Each family to itself and to the other, over many inputs.
    fixed_loss : float
        The best loss of a single head fitted to three heads on one fixed X alone.
    steps, starts, inputs, seed : int
        Steps of gradient descent, random starts, inputs (N, D) in the training batch, and what all was drawn with.
    """

    off_segment: float
    segment: float
    ranks: tuple[tuple[int, ...], ...]
    one_form: float
    read_off: float
    fits: tuple[Fit, ...]
    fixed_loss: float
    steps: int
    starts: int
    inputs: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        fits = [{"heads": each.heads, "of": each.of, "losses": each.losses.tolist()} for each in self.fits]
        return {**vars(self), "fits": fits}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Expressiveness:
        """The inverse of `to_json`."""
        fits = tuple(Fit(each["heads"], each["of"], np.array(each["losses"])) for each in content["fits"])
        ranks = tuple(map(tuple, content["ranks"]))
        return cls(**{**content, "fits": fits, "ranks": ranks})


def expressiveness(
    *,
    targets: int = 3,
    starts: int = 4,
    steps: int = 600,
    inputs: int = 64,
    seed: int = 0,
    on_fit: Callable[[], None] = lambda: None,
) -> Expressiveness:
    """Construct the counterexamples and run the fits.

    Parameters
    ----------
    targets, starts, steps, inputs : int
        Functions drawn from each family, random starts for each, steps of Adam, and inputs in the batch.
    seed : int
    on_fit : callable
        Called after each of the five fits.

    Returns
    -------
    Expressiveness
    """
    distance, length = off_the_segment()
    forms = [forms_read_off(heads, np.random.default_rng([seed, 5])) for heads in (1, MANY)]
    fits = []
    for heads, of in ((1, 1), (MANY, 1), (1, MANY), (MANY, MANY)):
        fits.append(fit(heads, of, targets=targets, starts=starts, steps=steps, inputs=inputs, seed=seed))
        on_fit()
    fixed = fit(1, MANY, targets=targets, starts=starts, steps=4 * steps, inputs=1, seed=seed, judged_on_training=True)
    on_fit()
    return Expressiveness(
        distance,
        length,
        tuple(tuple(int(rank) for rank in np.linalg.matrix_rank(found, tol=_RANK)) for found, _ in forms),
        float(np.abs(forms[0][0] - forms[0][0][0]).max()),
        max(deviation for _, deviation in forms),
        tuple(fits),
        float(fixed.best.max()),
        steps,
        starts,
        inputs,
        seed,
    )


def off_the_segment() -> tuple[float, float]:
    """A function of three heads that no single head computes.

    On equal tokens every output is Wv x whatever the weights, so a single head that computes the same function has the
    same Wv, here the identity. On two tokens its outputs then lie on the segment between them. The first of the three
    heads takes its coordinates from one token and the others theirs from the other, and leave it.

    Returns
    -------
    distance, length : float
        Of the output from the segment, and of the segment.
    """
    x = np.zeros((2, WIDTH))
    x[0, 0], x[1, -1] = 1, 1  # the tokens: the first and the last coordinate
    x[:, 2] = 1  # seen by both, to make every query alike
    d = WIDTH // MANY
    Wq, Wk = np.zeros((2, WIDTH, WIDTH))
    for h, chosen in enumerate((0, *[WIDTH - 1] * (MANY - 1))):
        Wq[h * d, 2], Wk[h * d, chosen] = _SHARP * np.sqrt(d), 1
    output = multi_head_attention(x, Wq, Wk, np.eye(WIDTH), heads=MANY).output[0]
    along = x[1] - x[0]
    t = np.clip((output - x[0]) @ along / (along @ along), 0, 1)
    return float(np.linalg.norm(output - x[0] - t * along)), float(np.linalg.norm(along))


def forms_read_off(heads: int, rng: np.random.Generator, *, inputs: int = 200) -> tuple[Array, float]:
    """The bilinear form behind every output coordinate of a random function, read off its outputs alone.

    With Wv the identity and two tokens, coordinate i of output 0 is p x₀ᵢ + (1 − p) x₁ᵢ with p = σ(x₀ᵀ M (x₀ − x₁)) and
    M = Wqᵀ Wk / √d of the head that owns i. So the logit of p is linear in M, and enough inputs determine it. A single
    head has one M for all coordinates, of a rank up to D; each of three has its own, of rank D/3 at most. Hence three
    heads compute no function of a single head whose M has a higher rank.

    Parameters
    ----------
    heads : int
    rng : numpy.random.Generator
        Draws the function and the inputs.
    inputs : int
        Pairs of tokens, more than D².

    Returns
    -------
    forms : ndarray of shape (D, D, D)
        M as each coordinate shows it.
    deviation : float
        The largest from the M that the function was made with.

    Examples
    --------
    >>> forms, deviation = forms_read_off(3, np.random.default_rng(0))
    >>> [int(rank) for rank in np.linalg.matrix_rank(forms, tol=1e-6)], deviation < 1e-9
    ([2, 2, 2, 2, 2, 2], True)
    """
    Wq, Wk = rng.normal(size=(2, WIDTH, WIDTH)) / np.sqrt(WIDTH)
    x = rng.normal(size=(inputs, 2, WIDTH))
    o = multi_head_attention(x, Wq, Wk, np.eye(WIDTH), heads=heads).output[:, 0]
    taken, left = (o - x[:, 1], x[:, 0] - o)  # p : 1 − p, both times x₀ᵢ − x₁ᵢ
    logits = np.log(taken / left)
    products = np.einsum("bi,bj->bij", x[:, 0], x[:, 0] - x[:, 1]).reshape(inputs, -1)
    # a coordinate in which the tokens hardly differ shows p badly, and so does a p near 0 or 1
    sure = np.minimum(np.abs(taken), np.abs(left)) > 1e-3
    forms = np.stack([np.linalg.lstsq(products[s], p[s], rcond=None)[0] for s, p in zip(sure.T, logits.T, strict=True)])
    parts = zip(np.split(Wq, heads), np.split(Wk, heads), strict=True)
    made_with = np.stack([q.T @ k / np.sqrt(len(q)) for q, k in parts]).repeat(WIDTH // heads, axis=0)
    forms = forms.reshape(WIDTH, WIDTH, WIDTH)
    return forms, float(np.abs(forms - made_with).max())


def fit(
    heads: int,
    of: int,
    *,
    targets: int,
    starts: int,
    steps: int,
    inputs: int,
    seed: int,
    judged_on_training: bool = False,
) -> Fit:
    """Fit a family by gradient descent to functions of another number of heads.

    All targets and starts are fitted side by side, as a leading axis of one problem.

    Parameters
    ----------
    heads, of : int
        Heads of the family, and of the functions.
    targets, starts, steps, inputs, seed : int
        As in `expressiveness`.
    judged_on_training : bool
        Judge by the inputs that were fitted, not by fresh ones.

    Returns
    -------
    Fit
    """
    rng = np.random.default_rng([seed, of, inputs])
    x, fresh = rng.normal(size=(2, inputs if judged_on_training else max(inputs, 64), TOKENS, WIDTH))
    x = x[:inputs]
    truth = _draw(targets, rng)
    wanted, _ = _forward(x, truth, of)
    tested = x if judged_on_training else fresh
    expected = _forward(tested, truth, of)[0]

    params = _draw(targets * starts, np.random.default_rng([seed, heads, 7]))
    vector = pack(params)
    memory, decays = AdamW.fresh(vector), np.zeros_like(vector)
    goal = np.repeat(wanted, starts, axis=0)
    for step in range(steps):
        now = unpack(vector, params)
        o, cache = _forward(x, now, heads)
        gradient = pack(_backward(2 * (o - goal) / o[0].size, cache))
        rate = 0.03 * 0.5 * (1 + np.cos(np.pi * step / steps))
        adamw_step(vector, gradient, memory, rate=rate, decay=0.0, decays=decays)
    found, _ = _forward(tested, unpack(vector, params), heads)
    error = ((found - np.repeat(expected, starts, axis=0)) ** 2).mean(axis=(1, 2, 3))
    scale = np.repeat(expected.var(axis=(1, 2, 3)), starts)
    return Fit(heads, of, (error / scale).reshape(targets, starts))


class _Cache(NamedTuple):
    x: Array
    attention: Cache
    shape: tuple[int, ...]  # (count, B, H, N, d)


def _draw(count: int, rng: np.random.Generator) -> Params:
    """Random functions: Wq, Wk, Wv of shape (count, D, D)."""
    return {name: rng.normal(size=(count, WIDTH, WIDTH)) / np.sqrt(2) for name in ("Wq", "Wk", "Wv")}


def _forward(x: Array, params: Params, heads: int) -> tuple[Array, _Cache]:
    """Outputs (count, B, N, D) of every function on every input (B, N, D)."""
    count, (b, n, width) = len(params["Wq"]), x.shape
    split = {
        name: np.einsum("bni,coi->cbno", x, weight, optimize=True)
        .reshape(count, b, n, heads, width // heads)
        .swapaxes(2, 3)
        for name, weight in params.items()
    }
    o, cache = attention_forward(*(split[name] for name in ("Wq", "Wk", "Wv")))
    return o.swapaxes(2, 3).reshape(count, b, n, width), _Cache(x, cache, o.shape)


def _backward(do: Array, cache: _Cache) -> Params:
    count, b, heads, n, d = cache.shape
    grads = attention_backward(do.reshape(count, b, n, heads, d).swapaxes(2, 3), cache.attention)
    return {
        name: np.einsum("cbno,bni->coi", g.swapaxes(2, 3).reshape(count, b, n, heads * d), cache.x, optimize=True)
        for name, g in zip(("Wq", "Wk", "Wv"), grads, strict=True)
    }
