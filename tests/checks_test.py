"""Tests of nagjax.checks."""

import dataclasses

from absl.testing import absltest
from absl.testing import parameterized

from nagjax import checks


@dataclasses.dataclass(frozen=True)
class Config:
  """Options of nothing."""

  size: int = 1
  zero: int = 0
  kind: str = "a"
  rate: float = 0.5
  share: float = 0.0
  maybe: int | None = None


def check(config):
  checks.sizes(config, zero=0)
  checks.choices(config, kind=("b", "a"))
  checks.positive(config, "rate")
  checks.not_negative(config, "share")


class ChecksTest(parameterized.TestCase):
  def test_good_ones(self):
    """Oracle: nothing is raised; what is no whole number is no size."""
    check(Config())
    check(Config(size=7, zero=3, kind="b", share=2.0, maybe=-1))

  @parameterized.parameters(
    ("size", 0, "size must be at least 1, got 0"),
    ("size", 1.5, "size must be a whole number, got 1.5"),
    ("size", None, "size must be a whole number, got None"),
    ("size", True, "size must be a whole number, got True"),
    ("rate", None, "rate must be positive and finite, got None"),
    ("share", "x", "share must be finite and not negative, got 'x'"),
    ("zero", -1, "zero must be at least 0, got -1"),
    ("kind", "c", "kind must be one of b, a, got 'c'"),
    ("rate", 0.0, "rate must be positive and finite, got 0.0"),
    ("rate", float("inf"), "rate must be positive and finite, got inf"),
    ("rate", float("nan"), "rate must be positive and finite, got nan"),
    ("share", -0.1, "share must be finite and not negative, got -0.1"),
    ("share", float("inf"), "share must be finite and not negative, got inf"),
  )
  def test_bad_ones(self, name, value, message):
    """Oracle: the ValueError names the option and what came."""
    with self.assertRaisesRegex(ValueError, f"^{message}.$"):
      check(Config(**{name: value}))

  def test_least_sizes(self):
    """Oracle: what is asked of a field instead of 1."""
    with self.assertRaisesRegex(ValueError, "size must be at least 3, got 2"):
      checks.sizes(Config(size=2), size=3, zero=0)


if __name__ == "__main__":
  absltest.main()
