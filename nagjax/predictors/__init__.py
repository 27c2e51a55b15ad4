"""Predictors: surrogates of an objective, in compiled searches or beside."""

from nagjax.predictors import boosted
from nagjax.predictors import ensembles
from nagjax.predictors import fitting
from nagjax.predictors import gaussian_process
from nagjax.predictors import noisy

__all__ = ["boosted", "ensembles", "fitting", "gaussian_process", "noisy"]
