"""Predictors: surrogates of an objective that live inside compiled searches."""

from nagjax.predictors import fitting
from nagjax.predictors import gaussian_process

__all__ = ["fitting", "gaussian_process"]
