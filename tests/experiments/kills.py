"""Kills long commands at random moments, starts them again, and compares.

  python -m tests.experiments.kills [--num_kills=20] [--seed=0] [COMMAND ...]

Every run is a process of its own, forked from this one, which has imported the
binaries and not started JAX. Prints a line a command: how many runs were
killed, how many ended with the bytes of a run that nobody disturbed, how many
refused. Exits with 1 if a run did neither.
"""

import argparse
from collections.abc import Callable
import dataclasses
import importlib
import json
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time
from typing import NamedTuple
from unittest import mock

import jax
import numpy as np

from experiments.support import training
from nagjax.candidates import train
from nagjax.spaces import nasbench201
from tests.experiments import runs

TINY = {
  "small": training.Preset(
    dataclasses.replace(train.SMALL, num_epochs=2, batch_size=16), 2, 1
  )
}

MODULE = """
import time
import numpy as np
import nagjax
from nagjax.benchmarks import synthetic
table = synthetic.synthetic()
values = np.asarray(table.queried["valid_accuracy"])
def evaluate(archs):
  time.sleep(0.01 * len(archs))
  return {"valid_accuracy": values[archs @ 5 ** np.arange(6)]}
nagjax.register_benchmark("on_host", nagjax.HostBenchmark(
  table.space, evaluate, ("valid_accuracy",)))
"""


class Command(NamedTuple):
  """A long command: its binary, its flags and what it writes, by place.

  Attributes:
    binary: name of the module.
    flags: after the place of its results.
    place_flags: those that name the place, which is put in.
    outputs: patterns of what is compared.
  """

  binary: str
  flags: str
  place_flags: str
  outputs: tuple[str, ...]


TRAINING = "--workdir={0}/work --output={0}/out.npz"
SEARCH = ("trace.npz", "architectures.csv", "curve.png", "summary.json")

COMMANDS = {
  "build": Command(
    "build_benchmark",
    "--images=images.npz --num_seeds=2 --num_train=20 --num_valid=10 "
    "--num_views=1 --num_channels=1 --num_epochs=2 --batch_size=10 "
    "--chunk_size=2 --num_representatives=11",
    TRAINING,
    ("out.npz",),
  ),
  "train_score": Command(
    "train_score",
    "--num_steps=20 --batch_size=4 --checkpoint_every=2 --sample_steps=4 "
    "--set=num_layers=1 --set=width=8 --set=num_heads=2 --set=feed_forward=8 "
    "--set=head_width=8 --num_reported=60",
    TRAINING,
    ("out.npz", "work/metrics.csv"),
  ),
  "train_supernet": Command(
    "train_supernet",
    "--images=larger.npz --network=autoformer/small32 --num_epochs=6 "
    "--batch_size=8",
    TRAINING,
    ("out.npz", "work/metrics.csv"),
  ),
  "train_generator": Command(
    "train_generator",
    "--num_instances=40 --batch_size=2 --checkpoint_every=2 --num_reported=20",
    TRAINING,
    ("out.npz", "work/metrics.csv"),
  ),
  "fit_surrogate": Command(
    "fit_surrogate",
    "--space=nasbench201 --source=rows.csv --column=accuracy --num_trees=20 "
    "--num_folds=3",
    "--output={0}/out.npz",
    ("out.npz",),
  ),
  "search": Command(
    "search",
    "--benchmark=synthetic --algorithm=random,local_search --budget=60 "
    "--num_seeds=16 --batch_size_seeds=1",
    "--workdir={0}",
    SEARCH,
  ),
  "search_on_host": Command(
    "search",
    "--module=on_host --benchmark=on_host --num_seeds=3 --budget=40 "
    "--algorithm=random,local_search",
    "--workdir={0}",
    SEARCH,
  ),
  "train_top": Command(
    "train_top",
    "--runs=searched --images=images.npz --num_top=3",
    "--workdir={0}",
    ("trained.csv", "network_*.npz"),
  ),
}


def write_inputs(folder: pathlib.Path) -> None:
  """The files that the commands read, in the current directory."""
  x, _ = runs.write_images(folder / "images.npz")
  larger = x.repeat(2, axis=1).repeat(2, axis=2)
  runs.write_images(folder / "larger.npz", x=larger)
  (folder / "on_host.py").write_text(MODULE)
  rng = np.random.default_rng(0)
  lines = ["arch,accuracy"]
  for cell in rng.integers(5, size=(100, 6)):
    lines.append(f"{nasbench201.to_string(cell)},{90 + cell.sum() / 9}")
  (folder / "rows.csv").write_text("\n".join(lines) + "\n")


