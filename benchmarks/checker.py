"""How well the checker names mistakes: ``PYTHONPATH=tests python benchmarks/checker.py`` prints the tables of the docs.

Every entry of the catalogue in every style that has a place for it, every correct function, random sets of two, three
and four mistakes, functions that nothing explains, and the public reports. Some five minutes. With ``--missed`` also
the sets of which not all mistakes are named, and the counts for each entry.
"""

from __future__ import annotations

import platform
import sys
import time
from collections import defaultdict
from importlib.util import find_spec
from statistics import median

import headwise as hw
from headwise.checker import CATALOGUE
from planted import correct, mutants, pairs, unexplained
from public_reports import print_summary
from wild.reports import judge, read_cases

SETS = {2: 300, 3: 60, 4: 30}
WORDS = {2: "two", 3: "three", 4: "four"}
UNEXPLAINED = {"unknown", "tokens-scrambled"}


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
    print("| planted | functions | as they should be | median time | longest |\n|---|---:|---:|---:|---:|")
    each = singles()
    outcomes = [outcome for results in each.values() for outcome in results]
    row("one mistake", sum(named for named, _ in outcomes), "named", [seconds for _, seconds in outcomes])
    functions = list(correct.everything())
    checked = {name: timed(function) for name, function in functions}
    accused = {name: mistakes for name, (mistakes, _) in checked.items() if mistakes}
    row("none", len(functions) - len(accused), "not accused", [seconds for _, seconds in checked.values()])
    missed, explained = [], [seconds for _, seconds in outcomes]
    for size, count in SETS.items():
        sets = pairs.random_pairs(count, seed=4242, size=size)
        verdicts = [planted(style, kind, codes) for style, kind, *codes in sets]
        wrong = [(*s, mistakes) for s, (mistakes, _) in zip(sets, verdicts, strict=True) if {*mistakes} != {*s[2:]}]
        missed += wrong
        explained += [seconds for mistakes, seconds in verdicts if not UNEXPLAINED & {*mistakes}]
        row(f"{WORDS[size]} mistakes", count - len(wrong), "named in full", [seconds for _, seconds in verdicts])
    verdicts = [timed(function) for function in unexplained.FUNCTIONS]
    unnamed = sum(mistakes in (("unknown",), ("tokens-scrambled",)) for mistakes, _ in verdicts)
    row("what no entry explains", unnamed, "left unexplained", [seconds for _, seconds in verdicts])
    slow = sum(seconds > 1 for seconds in explained)
    print(f"\nOf {len(explained)} planted functions that are explained, {slow} take more than a second.")
    print(f"Times are CPU seconds of one process on {platform.machine()}.\n")
    cases = [case for case in read_cases() if find_spec("torch") or not case.needs_torch]
    print_summary({case: judge(case) for case in cases})
    if accused:
        print("\n".join(["\nAccused, and correct:\n", *(f"- {name}: {', '.join(m)}" for name, m in accused.items())]))
    if "--missed" in sys.argv:
        print_missed(missed, each)


def print_missed(missed, each):
    print("\n| style | kind | planted | named |\n|---|---|---|---|")
    for style, kind, *codes, mistakes in missed:
        print(f"| {style} | {kind} | {', '.join(codes)} | {', '.join(mistakes) or 'right'} |")
    print("\n| mistake | planted | named |\n|---|---:|---:|")
    for code in CATALOGUE:
        if code in each:
            print(f"| `{code}` | {len(each[code])} | {sum(named for named, _ in each[code])} |")


if __name__ == "__main__":
    main()
