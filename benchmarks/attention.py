"""The tables of docs/engine.md in Markdown, from files that `headwise bench --json` wrote."""

import argparse
import json
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    for path in parser.parse_args().files:
        result = json.loads(path.read_text())
        machine = result["machine"]
        print(f"\n{machine['cpu']} ({machine['kind']}), {machine['libraries']}")
        print(f"products {machine['products']:.3g}/s, BLAS {machine['blas']:.3g}/s", end="")
        print(f", memory {machine['bandwidth']:.3g} B/s\n")
        print("| B×H×N×d | work | headwise | NumPy only | fastest peer | ratio | of the limit |")
        print("|---|---|---:|---:|---:|---:|---:|")
        for timing in result["timings"]:
            seconds, peer = timing["seconds"], timing["fastest_peer"]
            cells = [f"{seconds[name] * 1e3:.2f}" for name in ("headwise", "numpy")]
            if peer is not None:
                cells.append(f"{seconds[peer] * 1e3:.2f} {peer}")
            ratio = "–" if timing["ratio"] is None else f"{timing['ratio']:.2f}"
            row = [timing["label"], timing["name"], *cells, ratio, f"{timing['fraction_of_limit']:.0%}"]
            print("|", " | ".join(row), "|")


if __name__ == "__main__":
    main()
