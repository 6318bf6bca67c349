"""How well the checker names mistakes: ``PYTHONPATH=tests python benchmarks/checker.py`` prints the tables of the docs.

Every correct function, functions that nothing explains, every entry of the catalogue in every style that has a place
for it, and random sets of two, three and four mistakes; ``none``, ``unexplained``, ``one``, ``two``, ``three`` and
``four`` choose some of these. Some five minutes. With ``--missed`` also what is not named in full.
"""

from __future__ import annotations

import platform
import sys
import time
from collections import defaultdict
from functools import partial
from statistics import median

import headwise as hw
from headwise.checker import CATALOGUE
from planted import correct, mutants, pairs, unexplained

SETS = {2: 200, 3: 50, 4: 40}
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
    parts = [part for part in sys.argv[1:] if not part.startswith("--")] or list(PARTS)
    print(f"Times are CPU seconds of one process on {platform.machine()}.\n")
    print("| planted | functions | as they should be | median time | longest |\n|---|---:|---:|---:|---:|")
    for part in parts:
        PARTS[part]()


def one_mistake():
    each = singles()
    outcomes = [outcome for results in each.values() for outcome in results]
    row("one mistake", sum(named for named, _ in outcomes), "named", [seconds for _, seconds in outcomes])
    for code in CATALOGUE if "--missed" in sys.argv else ():
        if not all(named for named, _ in each[code]):
            print(f"{code}: {sum(named for named, _ in each[code])} of {len(each[code])}")


def no_mistake():
    checked = {name: timed(function) for name, function in correct.everything()}
    accused = {name: mistakes for name, (mistakes, _) in checked.items() if mistakes}
    row("none", len(checked) - len(accused), "not accused", [seconds for _, seconds in checked.values()])
    if accused:
        print("\n".join(["\nAccused, and correct:\n", *(f"- {name}: {', '.join(m)}" for name, m in accused.items())]))


def several_mistakes(size):
    sets = pairs.random_pairs(SETS[size], seed=4242, size=size)
    verdicts = [planted(style, kind, codes) for style, kind, *codes in sets]
    wrong = [(*s, mistakes) for s, (mistakes, _) in zip(sets, verdicts, strict=True) if {*mistakes} != {*s[2:]}]
    row(f"{WORDS[size]} mistakes", len(sets) - len(wrong), "named in full", [seconds for _, seconds in verdicts])
    for style, kind, *codes, mistakes in wrong if "--missed" in sys.argv else ():
        print(f"{style}, {kind}: {', '.join(codes)}; named {', '.join(mistakes) or 'nothing'}")


def no_explanation():
    verdicts = [timed(function) for function in unexplained.FUNCTIONS]
    unnamed = sum(mistakes in (("unknown",), ("tokens-scrambled",)) for mistakes, _ in verdicts)
    row("what no entry explains", unnamed, "left unexplained", [seconds for _, seconds in verdicts])


PARTS = {"none": no_mistake, "unexplained": no_explanation, "one": one_mistake} | {
    word: partial(several_mistakes, size) for size, word in WORDS.items()
}


if __name__ == "__main__":
    main()
