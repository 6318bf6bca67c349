"""Code that a statement of its documentation makes right or wrong, and mistakes in forms that few people write."""

import numpy as np
import pytest

import headwise as hw
from headwise.checker.detection.refusal import UncallableError
from headwise.errors import DataError

ATTENTION = '''
import numpy as np

def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)

def attention({arguments}):
    """{text}"""
    {setup}
    s = {logits}
    return softmax(s) @ {values}
'''
USUAL = {"arguments": "q, k, v", "text": "q, k, v: (B, H, N, d)", "setup": "n, m = q.shape[-2], k.shape[-2]"}
USUAL |= {"logits": "q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])", "values": "v"}


def verdict_of(code):
    variables = {}
    exec(code, variables)
    return hw.check(variables["attention"], source=code)


def checked(**parts):
    return verdict_of(ATTENTION.format(**USUAL | parts))


SCALED = {"arguments": "q, k, v, mask", "logits": "(q @ k.swapaxes(-1, -2) + mask) / np.sqrt(q.shape[-1])"}


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("q, k, v: (B, H, N, d)", ()),
        ("mask: float, added to the scores", ("bias-before-scale",)),
        ("mask: added to the scores, 0 where a key is seen and -inf where it is not", ()),
    ],
)
def test_a_mask_that_is_said_to_hold_numbers_is_not_scaled(text, mistakes):
    assert checked(**SCALED, text=text).mistakes == mistakes


TABLE = {
    "arguments": "q, k, v, rel_table",
    "setup": "n = q.shape[1]; i, j = np.arange(n)[:, None], np.arange(n)",
    "logits": "q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]) + rel_table[:, i - j + n - 1]",
}


@pytest.mark.parametrize(
    ("order", "mistakes"),
    [("", ()), (", at N - 1 + i - j", ()), (", at N - 1 + j - i", ("bias-transposed",)), (" of |j - i|", ())],
)
def test_a_table_of_distances_has_the_order_that_is_stated(order, mistakes):
    verdict = checked(**TABLE, text=f"q, k, v: (H, N, d). rel_table: (H, 2N - 1) for query i and key j{order}")
    assert verdict.mistakes == mistakes
    assert "bias-table" in verdict.conventions


SIMILARITY = {"arguments": "q, k, v, temperature=1.0", "logits": "q @ k.swapaxes(-1, -2) / temperature"}


@pytest.mark.parametrize(
    ("formula", "mistakes"),
    [
        ("softmax(q k / temperature) v", ()),
        ("softmax(q k / (temperature * sqrt(d))) v", ("scale-missing",)),
        ("Attention.", ("scale-missing",)),
    ],
)
def test_a_formula_with_a_temperature_has_no_other_scale(formula, mistakes):
    assert checked(**SIMILARITY, text=formula).mistakes == mistakes


FUSED = '''
import numpy as np

def attention(x, {name}, num_heads):
    """{text}"""
    b, n, _ = x.shape
    q, k, v = np.moveaxis((x @ {name}.T).reshape(b, n, {shape}), {part}, 0)
    q, k, v = (a.swapaxes(1, 2) for a in (q, k, v))
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    o = e / e.sum(axis=-1, keepdims=True) @ v
    return o.swapaxes(1, 2).reshape(b, n, -1)
'''
ORDERS = {"3Hd": ("3, num_heads, -1", 2), "H3d": ("num_heads, 3, -1", 3), "Hd3": ("num_heads, -1, 3", 4)}


@pytest.mark.parametrize(
    ("order", "text", "mistakes"),
    [
        ("3Hd", "x: (B, N, D)", ()),
        ("Hd3", "x: (B, N, D)", ("qkv-interleaved",)),
        ("Hd3", "The rows of the matrix are (H, d, 3).", ()),
        ("H3d", "The rows of the matrix are (heads, 3, head_dim).", ()),
        ("3Hd", "The rows of the matrix are (heads, 3, head_dim).", ("qkv-interleaved",)),
    ],
)
def test_a_fused_matrix_has_the_order_that_is_stated(order, text, mistakes):
    shape, part = ORDERS[order]
    for name in ("to_qkv", "w_qkv")[: 1 + (order == "Hd3")]:
        verdict = verdict_of(FUSED.format(name=name, text=text, shape=shape, part=part))
        assert verdict.mistakes == mistakes
        assert "weights-fused" in verdict.conventions


