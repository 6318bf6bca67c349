"""How well the checker names what was planted: ``PYTHONPATH=tests python benchmarks/checker.py > docs/checker.md``.

Every entry of the catalogue in every style that has a place for it, every correct function, and three hundred random
pairs. A few minutes.
"""

from __future__ import annotations

import platform
import time
from collections import defaultdict

import headwise as hw
from headwise.checker import CATALOGUE
from planted import correct, mutants, pairs

HEAD = """# How well the checker names mistakes

Made by `PYTHONPATH=tests python benchmarks/checker.py > docs/checker.md`. The functions are those of `tests/planted/`:
every entry of the catalogue written in up to four styles (matrix products, loops, einsum, tokens as columns) and as up
to three kinds of function (self-attention, multi-head, attention of q, k and v); correct functions in the same styles,
presented in different ways, and unusual algorithms; and random pairs of mistakes in one function, less those of which
one leaves nothing for the other to show on (`tests/planted/pairs.py` lists them). "Named" means that the verdict holds
exactly the planted mistakes and nothing else.
"""


def timed(function, weights="any", mask="any"):
    began = time.perf_counter()
    verdict = hw.check(function, weights=weights, mask=mask)
    mistakes = verdict.mistakes + verdict.hazards
    return mistakes, time.perf_counter() - began


def singles(times):
    found = defaultdict(list)
    for kind, codes in mutants.CODES.items():
        for style in mutants.STYLES:
            if style == "columns" and kind == "attention":
                continue
            for code in codes:
                mistakes, seconds = timed(mutants.plant(style, kind, [code]), "out-in", "attends")
                times.append(seconds)
                found[code].append(mistakes == (code,))
    return found


def two_at_once(times, count=300):
    missed = []
    for style, kind, *codes in pairs.random_pairs(count, seed=4242):
        mistakes, seconds = timed(mutants.plant(style, kind, codes), "out-in", "attends")
        times.append(seconds)
        if set(mistakes) != set(codes):
            missed.append((style, kind, codes, mistakes))
    return count, missed


def main():
    alone, right, both = [], [], []
    found = singles(alone)
    accused = []
    functions = list(correct.everything())
    for name, function in functions:
        mistakes, seconds = timed(function)
        right.append(seconds)
        if mistakes:
            accused.append((name, mistakes))
    count, missed = two_at_once(both)

    print(HEAD)
    print("| what | functions | as they should be | longest check |")
    print("|---|---:|---:|---:|")
    planted, named = sum(map(len, found.values())), sum(map(sum, found.values()))
    print(f"| one mistake planted | {planted} | {named} named | {max(alone):.1f} s |")
    print(f"| correct | {len(functions)} | {len(functions) - len(accused)} not accused | {max(right):.1f} s |")
    print(f"| two mistakes planted | {count} | {count - len(missed)} named both | {max(both):.1f} s |")
    every = sorted(alone + right + both)
    print(f"\nMedian time of a check: {every[len(every) // 2]:.2f} s, in one process on {platform.machine()}.\n")
    if accused:
        print("Accused, and correct:\n")
        print("\n".join(f"- {name}: {', '.join(mistakes)}" for name, mistakes in accused))
    if missed:
        print("## Pairs of which not both were named\n\n| style | kind | planted | named |\n|---|---|---|---|")
        for style, kind, codes, mistakes in missed:
            print(f"| {style} | {kind} | {', '.join(codes)} | {', '.join(mistakes) or 'right'} |")
        print()
    print("## Each mistake\n\n| mistake | planted | named |\n|---|---:|---:|")
    for code in CATALOGUE:
        if code in found:
            print(f"| `{code}` | {len(found[code])} | {sum(found[code])} |")


if __name__ == "__main__":
    main()
