"""What is installed and on which processor it runs; needs NumPy alone, so that it can report what is missing."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from importlib import metadata

import numpy as np

from headwise._version import __version__
from headwise.jit import numba_available
from headwise.parallel.threads import num_threads
from headwise.runtime import blas_name, cpu_name, library_version

__all__ = ["EXTRAS", "Extra", "Installation", "inspect_installation", "installation_text"]

EXTRAS = {
    "lab": "figures, captions, reports, training and the command line",
    "fast": "the compiled engine",
    "models": "loading models: safetensors, GGUF, tokenizers",
    "onnx": "capturing the attention of ONNX models",
    "series": "the experiments on time series",
    "web": "headwise serve",
    "cluster": "several processes or a Dask cluster",
}
_OPTIONAL = ("torch", "transformers")  # belong to the user; used if they are installed


@dataclass(frozen=True)
class Extra:
    """An optional set of libraries.

    Attributes
    ----------
    purpose : str
    libraries : dict of str to str
        Versions of those that are installed.
    missing : tuple of str
        Requirements that are not installed.
    install : str
        The command that installs the extra.
    """

    purpose: str
    libraries: dict[str, str]
    missing: tuple[str, ...]
    install: str


@dataclass(frozen=True)
class Installation:
    """Versions, processor and optional libraries.

    Attributes
    ----------
    versions : dict of str to str
        Of Headwise, Python, the core's libraries, and torch and transformers if they are installed.
    system, processor : str
    float32_lanes : int or None
        Numbers of type float32 in one vector of the compiled engine; None without numba.
    simd : tuple of str
        Instruction sets that NumPy uses on this processor.
    threads : int
        Cores that this process may use.
    blas : str
        NumPy's BLAS, its version and kernels.
    extras : dict of str to Extra
        Empty if Headwise is not installed as a package, which has the list of their libraries.
    """

    versions: dict[str, str]
    system: str
    processor: str
    float32_lanes: int | None
    simd: tuple[str, ...]
    threads: int
    blas: str
    extras: dict[str, Extra]


def inspect_installation() -> Installation:
    """Inspect what is installed."""
    names = ("numpy", "threadpoolctl", *_OPTIONAL)
    libraries = {name: version for name in names if (version := library_version(name))}
    try:
        extras = {name: _extra(name, purpose) for name, purpose in EXTRAS.items()}
    except metadata.PackageNotFoundError:  # run from its source without being installed
        extras = {}
    versions = {"headwise": __version__, "python": platform.python_version(), **libraries}
    processor = cpu_name(), _float32_lanes(), _simd(), num_threads(), blas_name()
    return Installation(versions, platform.platform(), *processor, extras)


def installation_text(installation: Installation) -> str:
    """The installation as lines of text, with the command that installs each missing extra."""
    lanes = installation.float32_lanes
    vectors = f"{lanes} float32 lanes" if lanes else "not compiled: numba is missing"
    lines = [
        *((name, version) for name, version in installation.versions.items()),
        ("system", installation.system),
        ("processor", f"{installation.processor}, {installation.threads} threads"),
        ("vectors", f"{vectors} (NumPy: up to {installation.simd[-1]})"),
        ("BLAS", installation.blas),
    ]
    if not installation.extras:
        lines.append(("extras", "unknown: headwise is not installed as a package"))
    for name, extra in installation.extras.items():
        missing = f"missing {', '.join(extra.missing)}: {extra.install}" if extra.missing else "installed"
        lines.append((f"[{name}]", f"{missing} ({extra.purpose})"))
    return "\n".join(f"{name:<15}{value}" for name, value in lines)


def _extra(name: str, purpose: str) -> Extra:
    installed, missing = {}, []
    for requirement in _requirements(name):
        library = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        if version := library_version(library):
            installed[library] = version
        else:
            missing.append(requirement)
    return Extra(purpose, installed, tuple(missing), f"pip install 'headwise[{name}]'")


def _requirements(extra: str) -> list[str]:
    """The requirements of an extra, from the metadata of the installed package."""
    requirements = (line.split(";") for line in metadata.requires("headwise") or [])
    marker = re.compile(rf"""extra\s*==\s*['"]{extra}['"]""")
    return [name.strip() for name, *conditions in requirements if marker.search("".join(conditions))]


def _simd() -> tuple[str, ...]:
    config = np.show_config(mode="dicts")
    extensions = config.get("SIMD Extensions", {}) if config else {}
    names = (*extensions.get("baseline", ()), *extensions.get("found", ()))
    return names or ("unknown",)


def _float32_lanes() -> int | None:
    if not numba_available():
        return None
    from headwise.attention.compiled.simd import num_lanes

    return int(num_lanes.py_func(np.empty(0, np.float32)))
