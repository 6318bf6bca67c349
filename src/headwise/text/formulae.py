"""The formulae that a sentence may contain, by name, in LaTeX and in plain Unicode."""

from __future__ import annotations

from typing import NamedTuple


class Formula(NamedTuple):
    """A formula in LaTeX and in plain Unicode."""

    tex: str
    text: str


FORMULAE = {
    "weights": Formula(r"A^{(l,h)} = \mathrm{softmax}(Q K^{\top} / \sqrt{d})", "A(l,h) = softmax(Q Kᵀ / √d)"),
    "A": Formula(r"A^{(l,h)}", "A(l,h)"),
    "class row": Formula(r"A^{(l,h)}_{0,m}", "A(l,h)[0, m]"),
    "last row": Formula(r"A^{(l,h)}_{T,m}", "A(l,h)[T, m]"),
    "class to class": Formula(r"A^{(l,h)}_{0,0}", "A(l,h)[0, 0]"),
    "all patches": Formula(r"m = 1, \ldots, N", "m = 1, …, N"),
    "token 0": Formula(r"m = 0", "m = 0"),
    "zero": Formula("0", "0"),
    "effective": Formula(r"2^{-\sum_m p_m \log_2 p_m}", "2^(−Σ p log₂ p)"),
    "p of patches": Formula(
        r"p_m = A^{(l,h)}_{0,m} / \sum_{j=1}^{N} A^{(l,h)}_{0,j}", "p_m = A(l,h)[0, m] / Σ_j A(l,h)[0, j], j = 1, …, N"
    ),
    "distance": Formula(r"\frac{1}{N} \sum_{n,m} p_{nm} \| c_n - c_m \|", "(1/N) Σ p[n, m] ‖c_n − c_m‖"),
    "row": Formula(r"A^{(l,h)}_{n,m}", "A(l,h)[n, m]"),
    "to class": Formula(r"A^{(l,h)}_{n,0}", "A(l,h)[n, 0]"),
    "received": Formula(r"\frac{1}{N} \sum_{n} A^{(l,h)}_{n,m}", "(1/N) Σ_n A(l,h)[n, m]"),
    "p of row": Formula(
        r"p_m = A^{(l,h)}_{n,m} / \sum_{j=1}^{N} A^{(l,h)}_{n,j}", "p_m = A(l,h)[n, m] / Σ_j A(l,h)[n, j], j = 1, …, N"
    ),
    "p received": Formula(r"p_m", "p_m"),
    "distance of row": Formula(r"\sum_{m} p_{m} \| c_n - c_m \|", "Σ p[m] ‖c_n − c_m‖"),
    "entropy": Formula(r"-\frac{1}{T} \sum_{n,m} p_{nm} \log_2 p_{nm}", "−(1/T) Σ p[n, m] log₂ p[n, m]"),
    "agreement": Formula(r"1 - \sqrt{h(\frac{p+q}{2}) - \frac{h(p)+h(q)}{2}}", "1 − √(h((p + q)/2) − (h(p) + h(q))/2)"),
    "entropies": Formula(r"h(p) = -\sum_m p_m \log_2 p_m", "h(p) = −Σ p log₂ p"),
    "mutual information": Formula(
        r"h(\frac{1}{T} \sum_n p_n) - \frac{1}{T} \sum_n h(p_n)", "h(mean of the rows) − mean of h(row)"
    ),
    "rollout": Formula(r"R^{(l)} = M^{(l)} \cdots M^{(1)} M^{(0)}", "R(l) = M(l) ⋯ M(1) M(0)"),
    "residual mixture": Formula(
        r"M^{(l)} = \frac{1}{2} I + \frac{1}{2H} \sum_{h} A^{(l,h)}", "M(l) = I/2 + (1/2H) Σ_h A(l,h)"
    ),
    "class rollout": Formula(r"R^{(l)}_{0,m}", "R(l)[0, m]"),
    "class to class rollout": Formula(r"R^{(l)}_{0,0}", "R(l)[0, 0]"),
    "received rollout": Formula(r"\frac{1}{N} \sum_{n} R^{(l)}_{n,m}", "(1/N) Σ_n R(l)[n, m]"),
    "p of rollout": Formula(
        r"p_m = R^{(l)}_{0,m} / \sum_{j=1}^{N} R^{(l)}_{0,j}", "p_m = R(l)[0, m] / Σ_j R(l)[0, j], j = 1, …, N"
    ),
    "e": Formula("e_n", "e_n"),
    "cosine": Formula(r"\frac{e_n \cdot e_m}{\| e_n \| \, \| e_m \|}", "e_n · e_m / (‖e_n‖ ‖e_m‖)"),
    "sa": Formula(
        r"\mathrm{SA}(X) = \mathrm{softmax}(X W_q^{\top} W_k X^{\top} / \sqrt{D})\, X W_v^{\top}",
        "SA(X) = softmax(X Wqᵀ Wk Xᵀ / √D) X Wvᵀ",
    ),
    "equivariance": Formula(r"\mathrm{SA}(P X) = P\, \mathrm{SA}(X)", "SA(P X) = P SA(X)"),
    "P A V": Formula(r"P\, A(X)\, P^{\top} P\, V(X) = P\, A(X)\, V(X)", "P A(X) Pᵀ P V(X) = P A(X) V(X)"),
    "weights move": Formula(r"A(PX) = P\, A(X)\, P^{\top}", "A(P X) = P A(X) Pᵀ"),
    "one head": Formula(r"\frac{1}{\sqrt{D}} \sum_{i=1}^{D} q_{n,i} k_{m,i}", "(1/√D) Σ_{i=1…D} q[n, i] k[m, i]"),
    "many heads": Formula(
        r"\frac{1}{\sqrt{D/H}} \sum_{i \in \mathrm{head}\, h} q_{n,i} k_{m,i}",
        "(1/√(D/H)) Σ_{i in head h} q[n, i] k[m, i]",
    ),
    "sum of logits": Formula(r"\sum_{h} Q_h K_h^{\top} = Q K^{\top}", "Σ_h Q_h K_hᵀ = Q Kᵀ"),
    "D/H": Formula(r"D/H", "D/H"),
    "W_q": Formula("W_q", "Wq"),
    "W_k": Formula("W_k", "Wk"),
    "W_v": Formula("W_v", "Wv"),
    "W_o": Formula("W_o", "Wo"),
    "root D": Formula(r"\sqrt{D}", "√D"),
    "root D/H": Formula(r"\sqrt{D/H}", "√(D/H)"),
    "product of weights": Formula(
        r"A_{n,m} \propto \prod_{h} \left( A^{(h)}_{n,m} \right)^{1/\sqrt{H}}", "A[n, m] ∝ Π_h A(h)[n, m]^(1/√H)"
    ),
    "family": Formula(r"X \mapsto \mathrm{SA}(X)", "X ↦ SA(X)"),
    "conditional variance": Formula(r"1 / \Lambda_{ii}", "1/Λ_ii"),
    "precision": Formula(r"\Lambda", "Λ"),
}


def get_formula(name: str) -> Formula:
    """Look up a formula; a single letter that has no entry stands for itself.

    Examples
    --------
    >>> get_formula("token 0").text, get_formula("N").tex
    ('m = 0', 'N')
    """
    return Formula(name, name) if name not in FORMULAE and len(name) == 1 and name.isalpha() else FORMULAE[name]
