"""The work of `experiments.from_images`: the cells to train, and a table."""

from collections.abc import Mapping
from collections.abc import Sequence
import hashlib
import json
import pathlib
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nagjax import transfer as transfer_lib
from nagjax.spaces import SearchSpace
from nagjax.spaces import nasbench201
from nagjax.transfer.base import mean_of

from . import training

RESNET = (
  "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+"
  "|skip_connect~0|none~1|skip_connect~2|"
)
"""The residual block in NAS-Bench-201's paper (its ResNet, 93.97 % on
CIFAR-10)."""
TRANSFER = "digits"
"""The transfer whose own choice is a rival."""

GENERATED, RANDOM, RESIDUAL, TRANSFERRED = (
  "generated",
  "random",
  "resnet",
  "transfer",
)
"""Where a cell comes from; behind the first two is a number from 1."""

_RANDOM_SEED = 0


class Candidate(NamedTuple):
  """A cell, and all the reasons for which it is trained."""

  arch: np.ndarray
  origins: tuple[str, ...]


def candidates(
  space: SearchSpace,
  generated: np.ndarray,
  *,
  num_random: int = 0,
  rivals: bool = False,
) -> list[Candidate]:
  """The cells to train, the generated ones first; isomorphic ones are one.

  Args:
    space: of NAS-Bench-201.
    generated: `int32[n, L]`, the best first.
    num_random: uniformly random cells.
    rivals: whether the residual cell and the choice of the transfer join.
  """
  named = [(f"{GENERATED} {i}", arch) for i, arch in enumerate(generated, 1)]
  if rivals:
    named.append((RESIDUAL, nasbench201.from_string(RESNET)))
    named.append((TRANSFERRED, _of_transfer(space)))
  if num_random:
    drawn = space.sample(jax.random.key(_RANDOM_SEED), num_random)
    named += [(f"{RANDOM} {i}", a) for i, a in enumerate(np.asarray(drawn), 1)]
  archs = np.stack([np.asarray(arch, np.int32) for _, arch in named])
  forms = np.asarray(space.canonicalize(jnp.asarray(archs)))
  found: dict[bytes, Candidate] = {}
  for (origin, _), arch, form in zip(named, archs, forms, strict=True):
    first = found.get(form.tobytes(), Candidate(arch, ()))
    found[form.tobytes()] = first._replace(origins=(*first.origins, origin))
  return list(found.values())


def train(
  task: training.Task,
  space: SearchSpace,
  chosen: Sequence[Candidate],
  workdir: pathlib.Path,
  *,
  overwrite: bool = False,
) -> list[dict[str, Any]]:
  """Trains cells as `training.train_top` does, and goes on as it does.

  Args:
    task: how.
    space: of the cells.
    chosen: the cells.
    workdir: for the networks and the table.
    overwrite: whether other results there may go.

  Returns:
    The rows of `trained.csv`: those of `train_top`, with the cell's origins,
    its accuracy by the images to choose by, and the seconds of a training
    without compilation.

  Raises:
    UsageError: for the reasons of `training.begin`.
  """
  names = [space.to_string(one.arch.tolist()) for one in chosen]
  asked = [training.digest_of(task, names), [one.origins for one in chosen]]
  digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
  rows = training.begin(workdir, digest, overwrite=overwrite)

  def next_row(rank: int) -> dict[str, Any]:
    arch, origins = chosen[rank - 1]
    reasons = ", ".join(origins)
    print(
      f"Training {rank} of {len(chosen)}, {reasons}: {names[rank - 1]}",
      flush=True,
    )
    cell = training.train_cell(task, space, arch, rank, workdir)
    if rank < len(chosen):
      # The first training may have compiled.
      each = float(np.mean(cell.seconds[1:])) * len(cell.seconds)
      left = (len(chosen) - rank) * each / 60
      print(f"  about {left:,.0f} minutes left", flush=True)
    valid = cell.valid_accuracies
    return {
      **cell.row,
      "origins": "; ".join(origins),
      "valid_accuracy_mean": float(np.mean(valid)) if valid else "",
      "train_seconds": round(min(cell.seconds), 3),
    }

  training.fill(workdir, digest, rows, len(chosen), next_row)
  return rows


class Line(NamedTuple):
  """What is said of one way to a network.

  Attributes:
    label: for people.
    mean, low, high: test accuracy in percent and its 95 % interval, "" where
      unknown: over trainings, or over cells where there are many.
    num_trained: cells that had to be trained for it.
    seconds: that their trainings took, of one seed each.
  """

  label: str
  mean: float | str
  low: float | str
  high: float | str
  num_trained: int
  seconds: float


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[Line]:
  """What every way to a network came to.

  Where one of several cells is chosen, the images to choose by choose it.
  """
  groups: dict[str, list[Mapping[str, Any]]] = {}
  for row in rows:
    for origin in row["origins"].split("; "):
      groups.setdefault(origin.partition(" ")[0], []).append(row)
  generated = sorted(groups.get(GENERATED, []), key=_rank_generated)
  random = groups.get(RANDOM, [])
  lines = []
  if generated:
    lines.append(_line("generated, top 1", generated[:1]))
  if len(generated) > 1:
    lines.append(_line(f"generated, best of top {len(generated)}", generated))
  if random:
    lines.append(_line(f"random, best of {len(random)}", random))
    means = [float(r["test_accuracy_mean"]) for r in random if r["num_seeds"]]
    lines.append(
      _line_of(
        f"random, mean of {len(random)}",
        training.interval_of(means),
        1,
        float(np.mean([row["train_seconds"] for row in random])),
      )
    )
  for origin, label in (
    (RESIDUAL, "residual cell"),
    (TRANSFERRED, f"choice of the transfer {TRANSFER}"),
  ):
    if origin in groups:
      lines.append(_line(label, groups[origin]))
  return lines


def print_summary(lines: Sequence[Line]) -> None:
  """Prints the lines as a table."""
  width = max(len(line.label) for line in lines)
  print(f"{'':{width}}  test accuracy   95 % interval  cells  seconds")
  for line in lines:
    ends = "-"
    if line.low != "":
      ends = f"{line.low:.2f} to {line.high:.2f}"
    mean = "-" if line.mean == "" else f"{line.mean:.2f}"
    print(
      f"{line.label:{width}}  {mean:>13}  {ends:>14}  {line.num_trained:>5}"
      f"  {line.seconds:>7.1f}"
    )


def _line(label: str, rows: Sequence[Mapping[str, Any]]) -> Line:
  """Of the row that the images to choose by choose."""
  good = [row for row in rows if row["num_seeds"]]
  seconds = sum(row["train_seconds"] for row in rows)
  best = max(good or rows, key=lambda row: row["valid_accuracy_mean"])
  return _line_of(label, best, len(rows), seconds)


def _line_of(
  label: str, row: Mapping[str, Any], num_trained: int, seconds: float
) -> Line:
  """A line with the test accuracy of a row."""
  mean, low, high = (
    row[f"test_accuracy_{end}"] for end in ("mean", "low", "high")
  )
  return Line(label, mean, low, high, num_trained, seconds)


def _rank_generated(row: Mapping[str, Any]) -> int:
  origins = row["origins"].split("; ")
  return min(
    int(origin.partition(" ")[2])
    for origin in origins
    if origin.startswith(GENERATED)
  )


def _of_transfer(space: SearchSpace) -> np.ndarray:
  """The cell of the best transferred mean."""
  found = transfer_lib.find(TRANSFER)
  archs = space.all_architectures()
  return archs[int(np.argmax(mean_of(found, space, jnp.asarray(archs))))]
