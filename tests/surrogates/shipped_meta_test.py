"""Tests of the predictor of images and the extractor that the package ships."""

from importlib import resources

from absl.testing import absltest
import jax.numpy as jnp
import numpy as np

from nagjax import statistics
from nagjax import transfer
from nagjax.candidates import extractors
from nagjax.spaces import nasbench201
from nagjax.surrogates import meta
from nagjax.transfer import base as transfer_base

SPACE = nasbench201.nasbench201()
SEEN = ("tinyimagenet200_32_7000", "cifar100_6500", "notmnist_10k")


class ShippedTest(absltest.TestCase):
  def test_files(self):
    """Oracle: the size that was promised, and the sources of the cards."""
    sizes = [
      len(resources.files(package).joinpath(name).read_bytes())
      for package, name in (
        ("nagjax.candidates", "data/extractor.npz"),
        ("nagjax.surrogates", "data/meta_nasbench201.npz"),
      )
    ]
    self.assertLess(sum(sizes), 2e6)
    predictor, extractor = meta.find(None, SPACE), extractors.find()
    self.assertEqual(predictor.extractor, extractor.name)
    self.assertEqual(predictor.config.image_size, extractor.num_features)
    digests = {source.sha256 for source in predictor.sources}
    self.assertContainsSubset({s["sha256"] for s in extractor.sources}, digests)
    names = {source.name for source in predictor.sources}
    self.assertEqual(names, {"digits", *(f"{name}.npz" for name in SEEN)})
    self.assertEqual(predictor.prior.names, "digits")

  def test_what_it_says_of_images(self):
    """Oracle: the prior, which it follows; other images, another order."""
    predictor, extractor = meta.find(None, SPACE), extractors.find()
    rng = np.random.default_rng(0)
    archs = jnp.asarray(rng.integers(0, 5, (200, 6)), jnp.int32)
    prior = transfer_base.mean_of(transfer.find("digits"), SPACE, archs)
    said = []
    for scale in (20, 120):
      x = rng.normal(128, scale, (20, 12, 12, 3)).clip(0, 255)
      features = extractors.extract(extractor, x)
      rows = meta.draw_rows(rng, np.arange(20) % 2, num_subsets=1)
      codes = meta.encode_images(predictor, features, rows)
      said.append(np.asarray(meta.predict(predictor, codes, archs)))
      found = statistics.rank_correlation(said[-1], prior)
      self.assertGreater(found.spearman, 0.6)
    self.assertGreater(np.abs(said[0] - said[1]).max(), 1e-3)


if __name__ == "__main__":
  absltest.main()
