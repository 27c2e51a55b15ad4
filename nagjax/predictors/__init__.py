"""Predictors: surrogates of an objective that live inside compiled searches."""

from nagjax.predictors import ensembles
from nagjax.predictors import fitting
from nagjax.predictors import gaussian_process

__all__ = ["ensembles", "fitting", "gaussian_process"]
