"""Install the wheel into clean environments, run each extra, and measure its size: ``make check-dist``.

Every Python that is named or on the path is tried with the oldest NumPy and with the newest; the extras, one
environment for each, with one Python. Finally the sdist is unpacked, and its tests are collected and some of them run
from there.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PYTHONS = ("python3.11", "python3.12", "python3.13", "python3.14")
OLDEST_NUMPY = {11: "2.0", 12: "2.0", 13: "2.1", 14: "2.3"}  # of each Python 3, the first from 2.0 on with a wheel
SECONDS = 1200  # for one command

CORE = """
import subprocess, sys
import numpy as np
import headwise as hw
from headwise.__main__ import main
from headwise.testing import assert_attention
q, k, v = np.random.default_rng(0).normal(size=(3, 2, 7, 5))
o, cache = hw.attention_forward(q, k, v, causal=True)
assert [g.shape for g in hw.attention_backward(np.ones_like(o), cache)] == [q.shape] * 3
s = np.where(np.tri(7, dtype=bool), q @ k.swapaxes(1, 2) / np.sqrt(5), -np.inf)
p = np.exp(s - s.max(-1, keepdims=True))
np.testing.assert_allclose(o, p / p.sum(-1, keepdims=True) @ v, atol=1e-12)
assert assert_attention(hw.self_attention).ok
sys.argv = ["headwise", "doctor"]
assert main() == 0
"""
SMOKE = {  # extras of one environment: a program that uses them
    "lab": """
import headwise as hw
from headwise.cli import application
from headwise.data.mnist import load_bundled_mnist
from headwise.estimators import TransformerClassifier
from sklearn.datasets import load_iris
from typer.testing import CliRunner
X, y = load_iris(return_X_y=True)
TransformerClassifier(d_model=8, n_layers=1, n_heads=2, max_iter=2).fit(X, y)
from headwise.train.checkpoint import pretrained_vit
hw.explain(pretrained_vit(), load_bundled_mnist().validation.images[0])
for command in (["attend", "--heads", "3"], ["doctor", "--json"], ["check", "--help"]):
    assert CliRunner().invoke(application(), command, catch_exceptions=False).exit_code == 0
""",
    "fast": """
import numpy as np
import headwise as hw
q, k, v = np.random.default_rng(0).normal(size=(3, 2, 97, 8)).astype(np.float32)
one, other = (hw.attention(q, k, v, engine=engine) for engine in ("compiled", "dense"))
np.testing.assert_allclose(one, other, atol=1e-5)
""",
    "models": """
from pathlib import Path
import numpy as np
import headwise as hw, headwise.models.files.gguf_files, headwise.models.preprocess.texts
model = hw.load(Path(hw.__file__).parent / "models/weights/vit-mnist-7x7.safetensors")
assert len(hw.capture(model, pixel_values=np.zeros((1, 1, 28, 28), np.float32)).layers) == 4
""",
    "onnx": """
import numpy as np, onnx
from onnx import TensorProto, helper
import headwise as hw
shape, nodes = (2, 3, 5, 4), [
    helper.make_node("Transpose", ["k"], ["t"], perm=[0, 1, 3, 2]), helper.make_node("MatMul", ["q", "t"], ["s"]),
    helper.make_node("Softmax", ["s"], ["p"], axis=-1), helper.make_node("MatMul", ["p", "v"], ["o"])]
inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "qkv"]
graph = helper.make_graph(nodes, "a", inputs, [helper.make_tensor_value_info("o", 1, shape)])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), "a.onnx")
arrays = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
assert hw.capture("a.onnx", **dict(zip("qkv", arrays))).layers[0].weights().shape == (2, 3, 5, 5)
""",
    "series": """
from headwise.data.series import bundled_series, load_series
assert load_series(bundled_series()[0]).train.x.ndim == 3
""",
    "cluster": """
from functools import partial
from headwise.parallel.tasks import run_tasks
if __name__ == "__main__":
    assert dict(run_tasks({"a": partial(pow, 2, 3), "b": partial(pow, 3, 2)}, processes=2)) == {"a": 8, "b": 9}
""",
    "web,lab": """
from headwise.train.checkpoint import PRETRAINED, pretrained_vit
from headwise.web.app import application
application({name: pretrained_vit(name) for name in PRETRAINED})
""",
    "lab,fast": "import headwise.cli, numba",
    "all": """
import subprocess, sys
import headwise.cli, aeon, dask, gguf, numba, onnxruntime, starlette, tokenizers
for study in (
    "tokenizers --tokenizers 14x14,28x28 --seeds 2 --epochs 1",
    "faithfulness --count 2 --players 4 --maps rollout,AttnLRP",
    "series --seeds 2 --epochs 1 --pretrain-epochs 1 --width 8 --heads 2 --depth 1 --no-baselines",
    "sets --seeds 1 --steps 20",
    "tables wine --seeds 1",
):
    subprocess.run([sys.executable, "-m", "headwise", "study", *study.split()], check=True)
