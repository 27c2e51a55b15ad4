"""Tests of nagjax.spaces.fcnet and nats_size, spaces of named options."""

import itertools

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from nagjax import registry
from nagjax.convert import pickles
from nagjax.spaces import fcnet
from nagjax.spaces import nats_size
from tests import data

STRING = (
  "activation_fn_1=tanh,activation_fn_2=relu,batch_size=64,dropout_1=0.3,"
  "dropout_2=0.0,init_lr=0.0005,lr_schedule=const,n_units_1=512,n_units_2=16"
)


class FcnetTest(parameterized.TestCase):
  def test_space(self):
    """Oracle: the published number of configurations."""
    space = registry.make_space("fcnet")
    self.assertIs(space, fcnet.fcnet())
    self.assertEqual(space.num_architectures, 62208)
    self.assertTrue(space.enumerable)

  def test_strings(self):
    """Oracle: one written by hand; every option there and back."""
    space = fcnet.fcnet()
    arch = space.from_string(f" {STRING} ")
    self.assertEqual(arch.tolist(), [1, 0, 3, 1, 0, 0, 1, 5, 0])
    self.assertEqual(space.to_string(arch), STRING)
    for archs in itertools.zip_longest(*map(range, space.cardinalities)):
      arch = [option or 0 for option in archs]
      self.assertEqual(space.from_string(space.to_string(arch)).tolist(), arch)

  @parameterized.parameters(
    ("", "is written like"),
    (STRING.replace("n_units_1", "units"), "is written like"),
    (STRING.partition(",")[2], "is written like"),
    (STRING.replace("0.3", "0.30"), "dropout_1 is one of 0.0, 0.3, 0.6"),
    (STRING.replace("tanh", "gelu"), "relu, tanh, got 'gelu'"),
  )
  def test_other_strings(self, string, part):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, part):
      fcnet.fcnet().from_string(string)


class NatsSizeTest(parameterized.TestCase):
  def test_space(self):
    """Oracle: 8 widths to the power of 5."""
    space = registry.make_space("nats_size")
    self.assertIs(space, nats_size.nats_size())
    self.assertEqual(space.num_architectures, 32768)

  def test_strings(self):
    """Oracle: one by hand; all strings, by NumPy, in the official order."""
    space = nats_size.nats_size()
    self.assertEqual(
      space.from_string("8:64:16:40:8").tolist(), [0, 7, 1, 4, 0]
    )
    widths = [8, 16, 24, 32, 40, 48, 56, 64]
    for row in (0, 11, 284, 32767):
      digits = np.unravel_index(row, (8,) * 5)
      string = ":".join(str(widths[k]) for k in digits)
      self.assertEqual(space.to_string([int(k) for k in digits]), string)
      self.assertEqual(space.from_string(string).tolist(), list(digits))

  @parameterized.parameters("", "8:8:8:8", "8:8:8:8:9", "8:8:8:8:8:8", "a:b")
  def test_other_strings(self, string):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, "5 of the widths 8, 16"):
      nats_size.nats_size().from_string(string)

  @data.needs_table("samples/NATS-sss-v1_0-50262-simple/meta.pickle.pbz2")
  def test_the_published_order(self):
    """Oracle: the authors' list."""
    folder = data.table_path("samples/NATS-sss-v1_0-50262-simple")
    strings = pickles.load_bz2_pickle(folder / "meta.pickle.pbz2")["meta_archs"]
    space = nats_size.nats_size()
    rows = range(0, 32768, 977)
    for row in rows:
      digits = [int(k) for k in np.unravel_index(row, (8,) * 5)]
      self.assertEqual(space.to_string(digits), strings[row])


if __name__ == "__main__":
  absltest.main()
