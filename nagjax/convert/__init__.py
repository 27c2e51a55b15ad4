"""Converters: upstream benchmark files in, our `.npz` tables out.

One module an upstream format. Pickles are read by an unpickler that refuses
everything but numbers and containers; what a format needs beyond NumPy is
imported by the function that needs it.
"""

from nagjax.convert.nasbench201_pth import nasbench201_pth_file
from nagjax.convert.nasbench201_table import Table
from nagjax.convert.nasbench201_table import write_table
from nagjax.convert.naslib import naslib_pickles
from nagjax.convert.nats_bench import nats_bench_directory
from nagjax.convert.pickles import ConversionError

__all__ = [
  "ConversionError",
  "Table",
  "nasbench201_pth_file",
  "naslib_pickles",
  "nats_bench_directory",
  "write_table",
]
