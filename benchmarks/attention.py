"""The table of docs/engine.md: every line side by side, `python benchmarks/attention.py`. Run it on a quiet machine."""

import argparse

from headwise.benchmark.run import LONG_WORKLOADS, WORKLOADS, bench


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help="also 16,384 tokens")
    parser.add_argument("--only", default="", help="lines whose shape and name hold this")
    arguments = parser.parse_args()
    work = [
        w for w in (*WORKLOADS, *(LONG_WORKLOADS if arguments.long else ())) if arguments.only in f"{w.shape} {w.name}"
    ]
    found = bench(work)
    print(found.machine)
    print(
        "| (B, H, N, d) | work | headwise | NumPy only | torch | torch / headwise | torch / NumPy only | of the limit |"
    )
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for timing in found.timings:
        seconds = [f"{timing.seconds[name] * 1e3:.2f} ms" for name in ("headwise", "numpy", "torch")]
        ratios = [f"{timing.ratio('torch', to):.2f}" for to in ("headwise", "numpy")]
        print(
            "|",
            " | ".join(
                [str(timing.workload.shape), timing.workload.name, *seconds, *ratios, f"{timing.fraction_of_peak:.0%}"]
            ),
            "|",
        )


if __name__ == "__main__":
    main()
