"""Tests of nagjax.diffusion.score_matching."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from nagjax.diffusion import score_matching
from nagjax.diffusion import sde

EQUATIONS = {"ve": sde.ve(0.1, 5.0), "vp": sde.vp(0.1, 20.0)}
EQUATIONS["subvp"] = sde.subvp(0.1, 20.0)
NAMES = tuple((name,) for name in EQUATIONS)
T = np.asarray([0.02, 0.2, 0.5, 0.9], np.float32)
ROWS = 2 * np.eye(4)[:, 1:] - 1
"""An empty row, then the three columns, as data."""
ALL = jnp.ones((2, 4), bool)
SOME = jnp.asarray([[False, True, True, True], [True, False, True, True]])
"""The first row is never empty, and the second never the first column."""


def samples(name, seed=0):
  """`f32[4, 2, 3]` perturbed rows, and prior log-odds of their columns."""
  rng = np.random.default_rng(seed)
  clean = ROWS[rng.integers(0, 4, (4, 2))]
  noise, output = rng.normal(size=(2, 4, 2, 3)).astype(np.float32)
  x = EQUATIONS[name].perturb(jnp.asarray(clean, jnp.float32), T, noise)
  return x, jnp.asarray(output)


def posterior(name, x, output, occurs=ALL):
  """Of the four rows, by Bayes' rule over those that occur, in float64."""
  mean, std = (
    np.float64(f(T))[:, None, None]
    for f in (EQUATIONS[name].mean, EQUATIONS[name].std)
  )
  log_joint = np.concatenate([0 * output[..., :1], np.float64(output)], -1)
  for kind, row in enumerate(ROWS):
    distance = np.sum((np.float64(x) - mean * row) ** 2, -1)
    log_joint[..., kind] -= distance / (2 * std[..., 0] ** 2)
  return special.softmax(np.where(occurs[None], log_joint, -np.inf), axis=-1)


class RowsTest(parameterized.TestCase):
  @parameterized.product(name=tuple(EQUATIONS), occurs=(ALL, SOME))
  def test_posterior(self, name, occurs):
    """Oracle: Bayes' rule over all rows, with a softmax of prior log-odds."""
    x, output = samples(name)
    logits = score_matching.row_logits(output, x, T, EQUATIONS[name])
    expected = posterior(name, x, output, occurs)
    np.testing.assert_allclose(
      np.exp(score_matching.log_probabilities(logits, occurs)),
      expected,
      atol=2e-5,
    )
    np.testing.assert_allclose(
      score_matching.denoise(logits, occurs), expected @ ROWS, atol=1e-4
    )

  @parameterized.product(name=tuple(EQUATIONS), occurs=(ALL, SOME))
  def test_flat_posterior(self, name, occurs):
    """Oracle: Bayes' rule with equally likely rows of those that occur."""
    x, _ = samples(name)
    expected = posterior(name, x, np.zeros(x.shape), occurs)[..., 1:]
    found = score_matching.flat_posterior(x, T, EQUATIONS[name], occurs)
    np.testing.assert_allclose(found, expected, atol=2e-5)

  @parameterized.parameters(*NAMES)
  def test_score_of_the_mixture(self, name):
    """Oracle: jax.grad of the log density of four Gaussians, by logsumexp."""
    x, output = samples(name)
    equation = EQUATIONS[name]

    def log_density(x, output, t):
      exponent = jnp.stack(
        [
          -jnp.sum((x - equation.mean(t) * row) ** 2, -1)
          / (2 * equation.std(t) ** 2)
          for row in jnp.asarray(ROWS, jnp.float32)[:, None]
        ],
        axis=-1,
      )
      prior = jnp.pad(output, ((0, 0), (1, 0)))
      return jnp.sum(jax.nn.logsumexp(exponent + prior, axis=-1))

    expected = jax.vmap(jax.grad(log_density))(x, output, jnp.asarray(T))
    clean = score_matching.denoise(
      score_matching.row_logits(output, x, T, equation), ALL
    )
    found = score_matching.score_of_mean(clean, x, T, equation)
    scale = 1 / np.asarray(equation.std(T))[:, None, None]
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-3)

  @parameterized.parameters(*NAMES)
  def test_without_noise_the_sample_decides(self, name):
    """Oracle: the clean rows at t = 1e-5."""
    equation, t = EQUATIONS[name], np.full(1, 1e-5, np.float32)
    clean = jnp.asarray(ROWS[None], jnp.float32)
    logits = score_matching.row_logits(
      jnp.zeros_like(clean), clean, t, equation
    )
    found = score_matching.denoise(logits, jnp.ones((4, 4), bool))
    np.testing.assert_allclose(found, clean, atol=1e-5)

  @parameterized.product(
    name=tuple(EQUATIONS), size=(1.0, -1.0, 1e6, -1e6), t=(1e-5, 1.0)
  )
  def test_what_does_not_occur_has_no_probability(self, name, size, t):
    """Oracle: zeros, and finite losses and gradients, at any sample."""
    equation, t = EQUATIONS[name], np.full(1, t, np.float32)
    x = jnp.full((1, 2, 3), size)
    features = jnp.asarray([[[0, 1, 0], [0, 0, 0]]], jnp.float32)

    def loss(output):
      logits = score_matching.row_logits(output, x, t, equation)
      shares = jnp.exp(score_matching.log_probabilities(logits, SOME))
      loss = score_matching.row_loss(logits, features, SOME)
      return jnp.sum(loss), shares

    (value, shares), gradient = jax.value_and_grad(loss, has_aux=True)(
      jnp.zeros_like(x)
    )
    np.testing.assert_array_equal(shares[0][~SOME], 0.0)
    np.testing.assert_allclose(np.sum(shares, axis=-1), 1.0, rtol=1e-5)
    self.assertTrue(np.isfinite(value))
    self.assertTrue(np.all(np.isfinite(gradient)))

  def test_row_loss(self):
    """Oracle: minus the logarithm of the clean row's share, loops in NumPy."""
    _, output = samples("ve")
    kinds = np.random.default_rng(1).integers(0, 4, (4, 2))
    features = jnp.asarray(np.eye(4)[kinds][..., 1:], jnp.float32)
    expected = []
    for sample, row_kinds in zip(np.float64(output), kinds, strict=True):
      losses = []
      for row, kind in zip(sample, row_kinds, strict=True):
        weights = np.exp([0.0, *row])
        losses.append(-np.log(weights[kind] / weights.sum()))
      expected.append(np.mean(losses))
    found = score_matching.row_loss(output, features, ALL)
    np.testing.assert_allclose(found, expected, rtol=1e-5)

  def test_with_empty(self):
    """Oracle: by hand."""
    features = jnp.asarray([[0.0, 1.0], [0.0, 0.0]])
    np.testing.assert_array_equal(
      score_matching.with_empty(features), [[0, 0, 1], [1, 0, 0]]
    )


