"""Converts benchmark files as their authors publish them into our tables.

  python -m experiments.convert --format=nats-bench \\
    --source=NATS-tss-v1_0-3ffb9-simple --output=nb201.npz

Formats: `nats-bench` (the unpacked directory of the topology space),
`nasbench201-pth` (`NAS-Bench-201-v1_*.pth`, needs PyTorch) and `naslib` (one or
more pickles, `--source` repeated; `--order` names a `meta.pickle.pbz2` or a
table that gives the official order of the rows).

Exit codes: 0; 2 for anything the user can mend, with one line on stderr; 130
after an interruption. The output file exists only if the conversion succeeded.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import importlib.util
import os
import pathlib
import signal
import sys

from absl import flags
import numpy as np

from experiments import common
from experiments.common import UsageError
from experiments.common import terminate as _terminate
from nagjax.convert import ConversionError
from nagjax.convert import Table
from nagjax.convert import nasbench201_pth_file
from nagjax.convert import naslib_pickles
from nagjax.convert import nats_bench_directory
from nagjax.convert import write_table

FORMATS = ("nats-bench", "nasbench201-pth", "naslib")


def main(argv: Sequence[str]) -> int:
  """Runs the binary.

  Args:
    argv: the command line, program name first.

  Returns:
    The exit code.
  """
  return common.run_main(lambda: _run(argv), ConversionError)


def _run(argv: Sequence[str]) -> None:
  values = _define_flags()
  rest = values(list(argv))[1:]
  if values.help:
    print(f"{__doc__}\nFlags:\n{values.get_help()}")
    return
  _check_flags(values, rest)
  sources = [pathlib.Path(source) for source in values.source]
  print(f"Reading {', '.join(map(str, sources))}", flush=True)
  with _progress() as progress_fn:
    table = _convert(values, sources, progress_fn)
  write_table(table, values.output)
  for line in describe(table, values.output):
    print(line)


def _define_flags() -> flags.FlagValues:
  """This binary's flags, apart from those of other binaries in the process."""
  values = flags.FlagValues()
  flags.DEFINE_enum(
    "format", None, FORMATS, "Format of the source.", flag_values=values
  )
  flags.DEFINE_multi_string(
    "source",
    [],
    "File or directory to convert; repeat it for naslib.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "output", None, "The .npz file to write.", flag_values=values
  )
  flags.DEFINE_string(
    "order",
    None,
    "naslib only: meta.pickle.pbz2, or a .npz with arch_str, that gives the"
    " official order of the rows; without it they follow the space's index.",
    flag_values=values,
  )
  flags.DEFINE_boolean(
    "overwrite", False, "Replace an existing output.", flag_values=values
  )
  flags.DEFINE_boolean(
    "allow_missing",
    False,
    "Accept a source without some architectures; they become NaN.",
    flag_values=values,
  )
  flags.DEFINE_boolean("help", False, "Print this text.", flag_values=values)
  return values


def _check_flags(values: flags.FlagValues, rest: Sequence[str]) -> None:
  """Checks everything that can be checked before reading the source."""
  if rest:
    raise UsageError(f"Every argument is a flag, got {rest[0]!r}.")
  for name in ("format", "source", "output"):
    if not getattr(values, name):
      raise UsageError(f"--{name} is needed; see --help.")
  if values.format != "naslib" and len(values.source) > 1:
    raise UsageError(
      f"--format={values.format} takes one --source, got {len(values.source)}."
    )
  if values.format != "naslib" and values.order is not None:
    raise UsageError(
      f"--order is for --format=naslib; {values.format} has its own order."
    )
  inputs = [*values.source, *([values.order] if values.order else [])]
  for name in inputs:
    if not pathlib.Path(name).exists():
      raise UsageError(f"{name}: expected a source, got nothing of that name.")
  output = pathlib.Path(values.output)
  if output.suffix != ".npz":
    raise UsageError(f"--output must end in .npz, got {values.output}.")
  if not output.parent.is_dir():
    raise UsageError(f"{output.parent}: no such directory; create it first.")
  if not os.access(output.parent, os.W_OK):
    raise UsageError(f"{output.parent}: not writable; choose another --output.")
  if any(output.resolve() == pathlib.Path(i).resolve() for i in inputs):
    raise UsageError(f"{output} is a source; choose another --output.")
  if output.is_dir() or (output.exists() and not values.overwrite):
    raise UsageError(
      f"{output} exists; choose another --output or pass --overwrite."
    )


def _convert(
  values: flags.FlagValues,
  sources: Sequence[pathlib.Path],
  progress_fn: Callable[[int, int], None],
) -> Table:
  allow_missing = values.allow_missing
  if values.format == "naslib":
    return naslib_pickles(
      sources,
      order=values.order,
      allow_missing=allow_missing,
      progress_fn=progress_fn,
    )
  convert_fn = {
    "nats-bench": nats_bench_directory,
    "nasbench201-pth": nasbench201_pth_file,
  }[values.format]
  return convert_fn(
    sources[0], allow_missing=allow_missing, progress_fn=progress_fn
  )


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


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
  """Yields a function that shows the numbers of items done and to do."""
  if not sys.stdout.isatty() or importlib.util.find_spec("rich") is None:
    yield _print_tenths
    return
  from rich.progress import Progress

  with Progress() as bar:
    task = bar.add_task("Converting", total=None)
    yield lambda done, total: bar.update(task, completed=done, total=total)


def _print_tenths(done: int, total: int) -> None:
  if done * 10 // total > (done - 1) * 10 // total:
    print(f"  {done:,} of {total:,}", flush=True)


if __name__ == "__main__":
  signal.signal(signal.SIGTERM, _terminate)
  sys.exit(main(sys.argv))
