"""How well the checker names mistakes: ``PYTHONPATH=tests python benchmarks/checker.py > docs/planted.md``.

Every entry of the catalogue in every style that has a place for it, every correct function, random sets of two, three
and four mistakes, functions that nothing explains, and the public reports. Some ten minutes.
"""

from __future__ import annotations

import platform
import time
from collections import defaultdict
from importlib.util import find_spec
from statistics import median

import headwise as hw
from headwise.checker import CATALOGUE
from planted import correct, mutants, pairs, unexplained
from public_reports import print_summary
from wild.reports import judge, read_cases

HEAD = """# How well the checker names mistakes

Made by `PYTHONPATH=tests python benchmarks/checker.py > docs/planted.md`. The functions are those of `tests/planted/`:
every entry of the catalogue written in up to four styles (matrix products, loops, einsum, tokens as columns) and as up
to three kinds of function (self-attention, multi-head, attention of q, k and v); correct functions in the same styles,
presented in different ways, and unusual algorithms; random sets of mistakes in one function, less those of which
one leaves nothing for the other to show on (`tests/planted/pairs.py` lists them); and functions that no entry explains.
"Named" means that the verdict holds exactly the planted mistakes and nothing else.
"""
SETS = {2: 300, 3: 60, 4: 30}
WORDS = {2: "two", 3: "three", 4: "four"}


def timed(function, **options):
    began = time.process_time()
    verdict = hw.check(function, **options)
    return verdict.mistakes + verdict.hazards, time.process_time() - began


def planted(style, kind, codes):
    return timed(mutants.plant(style, kind, codes), weights="out-in", mask="attends")


def singles():
    """For each code, whether it is named, and the time, in every style and kind."""
    results = defaultdict(list)
    for kind, codes in mutants.CODES.items():
        special = mutants.SPECIAL.get(kind, [])
        for style in mutants.STYLES:
            for code in (*codes, *special):
                if style == "columns" and (kind == "attention" or code in special):
                    continue
                mistakes, seconds = planted(style, kind, [code])
                results[code].append((mistakes == (code,), seconds))
    return results


def row(what, good, verb, times):
    print(f"| {what} | {len(times)} | {good} {verb} | {median(times):.2f} s | {max(times):.1f} s |")


def main():
    print(HEAD)
    print("| what | functions | as they should be | median time | longest |\n|---|---:|---:|---:|---:|")
    each = singles()
    outcomes = [outcome for results in each.values() for outcome in results]
    row("one mistake planted", sum(named for named, _ in outcomes), "named", [seconds for _, seconds in outcomes])
    functions = list(correct.everything())
    checked = {name: timed(function) for name, function in functions}
    accused = {name: mistakes for name, (mistakes, _) in checked.items() if mistakes}
    row("correct", len(functions) - len(accused), "not accused", [seconds for _, seconds in checked.values()])
    missed = []
    for size, count in SETS.items():
        sets = pairs.random_pairs(count, seed=4242, size=size)
        verdicts = [planted(style, kind, codes) for style, kind, *codes in sets]
        wrong = [(*s, mistakes) for s, (mistakes, _) in zip(sets, verdicts, strict=True) if {*mistakes} != {*s[2:]}]
        missed += wrong
        row(f"{WORDS[size]} mistakes planted", count - len(wrong), "named all", [seconds for _, seconds in verdicts])
    verdicts = [timed(function) for function in unexplained.FUNCTIONS]
    unnamed = sum(mistakes in (("unknown",), ("tokens-scrambled",)) for mistakes, _ in verdicts)
    row("nothing explains it", unnamed, "left unexplained", [seconds for _, seconds in verdicts])
    print(f"\nTimes are CPU seconds of one process on {platform.machine()}.\n")
    print("## Public reports\n\n[Functions and modules after public reports](wild.md), one line each there; in sum:\n")
    cases = [case for case in read_cases() if find_spec("torch") or not case.needs_torch]
    print_summary({case: judge(case) for case in cases})
    if accused:
        print("\n## Accused, and correct\n")
        print("\n".join(f"- {name}: {', '.join(mistakes)}" for name, mistakes in accused.items()))
    if missed:
        print("\n## Sets of which not all were named\n\n| style | kind | planted | named |\n|---|---|---|---|")
        for style, kind, *codes, mistakes in missed:
            print(f"| {style} | {kind} | {', '.join(codes)} | {', '.join(mistakes) or 'right'} |")
    print("\n## Each mistake\n\n| mistake | planted | named |\n|---|---:|---:|")
    for code in CATALOGUE:
        if code in each:
            print(f"| `{code}` | {len(each[code])} | {sum(named for named, _ in each[code])} |")


if __name__ == "__main__":
    main()
