"""Tests of nagjax.benchmarks.mobilenet_latency."""

import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from nagjax.benchmarks import mobilenet_latency as latency
from nagjax.spaces import mobilenetv3
from tests import data


class FitTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = pathlib.Path(folder.name)

  def write(self, **changes):
    """800 networks whose latency is a sum that is known."""
    rng = np.random.default_rng(0)
    archs = np.asarray(mobilenetv3.sample(jax.random.key(0), 800))
    configs = [mobilenetv3.to_ofa(arch) for arch in archs]
    arrays = {
      n: np.asarray([c[n] for c in configs], np.int8) for n in "d e ks".split()
    }
    arrays["r"] = rng.choice([128, 160, 224], 800).astype(np.int16)
    constant, by_pixel = (rng.uniform(0.1, 1, (20, 10)) for _ in range(2))
    constant[:, 9] = by_pixel[:, 9] = 0.0
    layer = np.arange(20)
    pixels = (arrays["r"] / 224.0) ** 2
    total = 2.0 + constant[layer, archs].sum(1)
    total += pixels * (3.0 + by_pixel[layer, archs].sum(1))
    arrays["phone_1_ms"] = total.astype(np.float32)
    np.savez(self.folder / latency.FILE, **{**arrays, **changes})
    return (
      archs,
      lambda r: (
        2.0
        + constant[layer, archs].sum(1)
        + (r / 224) ** 2 * (3.0 + by_pixel[layer, archs].sum(1))
      ),
    )

  def test_a_sum_is_found(self):
    """Oracle: the sum that made the file, at a resolution between."""
    archs, expected = self.write()
    found = latency.fit(192, directory=self.folder)
    model = found.latencies["phone_1_ms"]
    got = jax.jit(model.__call__)(jnp.asarray(archs.reshape(4, 200, 20)))
    np.testing.assert_allclose(got.ravel(), expected(192), rtol=1e-3)
    self.assertLess(found.errors["phone_1_ms"], 1e-4)

  def test_nothing_to_fit(self):
    """Oracle: no models where there are no networks of such images."""
    self.write()
    for resolution in (32, 260):
      found = latency.fit(resolution, directory=self.folder)
      self.assertEqual(found, ({}, {}))
    other = latency.fit(224, directory=self.folder / "none")
    self.assertEqual(other, ({}, {}))

  @parameterized.parameters(
    (dict(d=np.full((800, 5), 7, np.int8)), r"Depths are"),
    (dict(r=np.full(700, 160, np.int16)), "different lengths"),
    (dict(ks=np.zeros((800, 19), np.int8)), "ks"),
  )
  def test_damaged_files(self, changes, message):
    """Oracle: one line that names the file."""
    self.write(**changes)
    with self.assertRaisesRegex(ValueError, message) as raised:
      latency.fit(224, directory=self.folder)
    self.assertIn(latency.FILE, str(raised.exception))

  @pytest.mark.slow
  @data.needs_table(latency.FILE)
  def test_measured_networks(self):
    """Oracle: held-out networks at all resolutions and at one of them."""
    found = latency.fit(160, directory=data.table_path(latency.FILE).parent)
    self.assertLen(found.latencies, 12)
    for name in ("v100_64_ms", "titan_rtx_32_ms", "titan_xp_64_ms"):
      self.assertLess(found.errors[name], 0.035)
    d, ks, e, r, measured = data.read_table(
      latency.FILE, "d", "ks", "e", "r", "v100_64_ms"
    )
    rows = [i for i in range(4000, 5000) if r[i] == 160]
    archs = [
      mobilenetv3.from_ofa(
        {"d": d[i].tolist(), "ks": ks[i].tolist(), "e": e[i].tolist()}
      )
      for i in rows
    ]
    said = found.latencies["v100_64_ms"](jnp.asarray(np.stack(archs)))
    self.assertGreater(stats.spearmanr(said, measured[rows])[0], 0.9)


if __name__ == "__main__":
  absltest.main()
