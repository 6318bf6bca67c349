"""Modules as the checker sees them: layers of torch, Keras and flax, and plain classes that hold their weights.

`find_targets` makes targets of them: it reads which parameters are projections, in which order fused ones are and how
many heads there are, and copies the layer in float64 so that weights can be put into the copy.
"""

from headwise.checker.modules.construct import parse_arguments
from headwise.checker.modules.frameworks import is_module
from headwise.checker.modules.targets import find_targets
from headwise.checker.modules.torch_modules import one_thread, without_dropout
from headwise.checker.modules.variants import Variant, options_off, other_sizes

__all__ = [
    "Variant",
    "find_targets",
    "is_module",
    "one_thread",
    "options_off",
    "other_sizes",
    "parse_arguments",
    "without_dropout",
]
