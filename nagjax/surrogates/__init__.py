"""Surrogates: what a search believes, fitted to what it has paid for."""

from nagjax.surrogates import boosted
from nagjax.surrogates import coreset
from nagjax.surrogates import ensemble
from nagjax.surrogates import fitting
from nagjax.surrogates import fixed
from nagjax.surrogates import gaussian_process
from nagjax.surrogates import guide_files
from nagjax.surrogates import meta
from nagjax.surrogates import noise_aware
from nagjax.surrogates.base import Surrogate

__all__ = [
  "Surrogate",
  "boosted",
  "coreset",
  "ensemble",
  "fitting",
  "fixed",
  "gaussian_process",
  "guide_files",
  "meta",
  "noise_aware",
]
