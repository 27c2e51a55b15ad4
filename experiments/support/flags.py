"""Flags: every one that several binaries have is declared here, once."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import importlib
import io
import os
import pathlib
import re
import sys
from typing import Any
from typing import NamedTuple

from absl import flags

from .errors import UsageError
from .errors import one_line
from .errors import user_errors

Values = flags.FlagValues

LARGEST = 10_000_000
"""Of every number of seeds, queries, samples and steps."""


class Flag(NamedTuple):
  """A flag, before a binary has it.

  Attributes:
    name, default, help: as absl has them.
    define_fn: absl's, such as `flags.DEFINE_string`.
    options: further arguments of `define_fn`.
    is_path: whether a leading `~` is the user's home; of a repeatable one,
      whether a value that names nothing may be several, separated by commas.
  """

  name: str
  default: Any
  help: str
  define_fn: Callable[..., Any]
  options: Mapping[str, Any] = {}
  is_path: bool = False


def text(name: str, default: str | None, help: str) -> Flag:
  """A flag of any text."""
  return Flag(name, default, help, flags.DEFINE_string)


def path(name: str, default: str | None, help: str) -> Flag:
  """A flag that names a file or a directory."""
  return Flag(name, default, help, flags.DEFINE_string, is_path=True)


def paths(name: str, help: str) -> Flag:
  """A repeatable flag that names files or directories."""
  return Flag(name, [], help, flags.DEFINE_multi_string, is_path=True)


def repeated(name: str, help: str) -> Flag:
  """A repeatable flag of any text."""
  return Flag(name, [], help, flags.DEFINE_multi_string)


def items(name: str, default: Sequence[str] | None, help: str) -> Flag:
  """A flag of items separated by commas."""
  return Flag(name, default, help, flags.DEFINE_list)


def switch(name: str, default: bool | None, help: str) -> Flag:
  """A flag that is on or off."""
  return Flag(name, default, help, flags.DEFINE_boolean)


def choice(
  name: str, default: str | None, choices: Iterable[str], help: str
) -> Flag:
  """A flag of one of some words."""
  return Flag(
    name, default, help, flags.DEFINE_enum, {"enum_values": list(choices)}
  )


def whole(name: str, default: int | None, help: str, least: int = 1) -> Flag:
  """A flag of a whole number."""
  bounds = {"lower_bound": least, "upper_bound": LARGEST}
  return Flag(name, default, help, flags.DEFINE_integer, bounds)


def number(
  name: str,
  default: float | None,
  help: str,
  least: float = 0.0,
  most: float | None = None,
) -> Flag:
  """A flag of a number."""
  bounds = {"lower_bound": least, "upper_bound": most}
  return Flag(name, default, help, flags.DEFINE_float, bounds)


_EVERYWHERE = (
  repeated(
    "module",
    "Python module that is imported first, such as one that registers spaces, "
    "benchmarks or algorithms of your own; repeatable.",
  ),
  text(
    "compilation_cache_dir",
    None,
    "For compiled programs between runs; by default below ~/.cache/nagjax, and "
    "nowhere if it is empty.",
  ),
  switch("help", False, "Print this text."),
)

_COMMON = {
  flag.name: flag
  for flag in (
    text("space", "nasbench201", "Name; see `experiments.search --list`."),
    text("benchmark", "digits", "Name; see `experiments.search --list`."),
    path("data_dir", None, "Where benchmarks and weights of your own are."),
    path("workdir", None, "For the results and for what is not finished."),
    path("output", None, "The file to write."),
    switch("overwrite", False, "Replace existing results."),
    repeated("set", "Option such as ednag.population_size=20; repeatable."),
    whole("seed", 0, "Of everything random.", 0),
    whole("num_seeds", 200, "Searches or trainings, each with its own seed."),
    whole("seed_start", 0, "The first seed.", 0),
    whole("budget", None, "Distinct rows that one search may read."),
    whole(
      "batch_size_seeds",
      256,
      "Searches at a time; bounds the memory and changes no result.",
    ),
    path("images", None, "`digits`, or a .npz file with x and y."),
    whole("num", None, "Random architectures, or samples."),
    whole("batch_size", None, "Samples of a step."),
    whole("num_steps", None, "Of the training; up to whole chunks."),
    whole("checkpoint_every", 250, "Steps of a chunk."),
    number("learning_rate", None, "Of the training."),
  )
}
"""By name; `common` sets what differs from binary to binary."""

_RENAMED = {
  "prior": "--prior is called --warm_start now.",
  "train_preset": "--train_preset is --preset of experiments.train_top now.",
  "train_top": (
    "--train_top is a program of its own now: `python -m "
    "experiments.train_top --runs=WORKDIR --images=... --workdir=...`."
  ),
}


def common(*names: str, **defaults: Any) -> tuple[Flag, ...]:
  """Flags that several binaries have.

  Args:
    *names: those with the usual default.
    **defaults: those with another default, or with `(default, help)`.
  """
  found = [_COMMON[name] for name in names]
  for name, default in defaults.items():
    flag = _COMMON[name]
    if isinstance(default, tuple):
      default, help = default
      flag = flag._replace(help=help)
    found.append(flag._replace(default=default))
  return tuple(found)


def define(declared: Sequence[Flag]) -> Values:
  """The flags of a binary, apart from those of others in the process."""
  values = Values()
  for flag in (*declared, *_EVERYWHERE):
    flag.define_fn(
      flag.name,
      default=flag.default,
      help=flag.help,
      flag_values=values,
      **flag.options,
    )
  return values


def read(
  argv: Sequence[str], declared: Sequence[Flag], doc: str | None
) -> Values | None:
  """Reads a command line of flags alone, and imports the modules it names.

  Args:
    argv: the command line, program name first.
    declared: the flags of the binary, besides those of every binary.
    doc: what --help prints before the flags.

  Returns:
    The flags; None if help was asked for and printed.

  Raises:
    UsageError: if an argument is no flag, a path is none, or a module cannot be
      imported.
  """
  values = define(declared)
  names = {flag.name for flag in declared}
  for argument in argv[1:]:
    name = argument.lstrip("-").partition("=")[0]
    if argument.startswith("-") and name in set(_RENAMED) - names:
      raise UsageError(_RENAMED[name])
  with user_errors("The command line: "):  # And files that --flagfile names.
    with contextlib.redirect_stderr(io.StringIO()) as warned:
      rest = values(list(argv))[1:]
  if warned.getvalue():
    circle = warned.getvalue().rpartition("flagfile: ")[2].strip()
    raise UsageError(
      f"--flagfile={circle} names itself, or a file that does: take that out."
    )
  if rest:
    raise UsageError(f"Every argument is a flag, got {rest[0]!r}.")
  if values.help:
    print(f"{doc}\nFlags:\n{values.get_help()}")
    return None
  for flag in (*declared, *_EVERYWHERE):
    if flag.is_path:
      _check_path(values[flag.name])
      values[flag.name].value = _expand(values[flag.name].value)
  for name in values.module:
    _import(name)
  return values


def command(values: Values) -> list[str]:
  """What was given, as a command line without the program's name."""
  given = [values[name] for name in values if values[name].present]
  return [part for flag in given for part in flag.serialize().split("\n")]


