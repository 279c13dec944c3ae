"""Helpers that are not part of training a model: files, checkpoints, pictures; `utils.data` under PyTorch's path."""


def __getattr__(name: str):
    if name in ("checkpoint", "data"):
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module 'taeda.utils' has no attribute {name!r}")
