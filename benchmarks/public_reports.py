"""What the checker says about public reports: ``PYTHONPATH=tests python benchmarks/public_reports.py > docs/wild.md``.

With a folder as argument, the verdicts on the functions and classes of its files instead. About two minutes; torch is
needed for the modules.
"""

from __future__ import annotations

import ast
import statistics
import sys
from importlib.util import find_spec
from pathlib import Path

from wild.reports import Case, called_right_though_wrong, disagreement, judge, read_cases

HEAD = """# The checker on public code

Made by `PYTHONPATH=tests python benchmarks/public_reports.py > docs/wild.md`. The cases, in `tests/wild/cases/`, are
functions, classes and torch modules after public bug reports and public code, in the style of the source and in
our own words. A case counts as correct if the verdict holds exactly the mistakes that are there (none for right code),
calls it right or wrong accordingly, and reports the conventions that the code follows. Each report is one line below;
"variant" marks a mistake that was put into code that is right in the source.
"""
KINDS = {False: "NumPy functions and classes", True: "torch functions and modules"}


def main() -> None:
    if sys.argv[1:]:
        show_folder(Path(sys.argv[1]))
        return
    cases = [case for case in read_cases() if find_spec("torch") or not case.needs_torch]
    results = {case: judge(case) for case in cases}
    print(HEAD)
    print_summary(results)
    print("\n## Reports\n\n| report | what it is about | code | there is | verdict | |\n|---|---|---|---|---|---|")
    for case, (verdict, said, _) in results.items():
        mark = "" if not disagreement(case, verdict, said) else "✗"
        mistakes = ", ".join(f"`{code}`" for code in case.expected.get("mistakes", [])) or "nothing wrong"
        label = f"[{case.source.split(' ')[0].removeprefix('https://')}]({case.link})"
        variant = " (variant)" * bool(case.expected.get("variant"))
        print(f"| {label} | {case.story} | `{case.name}`{variant} | {mistakes} | {in_words(verdict)} | {mark} |")


def print_summary(results: dict) -> None:
    print("| | cases | correct | wrong code called right | right code called wrong | refused | median time | longest |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for needs_torch, label in KINDS.items():
        for wrong in (True, False):
            group = {
                case: result
                for case, result in results.items()
                if case.needs_torch == needs_torch and bool(case.expected.get("mistakes")) == wrong
            }
            if group:
                print(summary_row(f"{label}, {'wrong' if wrong else 'right'}", group))
    print(summary_row("**all**", results))


def summary_row(label: str, group: dict) -> str:
    correct = sum(not disagreement(case, verdict, said) for case, (verdict, said, _) in group.items())
    missed = sum(called_right_though_wrong(case, verdict) for case, (verdict, _, _) in group.items())
    accused = sum(
        not case.expected.get("mistakes") and verdict is not None and not verdict.ok
        for case, (verdict, _, _) in group.items()
    )
    refused = sum(verdict is None for verdict, _, _ in group.values())
    times = [seconds for *_, seconds in group.values()]
    counts = f"{len(group)} | {correct} ({correct / len(group):.0%}) | {missed} | {accused} | {refused}"
    return f"| {label} | {counts} | {statistics.median(times):.2f} s | {max(times):.1f} s |"


def in_words(verdict) -> str:
    if verdict is None:
        return "refused"
    mistakes = ", ".join(f"`{code}`" for code in verdict.mistakes) if not verdict.ok else "right"
    besides = [f"hazard `{code}`" for code in verdict.hazards] + list(verdict.conventions)
    return mistakes + (f"; {', '.join(besides)}" if besides else "")


def show_folder(folder: Path) -> None:
    """The verdict on every public function and class of a folder of examples without ``EXPECT``."""
    for path in sorted(folder.glob("*.py")):
        tree = ast.parse(path.read_text())
        print(f"{path.name}: {' '.join((ast.get_docstring(tree) or '').split())}")
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith(("_", "adapter")):
                continue
            verdict, said, seconds = judge(Case(path.stem, node.name), folder)
            print(f"    {node.name}: {in_words(verdict)} ({seconds:.1f} s) {' '.join(said.split())[:110]}")


if __name__ == "__main__":
    main()