def require(values: Values, *names: str) -> None:
  """Checks that flags without a default are there.

  Raises:
    UsageError: if one is not.
  """
  for name in names:
    if not getattr(values, name):
      raise UsageError(f"--{name} is needed; see --help.")


def read_options(
  texts: Sequence[str], names: Sequence[str], default: str | None = None
) -> dict[str, dict[str, str]]:
  """Reads texts such as `ednag.population_size=20` or `optiproxy.fit.rate=1`.

  Args:
    texts: values of `--set`.
    names: whose options they may be.
    default: whose options they are without a name of `names`, if anyone's.

  Returns:
    Options and their values by name, as text; nested ones are dotted.

  Raises:
    UsageError: if a text has another form or begins with another name.
  """
  options: dict[str, dict[str, str]] = {name: {} for name in names}
  for text in texts:
    match = re.fullmatch(r"(?:(\w+)\.)?(\w+(?:\.\w+)*)=(.*)", text, re.DOTALL)
    owner, option, value = match.groups() if match else ("", "", "")
    if match and default is not None and owner not in options:
      owner, option = default, f"{owner}.{option}" if owner else option
    if not owner:
      raise UsageError(
        f"--set looks like ednag.population_size=20, got {text!r}."
      )
    if owner not in options:
      raise UsageError(
        f"--set={text}: {owner} is not in --algorithm={','.join(names)}."
      )
    options[owner][option] = value
  return options


def _check_path(flag: flags.Flag) -> None:
  """Raises UsageError for what names no file on any system."""
  given = [flag.value] if isinstance(flag.value, str) else flag.value or ()
  for name in given:
    if not name:
      raise UsageError(
        f"--{flag.name} is needed, or must be left out; it is empty."
      )
    if "\0" in name:
      raise UsageError(
        f"--{flag.name} must be a path, got a zero byte in {name!r}."
      )


def _expand(value: Any) -> Any:
  """A path without `~`; of several, those that commas separate one by one."""
  if value is None or isinstance(value, str):
    return value and os.path.expanduser(value)
  found = []
  for name in map(os.path.expanduser, value):
    single = "," not in name or pathlib.Path(name).exists()
    parts = [name] if single else name.split(",")
    found += [os.path.expanduser(part) for part in parts]
  return found


def _import(name: str) -> None:
  """Imports a module of the user's, from the current directory too."""
  here = os.getcwd()
  if here not in sys.path and "" not in sys.path:
    sys.path.insert(0, here)
  try:
    importlib.import_module(name)
  # Whatever the user's own code raises, or an end that it calls for.
  except (Exception, SystemExit) as error:
    kind = type(error).__name__
    raise UsageError(
      f"--module={name} cannot be imported: {kind}: {one_line(error)}"
    ) from error
