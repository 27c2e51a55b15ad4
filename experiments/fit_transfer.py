"""Learns from tables what helps searches of other tables of the same space.

  python -m experiments.fit_transfer --benchmark=digits --output=mine.npz

Fits the kernel and the mean of a Gaussian process to one or several tables by
their marginal likelihood, and writes them as a file that searches read. Each
--benchmark is a table, or NAME:COLUMN and NAME:-COLUMN where another column
than --objective is learned, such as nasbench201/cifar10:-raspi4_ms. Tables of
all architectures are used whole, of others at most --max_rows random rows.

Prints for every source the negative log likelihood of a row (less is better)
under the kernel with which the fit begins, and under what was learned. The same
command writes the same bytes.

Exit codes: 0; 2 for anything the user can mend, with one line on stderr; 130
after an interruption.
"""

from collections.abc import Sequence
import sys
import time

from nagjax import transfer as transfer_lib

from .support import flags
from .support import machine
from .support import outputs
from .support import transfers
from .support.errors import UsageError
from .support.errors import user_errors
from .support.program import binary


def _run(values: flags.Values) -> None:
  names = values.benchmark or ["digits"]
  weights = read_weights(values.weight, len(names))
  outputs.check_output(values.output, overwrite=values.overwrite)
  machine.start_jax(values.compilation_cache_dir)
  tables = [
    transfers.read_table(
      transfers.read_problem(name, values.data_dir, values.objective)
    )
    for name in names
  ]
  with user_errors():
    config = transfer_lib.Config(
      num_steps=values.num_steps,
      learning_rate=values.learning_rate,
      max_rows=values.max_rows,
    )
  with outputs.claimed_output(
    values.output, overwrite=values.overwrite
  ) as output:
    began = time.perf_counter()
    with user_errors():
      learned = transfer_lib.fit(tables, weights, config)
    seconds = time.perf_counter() - began
    transfer_lib.save(output, learned)
  for table, source in zip(tables, learned.sources, strict=True):
    print(describe(table, source.weight, learned, config))
  print(
    f"Wrote {output}: {output.stat().st_size:,} bytes of the space "
    f"{learned.space}, noise {learned.noise:.4f}, fitted in {seconds:.1f} s."
  )


def read_weights(texts: Sequence[str], num: int) -> list[float] | None:
  """The values of --weight, one for each source; None if there is none.

  Raises:
    UsageError: if there is another number of them, or one is no number.
  """
  if not texts:
    return None
  if len(texts) != num:
    raise UsageError(
      f"--weight is given once for each of the {num} sources, got {len(texts)}."
    )
  with user_errors("--weight: "):
    return [float(text) for text in texts]


def describe(
  table: transfer_lib.Table,
  weight: float,
  learned: transfer_lib.Transfer,
  config: transfer_lib.Config,
) -> str:
  """One line: what a source is, and what was learned of it."""
  before = transfer_lib.likelihood(table, None, config)
  after = transfer_lib.likelihood(table, learned, config)
  return (
    f"{table.name}, {table.objective}: {len(table.values):,} rows, weight "
    f"{weight:.3g}, negative log likelihood of a row {before:.3f} before and "
    f"{after:.3f} after"
  )


main = binary(
  _run,
  [
    *flags.common("data_dir", "overwrite", output="transfer.npz"),
    flags.repeated("benchmark", "A source; digits by default; repeatable."),
    flags.text("objective", None, "Column that is learned, or -column."),
    flags.repeated("weight", "Of each source; equal by default; repeatable."),
    flags.whole("num_steps", 200, "Of the fit."),
    flags.number("learning_rate", 0.03, "Of the fit."),
    flags.whole("max_rows", 1024, "Of a source that is no full table.", 20),
  ],
  __doc__,
)

if __name__ == "__main__":
  sys.exit(main())
