"""Public reports as cases: reading them, checking them, and comparing the verdict with what is expected.

A case is a function or class in a file of `cases/`. The file's docstring says what is wrong and ends with the source;
its dict ``EXPECT`` maps each name to the expected verdict: ``mistakes`` (exactly these; none if it is right),
``hazards`` and ``conventions`` (among others), ``variant`` if a mistake was put into code that is right in the source.
"""

import importlib.util
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import headwise as hw
from headwise.errors import HeadwiseError

CASES = Path(__file__).parent / "cases"

# a short name for each convention, and how a verdict may put it
CONVENTIONS = {
    "in-out": r"in, ?out|in-out",
    "tokens-before-heads": r"tokens before heads|\(B, N, H, d\)|batch, tokens, heads",
    "tokens-first": r"tokens first|tokens before the batch|\(N, B, D\)",
    "columns": r"column",
    "causal": r"causal",
    "mask-hides": r"hid(es|den)|padding",
    "alibi": r"alibi|linear bias|position bias|relative position|falls with the distance",
    "position": r"position",
    "rope": r"rope|rotary",
    "qk-norm": r"qk-?norm|normali[sz]ed",
    "sink": r"sink|plus.one",
    "unscaled": r"without a scale",
}


@dataclass(frozen=True, eq=False)
class Case:
    """One function or class, and the verdict that is expected."""

    file: str
    name: str
    story: str = ""
    source: str = ""
    expected: dict = field(default_factory=dict)

    def __str__(self):
        return f"{self.file}:{self.name}"

    @property
    def needs_torch(self):
        """Whether the file imports torch."""
        return self.file.startswith("torch/")

    @property
    def link(self):
        """The source as an address."""
        if match := re.fullmatch(r"([\w.-]+/[\w.-]+)#(\d+)", self.source):
            return f"https://github.com/{match[1]}/issues/{match[2]}"
        return self.source.split(" ")[0] if "://" in self.source else f"https://github.com/{self.source.split(' ')[0]}"


def read_cases(folder=CASES):
    """Every case in a folder, without importing the files."""
    return [case for path in sorted(folder.rglob("*.py")) for case in _in_file(path, folder)]


def _in_file(path, folder):
    import ast

    tree = ast.parse(path.read_text())
    text = ast.get_docstring(tree) or ""
    story, _, source = text.partition("Source:")
    expected = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "EXPECT":
            expected = ast.literal_eval(node.value)
    name = path.relative_to(folder).as_posix().removesuffix(".py")
    return [Case(name, key, " ".join(story.split()), source.strip(), value) for key, value in expected.items()]


def load(case, folder=CASES):
    """The function or class itself."""
    name = f"wild_case_{re.sub(r'[^a-z0-9]', '_', case.file)}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, folder / f"{case.file}.py")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return getattr(sys.modules[name], case.name)


def judge(case, folder=CASES):
    """The verdict, None where the checker refuses with an error of its own; what it said; and the time that it took."""
    target = load(case, folder)
    began = time.process_time()
    try:
        verdict, said = hw.check(target), ""
    except HeadwiseError as error:
        verdict, said = None, str(error)
    return verdict, said, time.process_time() - began


def disagreement(case, verdict, said=""):
    """How the verdict differs from what is expected, in words; empty where it does not."""
    if verdict is None:
        return f"refused: {' '.join(said.split())[:100]}"
    wanted = case.expected.get("mistakes", [])
    hazards = verdict.hazards
    named = [code for code in verdict.mistakes if code not in hazards]
    if set(named) != set(wanted):
        return f"named {', '.join(named) or 'nothing'} for {', '.join(wanted) or 'nothing'}"
    if verdict.ok != (not wanted):
        return f"ok is {verdict.ok}"
    missing = [h for h in case.expected.get("hazards", []) if h not in hazards]
    words = " ".join((*verdict.conventions, *verdict.phrases))
    missing += [c for c in case.expected.get("conventions", []) if not re.search(CONVENTIONS[c], words, re.IGNORECASE)]
    return f"does not report {', '.join(missing)}" if missing else ""


def called_right_though_wrong(case, verdict):
    """The worst outcome: a wrong function that gets a clean verdict."""
    return bool(case.expected.get("mistakes")) and verdict is not None and verdict.ok
