"""Tests of experiments.samplers, and of what the shipped weights sample."""

import re

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
import pytest

from experiments import samplers
from nagjax import registry
from tests.experiments import runs


def run(*argv):
  return runs.run_binary(samplers, *argv)


class SamplersTest(parameterized.TestCase):
  def test_uniformity(self):
    """Oracle: uniform draws pass, one skewed variable of six does not, and a
    space of rules has no uniform options."""
    space = registry.make_space("nasbench201")
    rng = np.random.default_rng(0)
    archs = rng.integers(0, 5, (2_000, 6))
    text = samplers.describe_uniformity(space, archs)
    self.assertGreater(float(text.split("= ")[1]), 0.01)
    archs[:200, 3] = 2
    self.assertEndsWith(samplers.describe_uniformity(space, archs), "p = 0.00")
    chain = registry.make_space("mobilenetv3")
    self.assertEqual(samplers.describe_uniformity(chain, archs), "")

  @pytest.mark.slow
  def test_two_samplers(self):
    """Oracle: a line for each, with what was asked; few samples of equal
    distributions do not differ."""
    code, out, err = run(
      "--benchmark=synthetic",
      "--num=64",
      "--batch_size=64",
      "--samplers=few_step:6,few_step:8",
    )
    self.assertEqual((code, err), (0, ""))
    _, first, second = out.splitlines()
    self.assertRegex(first, r"^few_step:6 compiled .*, [1-9]\d* distinct")
    self.assertRegex(second, r"^few_step:8 compiled .*distributed as the first")
    self.assertGreater(float(second.rpartition("p = ")[2]), 0.001)

  @pytest.mark.slow
  def test_the_space_is_sampled_uniformly(self):
    """Oracle: 10,000 samples of the shipped weights: all valid, and options as
    frequent as in uniform architectures by chi-square tests."""
    code, out, _ = run("--num=10000", "--batch_size=1000")
    self.assertEqual(code, 0)
    self.assertIn("validity 100.0 %", out)
    p_value = float(re.search(r"options uniform: p = ([\d.]+)", out)[1])
    self.assertGreater(p_value, 0.01)

  @pytest.mark.slow
  def test_few_steps_sample_what_the_published_sampler_does(self):
    """Oracle: 2,000 evaluations of the network by the predictor and corrector;
    the two-sample test of true objectives is not rejected at 1 %."""
    code, out, _ = run(
      "--benchmark=synthetic",
      "--num=512",
      "--samplers=predictor_corrector:1000,few_step:30",
    )
    self.assertEqual(code, 0)
    published, few = out.splitlines()[1:]
    for line in (published, few):
      self.assertIn("validity 100.0 %", line)
    self.assertGreater(float(few.rpartition("p = ")[2]), 0.01)

  @pytest.mark.slow
  def test_mobilenetv3(self):
    """Oracle: 99 % of what the shipped weights sample is valid (of 3,000: 99.1;
    three standard errors of 2,000 samples are .7 %)."""
    code, out, _ = run("--space=mobilenetv3", "--num=2000", "--batch_size=500")
    self.assertEqual(code, 0)
    validity = float(re.search(r"validity ([\d.]+) %", out)[1])
    self.assertGreaterEqual(validity, 99.1 - 0.7)


if __name__ == "__main__":
  absltest.main()