def start(binary: str, flags: list[str], log: pathlib.Path) -> int:
  """Starts a binary in a process of its own; returns its id."""
  sys.stdout.flush()
  process = os.fork()
  if process:
    return process
  code = 70
  try:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.argv = ["program", *flags]
    with mock.patch.object(training, "PRESETS", TINY):
      code = importlib.import_module(f"experiments.{binary}").main()
  finally:
    sys.stderr.flush()
    os._exit(code)


def wait(process: int, seconds: float | None = None) -> int | None:
  """Exit code of a process, None once it is killed after some seconds."""
  end = time.monotonic() + (3600 if seconds is None else seconds)
  while True:
    done, status = os.waitpid(process, os.WNOHANG)
    if done:
      return os.waitstatus_to_exitcode(status)
    if time.monotonic() >= end:
      os.kill(process, signal.SIGKILL)
      os.waitpid(process, 0)
      return None
    time.sleep(0.002)


def contents(place: pathlib.Path, command: Command) -> dict[str, object]:
  """What a command has written, but for what its clock said."""
  found: dict[str, object] = {}
  for pattern in command.outputs:
    for path in sorted(place.glob(pattern)):
      found[path.name] = path.read_bytes()
      if path.name == "summary.json":
        entries = json.loads(path.read_text())
        for entry in entries:
          for name in runs.MEASURED:
            entry.pop(name)
        found[path.name] = entries
  return found


def leftovers(place: pathlib.Path) -> list[str]:
  """Hidden files, which locks and unfinished writing leave."""
  return [p.name for p in place.rglob("*") if p.name.startswith(".")]


def flags_of(command: Command, place: pathlib.Path) -> list[str]:
  place.mkdir(exist_ok=True)
  return [*command.place_flags.format(place).split(), *command.flags.split()]


def kill_often(
  command: Command,
  num_kills: int,
  rng: np.random.Generator,
  folder: pathlib.Path,
  say: Callable[[str], None],
) -> bool:
  """Returns whether every run ended as it must, and says what happened."""
  log = folder / "stderr"
  for name in ("cached", "whole"):
    began = time.monotonic()
    whole = folder / name
    if code := wait(start(command.binary, flags_of(command, whole), log)):
      say(f"the whole run ends with {code}: {log.read_text()[-500:]}")
      return False
    seconds = time.monotonic() - began
  expected = contents(whole, command)
  counts = dict(killed=0, same=0, refused=0, wrong=0)
  place = folder / "killed"
  while counts["killed"] < num_kills or place.exists():
    limit = None
    if counts["killed"] < num_kills:
      limit = rng.uniform(0, seconds)
    code = wait(start(command.binary, flags_of(command, place), log), limit)
    if code is None:
      counts["killed"] += 1
      continue
    message = log.read_text()
    is_same = contents(place, command) == expected and not leftovers(place)
    if code == 2 and message.count("\n") == 1 and is_same:
      counts["refused"] += 1
    elif code == 0 and is_same:
      counts["same"] += 1
    else:
      counts["wrong"] += 1
      say(f"exit code {code}, left {leftovers(place)}: {message[-800:]}")
    shutil.rmtree(place)
  text = ", ".join(f"{name} {number}" for name, number in counts.items())
  say(f"{text}, {seconds:.1f} s a run")
  return not counts["wrong"]


def main() -> int:
  parser = argparse.ArgumentParser()
  parser.add_argument("--num_kills", type=int, default=20)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--cache")
  parser.add_argument("commands", nargs="*", default=list(COMMANDS))
  values = parser.parse_args()
  jax.config.update("jax_num_cpu_devices", 1)
  jax.config.update("jax_compilation_cache_dir", values.cache)
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
  jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
  for command in COMMANDS.values():
    importlib.import_module(f"experiments.{command.binary}")
  good = True
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name).resolve()
    write_inputs(folder)
    os.chdir(folder)
    searched = flags_of(COMMANDS["search"], folder / "searched")
    wait(start("search", searched, folder / "stderr"))
    for name in values.commands:
      work = folder / name
      work.mkdir()
      rng = np.random.default_rng([values.seed, *name.encode()])

      def say(text: str, name: str = name) -> None:
        print(f"{name}: {text}", flush=True)

      good &= kill_often(COMMANDS[name], values.num_kills, rng, work, say)
  return 0 if good else 1


if __name__ == "__main__":
  sys.exit(main())
