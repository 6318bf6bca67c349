"""Every step of attention against loops written out here."""

import numpy as np
import pytest

from headwise.coursework.steps import attention_steps


@pytest.mark.parametrize("causal", [False, True])
def test_every_step_is_written_out_in_loops(rng, causal):
    n, heads, d, e = 5, 3, 2, 7
    arrays = {name: rng.normal(size=shape) for name, shape in {
        "X": (n, 11), "Wq": (heads * d, 11), "Wk": (heads * d, 11), "Wv": (heads * e, 11), "Wo": (13, heads * e),
        "bq": (heads * d,), "bo": (13,)}.items()}  # fmt: skip
    steps = attention_steps(arrays, heads, causal=causal)
    joined = np.zeros((n, heads * e))
    for h in range(heads):
        for i in range(n):
            q = arrays["Wq"][h * d : h * d + d] @ arrays["X"][i] + arrays["bq"][h * d : h * d + d]
            np.testing.assert_allclose(steps.queries[h, i], q, atol=1e-12)
            keys = [arrays["Wk"][h * d : h * d + d] @ x for x in arrays["X"]]
            values = [arrays["Wv"][h * e : h * e + e] @ x for x in arrays["X"]]
            seen = range(i + 1) if causal else range(n)
            logits = np.array([q @ keys[j] / np.sqrt(d) if j in seen else np.nan for j in range(n)])
            weights = np.nan_to_num(np.exp(logits)) / np.nansum(np.exp(logits))
            row = sum(weights[j] * values[j] for j in range(n))
            np.testing.assert_allclose(steps.keys[h], keys, atol=1e-12)
            np.testing.assert_allclose(steps.values[h], values, atol=1e-12)
            np.testing.assert_allclose(steps.logits[h, i], logits, atol=1e-12)
            np.testing.assert_allclose(steps.weights[h, i], weights, atol=1e-12)
            np.testing.assert_allclose(steps.by_head[h, i], row, atol=1e-12)
            joined[i, h * e : h * e + e] = row
    np.testing.assert_allclose(steps.output, joined @ arrays["Wo"].T + arrays["bo"], atol=1e-11)
