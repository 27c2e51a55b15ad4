"""Tests of nagjax.algorithms.options."""

import dataclasses

from absl.testing import absltest
from absl.testing import parameterized

from nagjax.algorithms import options


@dataclasses.dataclass(frozen=True)
class Config:
  """Options of nothing."""

  num_initial: int = 4
  batch_size: int = 3
  archive_size: int = 7
  num_constraints: int = 0
  kind: str = "a"
  share: float = 0.0


class OptionsTest(parameterized.TestCase):
  def test_good_ones(self):
    """Oracle: nothing is raised; floats and text are no sizes."""
    config = Config()
    options.check_sizes(config)
    options.check_choices(config, kind=("b", "a"))
    options.check_archive(config)

  @parameterized.parameters(
    (dict(batch_size=0), "batch_size must be at least 1, got 0"),
    (dict(num_constraints=-1), "num_constraints must be at least 0, got -1"),
    (dict(kind="c"), "kind must be one of b, a, got 'c'"),
    (dict(archive_size=6), r"num_initial \+ batch_size = 7, got 6"),
  )
  def test_bad_ones(self, changes, message):
    """Oracle: the ValueError names the option and what came."""
    config = Config(**changes)
    with self.assertRaisesRegex(ValueError, message):
      options.check_sizes(config)
      options.check_choices(config, kind=("b", "a"))
      options.check_archive(config)

  @parameterized.parameters((100, 103), (1, 7))
  def test_archive_preset(self, budget, expected):
    """Oracle: the budget and a round, at least the first two rounds."""
    preset = options.archive_preset(Config(), budget)
    self.assertEqual(preset, {"archive_size": expected})


if __name__ == "__main__":
  absltest.main()
