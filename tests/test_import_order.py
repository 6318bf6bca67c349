"""The order of the packages: each imports only from packages above it in the table of ARCHITECTURE.md."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import headwise

ROOT = Path(headwise.__file__).parent
TESTS = Path(__file__).parent
ORDER = [
    {"_startup", "_version", "errors", "hashing", "thresholds", "timing", "runtime"},
    {"files"},
    {"shapes", "representation", "jit", "validation", "progress"},
    {"parallel"},
    {"attention"},
    {"nn"},
    {"tokenizers"},
    {"metrics"},
    {"checker"},
    {"recorder"},
    {"models"},
    {"attribution"},
    {"data"},
    {"train"},
    {"text"},
    {"figures"},
    {"document"},
    {"explanation"},
    {"estimators"},
    {"experiments"},
    {"grading"},
    {"coursework"},
    {"benchmark"},
    {"testing"},
    {"installation"},
    {"web"},
    {"cli"},
]
RANK = {package: rank for rank, packages in enumerate(ORDER) for package in packages}
# the checker is as large as several packages together, and has an order of its own
CHECKER = [
    "user_code",
    "reference",
    "target",
    "arguments",
    "probes",
    "catalogue",
    "calling",
    "measurement",
    "search",
    "modules",
    "detection",
    "confirmation",
    "report",
    "judgement",
    "other_arguments",
    "core",
    "script",
    "loading",
    "diff",
]


def packages_imported(code: str, within: str = "headwise"):
    """The packages of Headwise that code imports, or those of one of its packages."""
    for node in ast.walk(ast.parse(code)):
        names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
        if isinstance(node, ast.ImportFrom) and node.module == "headwise":
            names = [home(name) for name in names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level < 2, f"line {node.lineno}: more than one dot can lead to another package"
            names = [node.module or ""] if not node.level else []
        for name in names:
            if name.startswith(f"{within}."):
                yield name.removeprefix(f"{within}.").split(".")[0]


def home(name: str):
    """The module that defines a name exported by the top-level package; the version has none."""
    return f"headwise.{name}" if name in RANK else getattr(getattr(headwise, name), "__module__", "headwise._version")


def test_every_way_to_import_is_seen():
    code = (
        "import headwise.nn.params, numpy\nfrom headwise import cli, jit as j, self_attention, __version__\n"
        "from headwise.web.app import x\nfrom .beside import y\n"
    )
    assert list(packages_imported(code)) == ["nn", "cli", "jit", "attention", "_version", "web"]
    with pytest.raises(AssertionError, match="line 1: more than one dot"):
        list(packages_imported("from ..cli import x"))


def modules(folder, package):
    """The files of a package, which may be a single module."""
    return [path for path in (folder / f"{package}.py", *sorted((folder / package).rglob("*.py"))) if path.exists()]


@pytest.mark.parametrize("package", sorted(RANK))
def test_imports_point_up(package):
    for path in modules(ROOT, package):
        for imported in packages_imported(path.read_text()):
            assert imported == package or RANK[imported] < RANK[package], f"{path} imports {imported}"


@pytest.mark.parametrize("package", CHECKER)
def test_imports_within_the_checker_point_up(package):
    for path in modules(ROOT / "checker", package):
        for imported in packages_imported(path.read_text(), "headwise.checker"):
            assert CHECKER.index(imported) <= CHECKER.index(package), f"{path} imports {imported}"


def test_every_package_has_a_rank():
    packages = {p.name.removesuffix(".py") for p in ROOT.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert packages - {"__init__", "__main__"} <= set(RANK)
    parts = {path.name.removesuffix(".py") for path in (ROOT / "checker").iterdir() if path.name[0] != "_"}
    assert parts == set(CHECKER)


def private_names(code: str):
    """The private names that code imports from Headwise."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("headwise."):
            yield from (alias.name for alias in node.names if alias.name.startswith("_"))


def test_tests_import_public_names_only():
    assert list(private_names("from headwise.nn import _a, b\nfrom headwise import __version__")) == ["_a"]
    assert {str(path): names for path in TESTS.rglob("*.py") if (names := [*private_names(path.read_text())])} == {}


def test_importing_headwise_brings_numpy_and_little_else():
    heavy = "matplotlib", "numba", "scipy", "typer", "rich", "mlxtend", "sklearn", "PIL", "safetensors", "torch"
    code = f"import sys, headwise; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_modules_of_attention_can_be_imported_by_their_dotted_names():
    import headwise.attention.cluster as cluster  # a module that `import headwise` leaves out
    import headwise.attention.functional as functional

    assert functional.attention is headwise.attention
    assert cluster.__name__ == "headwise.attention.cluster"
