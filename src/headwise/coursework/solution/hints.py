"""The questions of the sheet with methods and checks, and no answers."""

from __future__ import annotations

from headwise.document import Paragraph, Section
from headwise.text import Statement

# question, method, how to check the own answer
_HINTS: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "attention": (
        (
            "The functions",
            "Write self-attention with the dot-product scaling, and multi-head self-attention that uses it.",
            "Project the tokens to queries, keys and values; compare every query with every key; normalize; mix the "
            "values. Write down the shape of each array before you write the line.",
            "The weights of an output sum to one. With one head both functions agree. “headwise check” names mistakes.",
        ),
        (
            "Outputs for one head and for several",
            "Run both functions on the arrays.",
            "A head owns consecutive rows of each matrix, in equal parts.",
            "“headwise attend” prints the weights and outputs to compare with.",
        ),
        (
            "Two inputs change places",
            "What happens to the outputs, and why?",
            "Write the swap as a permutation matrix, and follow it through projections, logits, softmax and the sum.",
            "Compare the outputs before and after by hand, then for a random permutation in code.",
        ),
        (
            "Why the number of heads matters",
            "The matrices are the same for one head and several; why are the outputs not?",
            "Write the logit of the single head as a sum over coordinates, and group the coordinates by head.",
            "The sum of the heads' unscaled logits is the single head's; the weights are not related by a sum.",
        ),
        (
            "Expressiveness",
            "Can one of the two compute functions that the other cannot?",
            "Look for what all functions of one family have in common: think of convex hulls, and of the rank of a "
            "bilinear form.",
            "A counterexample must be shown to be one: compute the distance, or the rank.",
        ),
    ),
    "vision": (
        (
            "The attention figure",
            "What do the plots say about the model?",
            "For each panel state whose weights it shows, over which tokens, and how they were averaged. Then look for "
            "heads that look at the same place for every image.",
            "A claim about the model needs many images: count on how many of them it is true.",
        ),
        (
            "Rows instead of patches",
            "What changes in the model, and what is lost?",
            "List the shapes of all parameters for both. Then state which neighbouring pixels share a token.",
            "Train both with several seeds; compare seed by seed.",
        ),
    ),
    "series": (
        (
            "A transformer for other data",
            "Task, tokens, architecture, training and results of an article.",
            "Say what a token is first: the other answers follow from it. Note what the model does about order.",
            "Each claim needs a place in the article or in its code.",
        ),
    ),
    "gaussian": (
        (
            "Self-supervision on a Gaussian",
            "Which weight does least squares learn, and why is that self-supervision?",
            "Expand the expected squared error and set its derivative to zero; then do the same with sample means.",
            "Draw samples with a correlation that you know, and compare the estimate with it.",
        ),
    ),
}


def hint_sections(parts: tuple[str, ...]) -> tuple[Section, ...]:
    """A section for each question of these parts of the report."""
    sections = []
    for part in (part for part in _HINTS if part in parts):
        for i, (heading, question, method, check) in enumerate(_HINTS[part], 1):
            sections.append(
                Section(
                    f"hint-{part}-{i}",
                    heading,
                    tuple(
                        Paragraph((Statement("{label}: {text}", {"label": label, "text": text}),))
                        for label, text in (("Question", question), ("Method", method), ("Check", check))
                    ),
                )
            )
    return tuple(sections)
