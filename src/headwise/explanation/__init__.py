"""The microscope as a library: record what a model attends to, draw it, caption it, test it and explore it."""

from headwise.explanation.arrays import TokenLayout, from_arrays, from_saved, read_arrays, stack_layers
from headwise.explanation.core import Explanation, explain, record_attention
from headwise.explanation.dependence import measure_dependence
from headwise.explanation.examples import cycle_classes, pick_contrasting_examples
from headwise.explanation.exploration import explore, explore_arrays
from headwise.explanation.explorer import Explorer, ExplorerInput
from headwise.explanation.faithfulness import FaithfulnessTest
from headwise.explanation.input_record import name_scores, record_input
from headwise.explanation.word_pieces import merge_pieces

__all__ = [
    "Explanation",
    "Explorer",
    "ExplorerInput",
    "FaithfulnessTest",
    "TokenLayout",
    "cycle_classes",
    "explain",
    "explore",
    "explore_arrays",
    "from_arrays",
    "from_saved",
    "measure_dependence",
    "merge_pieces",
    "name_scores",
    "pick_contrasting_examples",
    "read_arrays",
    "record_attention",
    "record_input",
    "stack_layers",
]
