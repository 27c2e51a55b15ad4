"""What one table teaches the next: kernels and means for Gaussian processes."""

from nagjax.transfer.base import Source
from nagjax.transfer.base import Transfer
from nagjax.transfer.fitting import Config
from nagjax.transfer.fitting import fit
from nagjax.transfer.fitting import likelihood
from nagjax.transfer.matching import matched
from nagjax.transfer.sources import Table
from nagjax.transfer.sources import check_table
from nagjax.transfer.sources import check_usable
from nagjax.transfer.sources import read_table
from nagjax.transfer.store import find
from nagjax.transfer.store import load
from nagjax.transfer.store import save
from nagjax.transfer.store import shipped_names

__all__ = [
  "Config",
  "Source",
  "Table",
  "Transfer",
  "check_table",
  "check_usable",
  "find",
  "fit",
  "likelihood",
  "load",
  "matched",
  "read_table",
  "save",
  "shipped_names",
]