LOWER, FLAG = "np.arange(m) <= np.arange(n)[:, None]", {"arguments": "q, k, v, causal=False"}
LIMITED = "np.where({seen}, q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]), -np.inf)"
SLOPES = "2.0 ** (-8 * np.arange(1, q.shape[-3] + 1) / q.shape[-3])[:, None, None]"


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("parts", "mistake"),
    [
        (FLAG | {"logits": LIMITED.format(seen=f"causal | ({LOWER})")}, "causal-missing"),
        ({"logits": "q @ k[:1].swapaxes(-1, -2) / np.sqrt(q.shape[-1])"}, "batch-mixed"),
        ({"values": "v[:1]"}, "batch-mixed"),
        ({"logits": "q[:1] @ k[:1].swapaxes(-1, -2) / np.sqrt(q.shape[-1])"}, "batch-mixed"),
        (
            {"arguments": "q, k, v, lengths", "logits": LIMITED.format(seen="np.arange(m) < lengths[0]")},
            "mask-not-broadcast",
        ),
        (
            {
                "arguments": "q, k, v, key_padding_mask",
                "text": "key_padding_mask: (B, M), True for real tokens. q, k, v: (B, H, N, d)",
                "logits": LIMITED.format(seen="key_padding_mask[0]"),
            },
            "mask-not-broadcast",
        ),
        (
            {
                "setup": f"n = q.shape[-2]; far = np.arange(n) - np.arange(n)[:, None]; slopes = {SLOPES}",
                "logits": "np.where(far > 0, -np.inf, (q @ k.swapaxes(-1, -2) + slopes * far) / np.sqrt(q.shape[-1]))",
            },
            "bias-before-scale",
        ),
        pytest.param(
            {
                "arguments": "q, k, v, mask",
                "text": "Causal attention. q, k, v: (B, H, N, d). mask: (B, N), True for real tokens.",
                "setup": "n = q.shape[-2]; later = -1e9 * (np.arange(n) > np.arange(n)[:, None])",
                "logits": "np.where(mask[:, None, None], -np.inf,"
                " q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]) + later)",
            },
            "mask-inverted",
            marks=pytest.mark.whole_search,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mistakes_in_forms_that_few_write(parts, mistake):
    assert checked(**parts).mistakes == (mistake,)


@pytest.mark.exhaustive
def test_a_one_sided_window_may_be_aligned_with_the_last_key():
    seen = "((np.arange(m) <= at) | (not causal)) & ((window is None) | (np.arange(m) > at - (window or 0)))"
    verdict = checked(
        arguments="q, k, v, causal=False, window=None",
        setup="n, m = q.shape[-2], k.shape[-2]; at = np.arange(n)[:, None] + m - n",
        logits=LIMITED.format(seen=seen),
    )
    assert verdict.mistakes == ()
    assert "causal-aligned-end" in verdict.conventions
    assert "mask-all-hidden-nan" in verdict.hazards


def made(rng, width):
    W_q, W_k, W_v = rng.normal(size=(3, 8, width))

    def scores(q, k):
        return q @ k.T / np.sqrt(width)

    def attention(x):
        e = np.exp(scores(x @ W_q, x @ W_k))
        return e / e.sum(axis=-1, keepdims=True) @ (x @ W_v)

    def exchanged(x):
        e = np.exp(scores(x @ W_v, x @ W_k))
        return e / e.sum(axis=-1, keepdims=True) @ (x @ W_q)

    return attention, exchanged


def test_matrices_of_the_function_around_it_are_variables():
    attention, exchanged = made(np.random.default_rng(0), 6)
    before = [cell.cell_contents for cell in attention.__closure__]
    assert hw.check(attention).mistakes == ()
    assert hw.check(exchanged).mistakes == ("qv-swapped",)
    assert all(cell.cell_contents is value for cell, value in zip(attention.__closure__, before, strict=True))


def test_random_matrices_of_its_own_are_the_cause_of_a_refusal():
    code = """
import numpy as np

def attention(x):
    rng = np.random.default_rng(0)
    W_q, W_k, W_v = rng.normal(size=(3, x.shape[-1], 4))
    s = (x @ W_q) @ (x @ W_k).T / 2
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True) @ (x @ W_v)
"""
    with pytest.raises(DataError, match="makes its matrices itself in each call, with `W_q, W_k, W_v = rng"):
        verdict_of(code)
    with pytest.raises(UncallableError, match="makes its matrices itself"):
        verdict_of(code.replace("/ 2", "/ None"))


def test_a_mask_that_has_to_be_passed_hides_next_to_a_mistake_with_the_heads():
    code = """
import numpy as np

def attention(x, Wq, Wk, Wv, num_heads, mask):
    B, N, D = x.shape
    q, k, v = ((x @ W).reshape(B, num_heads, N, -1) for W in (Wq, Wk, Wv))
    s = np.where(mask, {fill}, q @ k.swapaxes(-1, -2) / np.sqrt(D // num_heads))
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return (e / e.sum(axis=-1, keepdims=True) @ v).swapaxes(1, 2).reshape(B, N, D)
"""
    for fill in ("-np.inf", "-1e9"):
        verdict = verdict_of(code.format(fill=fill))
        assert verdict.mistakes == ("heads-split-unmoved",)
        assert "mask-hides" in verdict.conventions or "padding-hides" in verdict.conventions


@pytest.mark.parametrize(("first", "ok"), [("start_pos", True), ("0", False), ("m - n - start_pos", False)])
def test_a_place_that_is_passed_says_where_queries_are(first, ok):
    verdict = checked(
        arguments="q, k, v, start_pos=0",
        text="Causal attention of the tokens from start_pos on to all tokens so far. q, k, v: (B, H, N, d)",
        logits=LIMITED.format(seen=f"np.arange(m) <= np.arange(n)[:, None] + {first}"),
    )
    assert verdict.ok == ok
