"""Arrays to be drawn, for the tests of figures and captions."""

from dataclasses import replace

import numpy as np

from headwise.figures import AttentionRecord
from headwise.metrics.faithfulness import Faithfulness
from headwise.tokenizers import get_tokenizer

L, H = 3, 2
TESTED = Faithfulness(
    tokens=16, full=0.97, empty=0.11, deletion=0.31, insertion=0.83, random_deletion=(0.52, 0.36, 0.71),
    random_insertion=(0.5, 0.3, 0.7), ink_deletion=0.37, ink_insertion=0.79, fraction_of_random_beaten_deletion=0.993,
    fraction_of_random_beaten_insertion=0.97, comprehensiveness=0.5, sufficiency=0.2, shapley=0.61, ink_shapley=0.42,
    shapley_error=0.0, orders=1000,
)  # fmt: skip


def drawn(rng, tokens="7x7", *, weights=None, classed=True, shape=(L, H), concentration=0.5, **more):
    cut = get_tokenizer(tokens, (28, 28))
    n = cut.num_tokens + classed
    image = np.zeros((28, 28), np.float32)
    image[6:22, 12:16] = 1
    if weights is None:
        weights = rng.dirichlet(np.full(n, concentration), (*shape, n)).astype(np.float32)
    more = {"label": 3, "head_width": 16, "positions": rng.normal(size=(cut.num_tokens, 11)).astype(np.float32)} | more
    tested = more.pop("tested", None)
    made = AttentionRecord(cut.permute(image), cut.boxes, weights, rng.dirichlet(np.full(10, 0.3)), **more)
    if tested is None:
        return made
    curves = np.sort(rng.random((2, 5, cut.num_tokens + 1)))[:, :, ::-1]
    return replace(made, tested=tested, ranking=made.last, curves=curves)
