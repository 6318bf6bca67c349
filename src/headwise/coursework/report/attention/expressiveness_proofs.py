"""Proofs that neither one head nor several are more expressive, with a numerical check of each step."""

from __future__ import annotations

import numpy as np

from headwise.coursework.expressiveness.constructions import SHARPNESS, single_input_example
from headwise.coursework.expressiveness.study import Expressiveness
from headwise.coursework.results import Coursework
from headwise.document import Derivation, Step
from headwise.text import Statement, scientific

_ROUNDING = 1e-9  # a deviation below this is rounding, in matrices of this size


def several_not_one(study: Expressiveness) -> Derivation:
    """Equal tokens force the value matrix; then a single head stays in the tokens' hull, and several leave it."""
    return Derivation(
        Step(
            "On equal tokens the weights do not matter, since they sum to one. So two such functions that agree "
            "everywhere have the same value matrix.",
            r"x_0 = x_1 = \ldots = x \quad \Rightarrow \quad o_n = W_v x",
        ),
        Step(
            "A single head's output is then a mean of the mapped tokens with weights that are not negative: it "
            "lies in their convex hull, which for two tokens is a segment.",
            r"o_n = \sum_{m} A_{n,m} W_v x_m \in \mathrm{conv} \{ W_v x_0, \ldots, W_v x_{N-1} \}",
        ),
        Step(
            "Heads that draw on different tokens leave it. Take the identity for the value matrix, and two tokens "
            "that share one coordinate and have one each to themselves.",
            r"x_0 = e_0 + e_1, \qquad x_1 = e_1 + e_{D-1}",
        ),
        Step(
            Statement(
                "The first entry of every head's query is {sharp:.0f} √d times the shared coordinate. The first "
                "entry of the key is the coordinate that only the first token has, in the first head, and the one "
                "that only the second token has, in the other heads. All other entries are zero.",
                {"sharp": SHARPNESS},
            ),
            r"q^{(h)}_{n,0} = s \sqrt{d}\, x_{n,1}, \qquad k^{(0)}_{m,0} = x_{m,0}, \qquad k^{(h)}_{m,0} ="
            r" x_{m,D-1} \; (h > 0)",
        ),
        Step(
            Statement(
                "So the first head takes nearly all from the first token, and the others from the second. On the "
                "segment, the first and the last coordinate add up to one; here they add up to nearly two. Run: "
                "the output lies {distance:.3f} from the segment, whose length is {length:.3f}.",
                {"distance": study.off_segment, "length": study.segment},
            ),
            r"o_0 = p\, e_0 + e_1 + p\, e_{D-1} \notin \mathrm{conv} \{ x_0, x_1 \}, \qquad p = \sigma(s) >"
            r" \tfrac{1}{2}",
            study.off_segment > _ROUNDING,
        ),
    )


def one_not_several(study: Expressiveness) -> Derivation:
    """Two tokens show the bilinear form behind every output coordinate, and a small head's has too low a rank."""
    one, several = study.ranks
    width, heads, _ = study.setting
    return Derivation(
        Step(
            "Take the identity for the value matrix; equal tokens force it on whatever computes the same function. "
            "With two tokens, every coordinate of a single head's output is the same mixture of the two, with the "
            "logistic function of a bilinear form as its weight.",
            r"o_0 = p\, x_0 + (1 - p)\, x_1, \qquad p = \sigma\!\left( x_0^{\top} M (x_0 - x_1) \right), \qquad M"
            r" = \frac{1}{\sqrt{D}} W_q^{\top} W_k",
        ),
        Step(
            "Several heads have such a weight each, for the coordinates that they own. Where the tokens differ in "
            "one of these, the output shows the weight; such tokens are dense and weights are continuous. So if "
            "the outputs agree for all tokens, the weights do, and the logistic function can be undone.",
            r"x_0^{\top} M_h (x_0 - x_1) = x_0^{\top} M (x_0 - x_1), \qquad M_h = \frac{1}{\sqrt{D/H}}"
            r" (W_q^{(h)})^{\top} W_k^{(h)}",
        ),
        Step(
            "The two vectors in the form may be any, and a bilinear form that is known for all vectors is known.",
            r"x_0 = u, \; x_1 = u - w: \quad u^{\top} M_h w = u^{\top} M w \mathrm{\ for\ all\ } u, w \quad"
            r" \Rightarrow \quad M_h = M",
        ),
        Step(
            Statement(
                "But a head that owns {own} of the rows has a form of rank {own} at most, and M may have rank "
                "{width}. Run: the form behind every output coordinate was read off the outputs of random "
                "functions on pairs of tokens, to within {deviation} of the one that the function was made with. "
                "The single head showed one form in all coordinates (to within {same}), of rank {one}; the {many} "
                "heads showed forms of rank {several}.",
                {
                    "own": width // heads,
                    "width": width,
                    "deviation": scientific(study.read_off),
                    "same": scientific(study.one_form),
                    "one": _ranks(one),
                    "many": heads,
                    "several": _ranks(several),
                },
            ),
            r"\mathrm{rank}\, M_h \le D/H < \mathrm{rank}\, M",
            max(study.read_off, study.one_form) < _ROUNDING and max(several) < min(one),
        ),
    )


