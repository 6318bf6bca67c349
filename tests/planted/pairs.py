"""Several mistakes at once: random sets of those that can be made together, and can be told apart once they are."""

from dataclasses import replace
from itertools import combinations

import numpy as np

from headwise.checker.catalogue import CATALOGUE
from headwise.checker.detection.calling_conventions import UncallableError, infer_calling_conventions
from headwise.checker.probes import probes
from headwise.checker.reference.conventions import Requirements
from headwise.checker.reference.definition import replaced
from headwise.checker.reference.differences import PRECISIONS, difference
from planted import mutants

# pairs of which the first leaves nothing for the others to show on
SILENT = {
    "heads-ignored": "heads-merged-unmoved heads-share-weights heads-interleaved heads-split-unmoved heads-averaged "
    "heads-attend-heads",
    "mask-ignored": "mask-inverted mask-on-queries mask-not-broadcast",
    # divided by its sum
    "softmax-missing": "softmax-axis softmax-global softmax-twice softmax-base-2 mask-after-softmax scale-model-width "
    "scale-missing scale-no-root scale-inverted scale-tokens scale-heads scale-other scale-after-softmax",
    "bias-missing": "softcap-order",  # where it is after the bias, and not after the mask
    "mask-added-as-number": "mask-leaks-nan mask-finite-fill mask-after-softmax softcap-order",
    "mask-after-softmax": "mask-finite-fill mask-all-hidden-nan softcap-order",  # nothing is hidden before the softmax
    "mask-finite-fill": "softmax-overflow softcap-order",  # exp(−10⁹) is zero
    "qv-swapped": "groups-tiled",  # with fewer key heads, the shapes do not fit
    "norm-added": "softmax-overflow positions-added",  # normed tokens are never large, and lose a constant
    "softmax-axis": "softmax-global mix-transposed weights-transposed-out",  # with qk-swapped it is mix-transposed
    "mix-transposed": "qk-swapped weights-transposed-out",
    "softmax-keepdims": "softmax-axis softmax-global softmax-missing softmax-twice softmax-over-heads"
    " softmax-over-batch online-not-rescaled mask-all-hidden-nan qk-norm-across-heads weights-transposed-out",
    "softmax-global": "mask-all-hidden-nan mix-transposed",  # a whole matrix is never hidden; transposed, qk-swapped
    "softmax-over-heads": "softmax-axis softmax-global softmax-over-batch softmax-missing heads-ignored",
    "softmax-over-batch": "softmax-axis softmax-global softmax-missing",
    "online-not-rescaled": "softmax-axis softmax-global softmax-over-heads softmax-over-batch softmax-twice "
    "softmax-base-2 softmax-overflow softmax-missing mask-all-hidden-nan mask-finite-fill",
    "logits-of-inputs": "qk-swapped qv-swapped kv-swapped weights-reused values-are-keys bias-missing heads-ignored",
    "values-are-keys": "values-are-inputs kv-swapped qv-swapped weights-reused",
    "weights-reused": "qk-swapped kv-swapped qv-swapped values-are-inputs bias-missing",
    "heads-summed": "heads-ignored output-projection-missing output-projection-transposed heads-averaged",
    "qk-norm-across-heads": "softmax-overflow heads-ignored",
    "bias-before-scale": "bias-missing bias-transposed softcap-order scale-after-softmax",
    "bias-transposed": "bias-missing",
    "bias-not-broadcast": "bias-missing bias-transposed bias-before-scale",
    "mask-fill-too-small": "mask-ignored mask-all-hidden-nan mask-leaks-nan softcap-order mask-after-softmax",
    "weights-from-outputs": "weights-transposed-out weights-before-softmax",
}


def can_be_together(one, other):
    """Whether some change of one goes with some change of the other; what is only watched goes with everything."""
    first, second = CATALOGUE[one].changes, CATALOGUE[other].changes
    if not first or not second:
        return True
    silent = other in SILENT.get(one, "").split() or one in SILENT.get(other, "").split()
    return replaced(first[:1]).isdisjoint(replaced(second[:1])) and not silent


def all_show(style, kind, codes):
    """Whether each mistake changes what the function returns next to the others: one that does not has no name."""
    if kind != "attention" and {"scale-other", "softmax-base-2"} <= {*codes}:
        return False  # together they are another scale, and only one that is passed shows the base
    planted = mutants.plant(style, kind, codes)
    try:
        convention = next(infer_calling_conventions(planted, kind, None, "", Requirements.of("out-in", "attends")))[0]
    except UncallableError:  # the shapes do not fit
        return False
    cases = [p.case for number in (0, 1) for p in probes(convention.interface, number, np.random.default_rng(number))]
    returned = [convention.call(case) for case in cases]
    returns_weights = any(response.weights is not None for response in returned)
    for code in codes:
        others = mutants.plant(style, kind, [c for c in codes if c != code], weights=returns_weights)
        without = [replace(convention, function=others).call(case) for case in cases]
        if all(map(_same, returned, without)):
            return False
    return True


def _same(a, b):
    arrays = all(
        (x is None) == (y is None) and (x is None or difference(x, y) < PRECISIONS["float32"])
        for x, y in ((a.output, b.output), (a.weights, b.weights))
    )
    return arrays and (a.dtype, a.changed) == (b.dtype, b.changed)


def random_pairs(count, seed=7, size=2):
    """Style, kind and two codes, or as many as asked, so many times, each of which shows next to the others."""
    rng = np.random.default_rng(seed)
    found = []
    while len(found) < count:
        kind = str(rng.choice(list(mutants.CODES)))
        styles = [s for s in mutants.STYLES if kind != "attention" or s != "columns"]
        codes = [str(c) for c in rng.choice(mutants.CODES[kind], size, replace=False)]
        if all(can_be_together(*pair) for pair in combinations(codes, 2)):
            style = str(rng.choice(styles))
            if all_show(style, kind, codes):
                found.append((style, kind, *codes))
    return found
