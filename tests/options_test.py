"""Tests of nagjax.options."""

from collections.abc import Callable
import dataclasses

from absl.testing import absltest
from absl.testing import parameterized

from nagjax import options


@dataclasses.dataclass(frozen=True)
class Fit:
  """The innermost options."""

  num_steps: int = 40
  rate: float = 0.1
  dropout: bool = False


@dataclasses.dataclass(frozen=True)
class Network:
  """Options that hold options."""

  size: int | None = 8
  fit: Fit = Fit()


@dataclasses.dataclass(frozen=True)
class Config:
  """Options of a search."""

  rate: float = 1.0
  kind: str = "a"
  function: Callable[[float], float] | None = None
  surrogate: Network = Network()
  proposer: Fit = Fit()


def changed(**changes):
  return options.with_options(
    Config(), {name.replace("__", "."): v for name, v in changes.items()}, "it"
  )


class OptionsTest(parameterized.TestCase):
  def test_leaves(self):
    """Oracle: by hand."""
    self.assertEqual(
      dict(options.leaves(Network(size=3))),
      {
        "size": 3,
        "fit.num_steps": 40,
        "fit.rate": 0.1,
        "fit.dropout": False,
      },
    )

  @parameterized.parameters(
    ("kind", "b", Config(kind="b")),
    ("kind", "none", Config(kind="none")),
    ("rate", "2", Config(rate=2.0)),
    ("rate", 2.0, Config(rate=2.0)),
    ("function", abs, Config(function=abs)),
    ("function", "None", Config()),
    ("proposer.num_steps", "3", Config(proposer=Fit(num_steps=3))),
    ("proposer.dropout", "TRUE", Config(proposer=Fit(dropout=True))),
    ("surrogate.fit.dropout", True, None),
    ("fit.dropout", "true", None),
    ("surrogate.size", "none", Config(surrogate=Network(size=None))),
    ("size", "4", Config(surrogate=Network(size=4))),
    ("size", None, Config(surrogate=Network(size=None))),
    ("fit", Fit(dropout=True), None),
    ("surrogate", Network(fit=Fit(dropout=True)), None),
  )
  def test_values_and_text(self, name, value, expected):
    """Oracle: the Config by hand (None: dropout of the surrogate's fit), and
    the type of the field."""
    expected = expected or Config(surrogate=Network(fit=Fit(dropout=True)))
    found = options.with_options(Config(), {name: value}, "it")
    self.assertEqual(found, expected)
    for (_, ours), (_, theirs) in zip(
      options.leaves(found), options.leaves(expected), strict=True
    ):
      self.assertIs(type(ours), type(theirs))

  def test_in_order(self):
    """Oracle: by hand: options go on from those before."""
    found = changed(surrogate=Network(size=2), surrogate__fit__num_steps="5")
    self.assertEqual(
      found, Config(surrogate=Network(size=2, fit=Fit(num_steps=5)))
    )
    self.assertEqual(changed(), Config())

  @parameterized.parameters(
    ("num_steps", "3", "it.num_steps may be any of surrogate.fit.num_steps, "),
    ("steps", "3", "it has the options .*surrogate.fit.num_steps.*'steps'"),
    ("t.num_steps", "3", "it has the options .*, got 't.num_steps'"),
    ("fit.num_steps.x", "3", "it has the options .*, got 'fit.num_steps.x'"),
    ("", "3", "it has the options .*, got ''"),
    ("fit.num_steps", "1.5", "it.surrogate.fit.num_steps must be a whole"),
    ("proposer.rate", "x", "it.proposer.rate must be a number, got 'x'"),
    ("proposer.rate", "none", "it.proposer.rate must be a number"),
    ("fit.dropout", "maybe", "fit.dropout must be true or false, got 'maybe'"),
    ("function", "abs", "it.function is no plain value; set it in Python"),
    ("surrogate.fit", "x", "it.surrogate.fit is no plain value"),
    ("fit.num_steps", 1.5, "fit.num_steps must be a whole number, got 1.5"),
    ("fit.num_steps", True, "fit.num_steps must be a whole number, got True"),
    ("fit.dropout", 1, "fit.dropout must be true or false, got 1"),
    ("rate", None, "rate must be a number, got None"),
    ("kind", 3, "kind must be text, got 3"),
    ("surrogate.size", [1], "size must be a whole number or None, got"),
  )
  def test_wrong_ones(self, name, value, message):
    """Oracle: the documented ValueErrors, in one line."""
    with self.assertRaisesRegex(ValueError, message) as caught:
      options.with_options(Config(), {name: value}, "it")
    self.assertNotIn("\n", str(caught.exception))

  def test_no_dictionary(self):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, "of it must be a dictionary"):
      options.with_options(Config(), "size=3", "it")


if __name__ == "__main__":
  absltest.main()