def transformed(study: Expressiveness) -> Derivation:
    """What several heads gain by a final transformation, and that both limits stay."""
    return Derivation(
        Step(
            "What several heads gain: without a final transformation every output coordinate is one head's mixture "
            "of the mapped tokens, and lies between theirs. Give coordinate 0 to two heads, which take it from "
            "different tokens as above, and let the final transformation take twice the one less the other. Equal "
            "tokens keep the coordinate, so that it lies between 1 and 0 in every function without a final "
            "transformation that agrees on these.",
            r"W_o W_v e_0 = (2 - 1)\, e_0, \qquad x_{0,0} = 1, \; x_{1,0} = 0, \qquad o_{0,0} = 2\,\sigma(s) - (1 -"
            r" \sigma(s)) > 1",
        ),
        Step(
            Statement("Run: the output's coordinate is {outside:.4f}.", {"outside": study.outside}),
            holds=study.outside > 1,
        ),
        Step(
            "The first limit stays. For a single head the convex hull is that of the tokens mapped by both "
            "matrices, and the example above leaves it as before.",
            r"o_n = \sum_{m} A_{n,m} W_o W_v x_m",
        ),
        Step(
            Statement(
                "And the second. For several heads, equal tokens give the product of both matrices. If that is the "
                "identity, so is the product in the other order, since both are square; hence the heads' shares "
                "are projections, of rank D/H, that add up to the identity and annihilate one another (run on a "
                "random matrix and its inverse, to within {error}).",
                {"error": scientific(study.projections)},
            ),
            r"E_h = W_o^{(h)} W_v^{(h)}, \quad \sum_{h} E_h = I, \quad E_h E_g = W_o^{(h)} \left( W_v^{(h)}"
            r" W_o^{(g)} \right) W_v^{(g)} = \delta_{h,g}\, E_h",
            study.projections < _ROUNDING,
        ),
        Step(
            "If they computed the single head's mixture of two tokens, multiplying by one projection would leave "
            "one head's weight. Wherever the projection of the tokens' difference does not vanish, again on a "
            "dense set, that head would have the single head's weight, and hence its form, whose rank is too high.",
            r"\sum_{g} p_g E_g (x_0 - x_1) = p\, (x_0 - x_1) \quad \Rightarrow \quad p_h E_h (x_0 - x_1) = p\, E_h"
            r" (x_0 - x_1)",
        ),
    )


def one_input(coursework: Coursework) -> Derivation:
    """On one input of independent tokens a single head gives any output; run on the arrays' own."""
    multi_head = coursework.runs[-1]
    error = single_input_example(coursework.arrays["X"], multi_head.result.output)
    words = (
        "The tokens of the arrays are not linearly independent, so this cannot be run on them."
        if error is None
        else "Run on the arrays: a single head so made gives the output of the {many} heads to within {error} of its "
        "largest entry."
    )
    return Derivation(
        Step(
            "Independent tokens have a right inverse. With it queries and keys are made whose logits are the "
            "identity, so that the weights A can be inverted,",
            r"X X^{+} = I, \qquad W_q^{\top} = W_k^{\top} = D^{1/4} \left( X^{+} \;\; 0 \right) \quad \Rightarrow"
            r" \quad \frac{1}{\sqrt{D}} Q K^{\top} = I",
        ),
        Step(
            "and then values that A turns into the required output O.",
            r"W_v^{\top} = X^{+} A^{-1} O \quad \Rightarrow \quad A X W_v^{\top} = A X X^{+} A^{-1} O = O",
        ),
        Step(
            Statement(words, {"many": multi_head.heads, "error": scientific(error or 0.0)}),
            holds=None if error is None else error < _ROUNDING,
        ),
    )


def _ranks(ranks: tuple[int, ...]) -> str:
    return " and ".join(str(rank) for rank in np.unique(ranks))
