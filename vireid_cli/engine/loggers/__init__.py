"""Loggers of trainings (``train.loggers``): TensorBoard, MLflow and wandb beside ``train.jsonl``.

``train.jsonl`` is the record of a training; loggers receive copies of its rows in threads of their own. A
logger that fails is reported once and dropped, and the training continues. Without loggers none of this is
imported or run.
"""