class ScoreTest(parameterized.TestCase):
  def test_scaling(self):
    """Oracle: ones are 1, zeros are -1, and back."""
    features = jnp.asarray([[0.0, 1.0], [0.5, 0.0]])
    x = score_matching.scale(features)
    np.testing.assert_array_equal(x, [[-1, 1], [0, -1]])
    np.testing.assert_array_equal(score_matching.unscale(x), features)

  @parameterized.parameters(*NAMES)
  def test_network_inputs(self, name):
    """Oracle: a second moment of one, 20,000 draws, and 999 t."""
    equation = EQUATIONS[name]
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(4, 5000, 4)).astype(np.float32)
    clean = jnp.asarray(rng.choice([-1.0, 1.0], (4, 5000, 4)), jnp.float32)
    x = equation.perturb(clean, T, noise)
    x, condition = score_matching.network_inputs(x, jnp.asarray(T), equation)
    np.testing.assert_allclose(np.mean(x**2, axis=(1, 2)), 1.0, atol=0.05)
    np.testing.assert_allclose(condition, 999 * T, rtol=1e-6)

  @parameterized.parameters(*NAMES)
  def test_published_score(self, name):
    """Oracle: the output itself for VE, and minus it over std for the others.

    The deviation of VP is checked against its closed form, that of sub-VP is
    its square.
    """
    _, output = samples(name)
    found = score_matching.published_score(output, T, EQUATIONS[name])
    t = np.float64(T)
    left = 1 - np.exp(-0.5 * t**2 * 19.9 - 0.1 * t)
    factor = {"ve": np.ones(4), "vp": -(left**-0.5), "subvp": -1 / left}[name]
    expected = output * factor[:, None, None]
    np.testing.assert_allclose(found, expected, rtol=1e-4)

  def test_score_loss(self):
    """Oracle: mean of (std s + z)^2, sample by sample in NumPy."""
    rng = np.random.default_rng(0)
    score, noise = rng.normal(size=(2, 4, 2, 3)).astype(np.float32)
    std = np.asarray([0.1, 0.5, 2.0, 5.0], np.float32)
    expected = [
      np.mean((s * np.float64(score[i]) + noise[i]) ** 2)
      for i, s in enumerate(std)
    ]
    found = score_matching.score_loss(score, noise, std)
    np.testing.assert_allclose(found, expected, rtol=1e-5)

  @parameterized.parameters(*NAMES)
  def test_the_score_of_one_sample_has_no_loss(self, name):
    """Oracle: 0, when the clean sample is known and so the noise is."""
    equation = EQUATIONS[name]
    noise = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
    clean = jnp.asarray(np.broadcast_to(ROWS[1], (4, 2, 3)), jnp.float32)
    x = equation.perturb(clean, T, noise)
    score = score_matching.score_of_mean(clean, x, T, equation)
    loss = score_matching.score_loss(score, noise, equation.std(T))
    np.testing.assert_allclose(loss, 0.0, atol=1e-5)

  @parameterized.parameters(*NAMES)
  def test_mean_of_score(self, name):
    """Oracle: the clean mean that the score was made of."""
    x, clean = samples(name)
    score = score_matching.score_of_mean(clean, x, T, EQUATIONS[name])
    found = score_matching.mean_of_score(score, x, T, EQUATIONS[name])
    scale = 1 / np.asarray(EQUATIONS[name].mean(T))[:, None, None]
    np.testing.assert_allclose(found / scale, clean / scale, atol=2e-3)


if __name__ == "__main__":
  absltest.main()
