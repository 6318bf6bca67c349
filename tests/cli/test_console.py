"""What commands print on terminals of any width."""

import pytest

from headwise.cli import console
from headwise.document import Table


@pytest.mark.parametrize(("width", "headers"), [(30, 4), (45, 2), (100, 1)])
def test_numbers_of_a_table_are_never_divided(width, headers, monkeypatch, capsys):
    rows = [("rFF + mean", "16,833", "29.5490", "2.13 ± 0.19", "7e-07"), ("SAB", "37,953", "21.6175", "–", "6e-07")]
    monkeypatch.setattr(console, "output", console.Console(width=width, highlight=False, markup=False))
    console.print_table(Table("A table.", ("model", "parameters", "mean", "paper", "order"), tuple(rows), "name"))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert sum(line.startswith("model ") for line in lines) == headers
    for row in rows:
        assert all(any(line.startswith(row[0]) and cell in line for line in lines) for cell in row)


def test_a_narrow_terminal_hides_nothing(monkeypatch, capsys):
    cells = ("scrambled-7x7", "64 × 49 + 64 = 3,200", "no difference shown")
    monkeypatch.setattr(console, "output", console.Console(width=30, highlight=False, markup=False))
    console.print_table(Table("A table.", ("tokenizer", "embedding", "verdict"), (cells,), "name"))
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert all(letter in shown for letter in "".join(cells).replace(" ", ""))
