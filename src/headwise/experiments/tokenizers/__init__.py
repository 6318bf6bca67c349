"""The tokenizer experiment: the same transformer trained with several ways of cutting an image into tokens."""

from headwise.experiments.protocol import Experiment
from headwise.experiments.tokenizers import findings, plots, run, tables
from headwise.experiments.tokenizers.plan import TokenizersPlan
from headwise.experiments.tokenizers.result import PairedComparison, TokenizerResult, TokenizersResult
from headwise.experiments.tokenizers.run import list_runs

__all__ = ["EXPERIMENT", "PairedComparison", "TokenizerResult", "TokenizersPlan", "TokenizersResult", "list_runs"]

EXPERIMENT = Experiment("tokenizers", "Tokenizers compared", run.run, findings.findings, tables.tables, plots.figures)