""",
}


def run(*command: str | Path, cwd: Path) -> str:
    """The output of a command, run without this environment's packages; an error stops the script."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    result = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, cwd=cwd, env=environment, timeout=SECONDS
    )
    if result.returncode:
        sys.exit(f"{' '.join(map(str, command))[:300]}\n{result.stdout}{result.stderr}")
    return result.stdout


def interpreter(name: str) -> str | None:
    """The path of an interpreter that runs; those of pyenv come first, as its shims run only the selected version."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    folders = [*map(str, sorted(pyenv.glob("versions/*/bin"))), os.environ["PATH"]]
    path = shutil.which(name, path=os.pathsep.join(folders))
    return path if path and not subprocess.run([path, "--version"], capture_output=True).returncode else None


def megabytes(folder: Path, *, bytecode: bool = False) -> float:
    """Size of the files in a folder, with or without the bytecode that Python caches."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files if bytecode or path.suffix != ".pyc") / 1e6


def environment(python: str, requirements: list[str], program: str, folder: Path) -> dict[str, object]:
    """Make an environment, install into it, run the program, and return its versions and size."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run(python, "-m", "venv", folder / "venv", cwd=folder)
    executable = folder / "venv" / "bin" / "python"
    packages = Path(run(executable, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    before = megabytes(packages), megabytes(packages, bytecode=True)
    run(executable, "-m", "pip", "install", "-q", *requirements, cwd=folder)
    sizes = megabytes(packages) - before[0], megabytes(packages, bytecode=True) - before[1]
    (folder / "smoke.py").write_text(program, encoding="utf-8")
    run(executable, "smoke.py", cwd=folder)
    versions = "import sys, numpy; print(sys.version.split()[0], numpy.__version__)"
    found_python, found_numpy = run(executable, "-c", versions, cwd=folder).split()
    without, with_bytecode = map(round, sizes)
    return {"python": found_python, "numpy": found_numpy, "megabytes": without, "with_bytecode": with_bytecode}


def check_sdist(sdist: Path, python: str, folder: Path) -> None:
    """Install the unpacked sdist with what its tests need, collect all of them, and run those of core and pages."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run("tar", "-xzf", sdist, cwd=folder)
    source = next(path for path in folder.iterdir() if path.is_dir())
    run(python, "-m", "venv", folder / "venv", cwd=folder)
    executable = folder / "venv" / "bin" / "python"
    run(executable, "-m", "pip", "install", "-q", f"{source}[all,dev]", "-c", source / "constraints.txt", cwd=folder)
    run(executable, "-m", "pytest", "--collect-only", "-q", cwd=source)
    some = (
        "tests/attention",
        "tests/metrics",
        "tests/estimators",
        "tests/test_readme.py",
        "tests/test_import_order.py",
    )
    print(run(executable, "-m", "pytest", "-m", "not parity", *some, cwd=source).splitlines()[-1], flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dist", type=Path, help="folder with the wheel and the sdist")
    parser.add_argument("--python", nargs="+", default=PYTHONS, help="interpreters; those that are missing are skipped")
    parser.add_argument("--extras", nargs="+", choices=SMOKE, default=SMOKE, help="all of them by default")
    parser.add_argument("--only", choices=("core", "extras", "sdist"), help="one part of the check")
    arguments = parser.parse_args()
    wheel, sdist = (next(arguments.dist.resolve().glob(pattern)) for pattern in ("*.whl", "*.tar.gz"))
    paths = {name: interpreter(name) for name in arguments.python}
    pythons = [path for path in paths.values() if path]
    if not pythons:
        sys.exit(f"no interpreter: none of {', '.join(arguments.python)} runs here")
    print("missing:", ", ".join(name for name, path in paths.items() if not path) or "none", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "environment"
        if arguments.only in (None, "core"):
            for python in pythons:
                minor = int(run(python, "-c", "import sys; print(sys.version_info.minor)", cwd=Path(scratch)))
                for numpy in (f"numpy=={OLDEST_NUMPY[minor]}.*", "numpy"):
                    row = environment(python, [str(wheel), numpy, "--only-binary=numpy"], CORE, folder)
                    print(json.dumps({"extra": "", **row}), flush=True)
        if arguments.only in (None, "extras"):
            for extra in arguments.extras:
                row = environment(pythons[0], [f"{wheel}[{extra}]"], SMOKE[extra], folder)
                print(json.dumps({"extra": extra, **row}), flush=True)
        if arguments.only in (None, "sdist"):
            check_sdist(sdist, pythons[0], folder)


if __name__ == "__main__":
    main()
