"""The table of docs/models.md: errors of loaded models against transformers, for small random models.

``PYTHONPATH=tests python benchmarks/model_errors.py`` in an environment with torch and transformers.
"""

import tempfile
from collections import defaultdict
from pathlib import Path

from helpers.model_errors import forward_errors, gradient_error
from helpers.pretrained import CASES


def main() -> None:
    """Print a row for each family, with the largest error over its cases."""
    families = defaultdict(list)
    for case in CASES:
        families[case.config.removesuffix("Config")].append(case)
    print("| Configuration | Cases | Hidden states | Weights | Gradients |\n|---|---|---|---|---|")
    for family, cases in families.items():
        states, weights, gradients = [], [], []
        for case in cases:
            with tempfile.TemporaryDirectory() as folder:
                errors = forward_errors(case, Path(folder) / "forward")
                gradients.append(gradient_error(case, Path(folder) / "backward"))
            states.append(errors[0])
            weights.append(errors[1])
        names = ", ".join(case.name for case in cases)
        print(f"| {family} | {names} | {max(states):.1e} | {max(weights):.1e} | {max(gradients):.1e} |", flush=True)


if __name__ == "__main__":
    main()
