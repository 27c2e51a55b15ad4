"""Predictors: surrogates of an objective that live inside compiled searches."""

from nagjax.predictors import gaussian_process

__all__ = ["gaussian_process"]
