"""Training: tasks, the loop, the optimizer, augmentation and checkpoints."""

from headwise.train.adamw import AdamW, adamw_step, clip_norm, weight_decay_mask
from headwise.train.checkpoint import (
    PRETRAINED,
    Checkpoint,
    load_arrays,
    load_vit,
    pretrained_vit,
    save_arrays,
    save_vit,
)
from headwise.train.config import TrainingConfig
from headwise.train.digits import Evaluation, digits_task, evaluate, shift_and_rotate, train_vit
from headwise.train.loop import Epoch, ShardGradients, Task, Trainer, TrainingResult, ValidationResult, train
from headwise.train.run import TrainingRun, train_into
from headwise.train.series import (
    MaskedPredictionTask,
    SeriesEvaluation,
    evaluate_series,
    geometric_masks,
    predict_series,
    series_task,
)
from headwise.train.sets import MAX_SET_SIZE, MAX_VALUE, MaximumTask, Sets, draw_sets, mean_absolute_error
from headwise.train.supervised import Examples, Supervised, predict_batched, supervised_loss

__all__ = [
    "MAX_SET_SIZE",
    "MAX_VALUE",
    "PRETRAINED",
    "AdamW",
    "Checkpoint",
    "Epoch",
    "Evaluation",
    "Examples",
    "MaskedPredictionTask",
    "MaximumTask",
    "SeriesEvaluation",
    "Sets",
    "ShardGradients",
    "Supervised",
    "Task",
    "Trainer",
    "TrainingConfig",
    "TrainingResult",
    "TrainingRun",
    "ValidationResult",
    "adamw_step",
    "clip_norm",
    "digits_task",
    "draw_sets",
    "evaluate",
    "evaluate_series",
    "geometric_masks",
    "load_arrays",
    "load_vit",
    "mean_absolute_error",
    "predict_batched",
    "predict_series",
    "pretrained_vit",
    "save_arrays",
    "save_vit",
    "series_task",
    "shift_and_rotate",
    "supervised_loss",
    "train",
    "train_into",
    "train_vit",
    "weight_decay_mask",
]
