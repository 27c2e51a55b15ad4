"""Tests of nagjax.diffusion.samplers."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nagjax.diffusion import samplers
from nagjax.diffusion import schedules
from nagjax.diffusion import sde

Center, WIDTH = 0.4, 0.5
"""Of Gaussian data, whose score is known."""
EQUATIONS = {"ve": sde.ve(0.1, 5.0), "vp": sde.vp(0.1, 20.0)}
EQUATIONS["subvp"] = sde.subvp(0.1, 20.0)


def gaussian_score(equation):
  """Score of `N(Center, WIDTH^2)` after perturbation."""

  def score(x, t):
    mean, std = (f(t)[:, None, None] for f in (equation.mean, equation.std))
    return (mean * Center - x) / (mean**2 * WIDTH**2 + std**2)

  return score


def marginal(equation, t):
  """Mean and deviation of the perturbed Gaussian data, in float64."""
  mean, std = (float(f(t)) for f in (equation.mean, equation.std))
  return mean * Center, np.sqrt(mean**2 * WIDTH**2 + std**2)


def moments_at(name, t):
  """Closed forms of the equations above: mean, deviation, rate, g."""
  if name == "ve":
    std = 0.1 * 50**t
    return 1.0, std, 0.0, std * np.sqrt(2 * np.log(50))
  c = -0.25 * t**2 * 19.9 - 0.05 * t
  beta = 0.1 + 19.9 * t
  return np.exp(c), np.sqrt(1 - np.exp(2 * c)), -beta / 2, np.sqrt(beta)


def published_chain(name, predictor, corrector, start, draws):
  """The program's sampler, written from a description, in float64.

  Returns:
    The last sample, and the mean that it was drawn around.
  """
  num = len(draws)
  betas = np.linspace(0.1 / num, 20.0 / num, num)
  sigmas = np.exp(np.linspace(np.log(0.1), np.log(5.0), num))
  x = mean = np.float64(start)

  def norm(a):
    return np.mean([np.linalg.norm(row) for row in a])

  for t, (z_corrector, z_predictor) in zip(
    np.linspace(1, 1e-5 if name == "ve" else 1e-3, num), draws, strict=True
  ):
    m, std, rate, g = moments_at(name, t)
    index = int(t * (num - 1) + 1e-9)

    def score(x, m=m, std=std):
      return (m * Center - x) / (m**2 * WIDTH**2 + std**2)

    if corrector == "langevin":
      alpha = 1.0 if name == "ve" else 1 - betas[index]
      s = score(x)
      eta = 2 * alpha * (0.16 * norm(z_corrector) / norm(s)) ** 2
      x = x + eta * s + np.sqrt(2 * eta) * z_corrector
    mean = x
    if predictor == "euler_maruyama":
      mean = x - (rate * x - g**2 * score(x)) / num
      x = mean + g * np.sqrt(1 / num) * z_predictor
    elif predictor == "reverse_diffusion":
      if name == "ve":
        before = sigmas[index - 1] if index else 0.0
        drift, noise = 0.0, np.sqrt(sigmas[index] ** 2 - before**2)
      else:
        drift = (np.sqrt(1 - betas[index]) - 1) * x
        noise = np.sqrt(betas[index])
      mean = x - (drift - noise**2 * score(x))
      x = mean + noise * z_predictor
  return x, mean


def ddim(x, x0, noise, alpha, alpha_next, scale):
  """The step in float64, term by term."""
  sigma = scale * np.sqrt(
    (1 - alpha_next) / (1 - alpha) * (1 - alpha / alpha_next)
  )
  epsilon = (x - np.sqrt(alpha) * x0) / np.sqrt(1 - alpha)
  direction = np.sqrt(max(1 - alpha_next - sigma**2, 0))
  return np.sqrt(alpha_next) * x0 + direction * epsilon + sigma * noise


def inputs(seed=0, shape=(5, 56)):
  rng = np.random.default_rng(seed)
  return rng.normal(size=(3, *shape)).astype(np.float32)


class DdimStepTest(parameterized.TestCase):
  @parameterized.parameters(
    (0.3, 0.7, 0.8), (0.3, 0.7, 0.0), (0.3, 0.7, 1.0), (0.9997, 0.9999, 0.8)
  )
  def test_general_case(self, alpha, alpha_next, scale):
    """Oracle: NumPy in float64."""
    x, x0, noise = inputs()
    step = jax.jit(samplers.ddim_step)
    result = step(x, x0, noise, alpha, alpha_next, noise_scale=scale)
    a, b = np.float32(alpha), np.float32(alpha_next)
    expected = ddim(*map(np.float64, (x, x0, noise, a, b)), scale)
    np.testing.assert_allclose(result, expected, rtol=2e-4, atol=2e-4)

  def test_a_whole_schedule(self):
    """Oracle: NumPy in float64 at each pair of the cosine schedule."""
    alphas = np.asarray(schedules.cosine(100))
    x, x0, noise = inputs(1)
    step = jax.jit(samplers.ddim_step)
    for t in (99, 98, 60, 20, 3, 2, 1):
      result = step(x, x0, noise, alphas[t], alphas[t - 1])
      self.assertTrue(np.all(np.isfinite(result)))
      expected = ddim(
        *map(np.float64, (x, x0, noise, alphas[t], alphas[t - 1])), 0.8
      )
      np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-3)

  def test_the_first_step_takes_no_direction_from_the_estimate(self):
    """Oracle: closed form at alpha = 0, where the direction is x itself."""
    x, x0, noise = inputs()
    result = samplers.ddim_step(x, x0, noise, 0.0, 0.25)
    sigma = 0.8 * np.sqrt(0.75)
    expected = 0.5 * x0 + np.sqrt(0.75 - sigma**2) * x + sigma * noise
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)

  @parameterized.parameters(0.0, 0.8, 1.0)
  def test_the_last_step_returns_the_estimate(self, scale):
    """Oracle: exactly x0 at alpha' = 1."""
    x, x0, noise = inputs()
    result = samplers.ddim_step(x, x0, noise, 0.99, 1.0, noise_scale=scale)
    np.testing.assert_array_equal(result, x0)

  def test_without_noise_the_draw_does_not_matter(self):
    """Oracle: another draw."""
    x, x0, noise = inputs()
    a = samplers.ddim_step(x, x0, noise, 0.2, 0.5, noise_scale=0.0)
    b = samplers.ddim_step(x, x0, 7 * noise, 0.2, 0.5, noise_scale=0.0)
    np.testing.assert_array_equal(a, b)

  def test_the_level_of_noise_is_that_of_the_schedule(self):
    """Oracle: variance 1 - alpha' around sqrt(alpha') x0, 20,000 draws."""
    rng = np.random.default_rng(0)
    z, noise = rng.normal(size=(2, 20000)).astype(np.float32)
    x0 = np.full(20000, 0.7, np.float32)
    x = np.float32(np.sqrt(0.3)) * x0 + np.float32(np.sqrt(0.7)) * z
    for scale in (0.0, 0.8, 1.0):
      result = samplers.ddim_step(x, x0, noise, 0.3, 0.6, noise_scale=scale)
      self.assertAlmostEqual(float(np.mean(result)), 0.7 * 0.6**0.5, delta=0.03)
      self.assertAlmostEqual(float(np.var(result)), 0.4, delta=0.02)


class PredictorCorrectorTest(parameterized.TestCase):
  @parameterized.product(
    name=("ve", "vp"),
    predictor=samplers.PREDICTORS,
    corrector=samplers.CORRECTORS,
  )
  def test_replayed_noise(self, name, predictor, corrector):
    """Oracle: the published chain of 1,000 steps in NumPy's float64."""
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(1000, 2, 3, 2, 2)).astype(np.float32)
    equation = EQUATIONS[name]
    start = equation.prior_std * rng.normal(size=(3, 2, 2)).astype(np.float32)
    expected = published_chain(name, predictor, corrector, start, draws)
    for denoise in (False, True):
      config = samplers.Config(
        predictor=predictor, corrector=corrector, denoise=denoise
      )
      found = samplers.predictor_corrector(
        gaussian_score(equation), equation, start, draws, config
      )
      self.assertEqual(int(found.bad_step), -1)
      np.testing.assert_allclose(
        found.x, expected[int(denoise)], rtol=2e-3, atol=2e-3
      )

  @parameterized.product(
    name=("ve", "vp"),
    predictor=samplers.PREDICTORS[:2],
    corrector=samplers.CORRECTORS,
  )
  @pytest.mark.slow
  def test_the_exact_score_gives_the_data(self, name, predictor, corrector):
    """Oracle: mean and deviation of the data, and of the noise at the end.

    Of 16,000 draws: the mean within 0.02, five standard errors; the deviation
    within 4 %, since the correction's finite step adds 1 % to it.
    """
    equation = EQUATIONS[name]
    config = samplers.Config(200, predictor, corrector)

    @jax.jit
    def sample(key):
      start_key, step_key = jax.random.split(key)
      start = samplers.draw_prior(start_key, equation, (1000, 2, 8))
      # The mean that the data still have at time 1.
      start = start + equation.mean(1.0) * Center
      return samplers.predictor_corrector(
        gaussian_score(equation), equation, start, step_key, config
      )

    x = np.asarray(sample(jax.random.key(0)).x, np.float64)
    _, deviation = marginal(equation, equation.end_time)
    self.assertAlmostEqual(x.mean(), Center, delta=0.02)
    self.assertAlmostEqual(x.std() / deviation, 1.0, delta=0.04)

  @parameterized.parameters(
    ((5, 2, 3, 2, 2),), ((4, 2, 1, 2, 2),), ((4, 1, 3, 2, 2),), ((4,),)
  )
  def test_draws_of_another_shape_are_refused(self, shape):
    """Oracle: the documented ValueError with both shapes."""
    equation = EQUATIONS["ve"]
    with self.assertRaisesRegex(ValueError, r"\(4, 2, 3, 2, 2\).*got \("):
      samplers.predictor_corrector(
        gaussian_score(equation),
        equation,
        jnp.zeros((3, 2, 2)),
        jnp.zeros(shape),
        samplers.Config(4),
      )

  @parameterized.parameters(
    ({"num_steps": 1}, "num_steps"),
    ({"snr": 0.0}, "snr"),
    ({"predictor": "heun"}, "euler_maruyama, .*'heun'"),
    ({"corrector": "other"}, "langevin, none.*'other'"),
  )
  def test_bad_options(self, options, message):
    """Oracle: the ValueError names the option."""
    with self.assertRaisesRegex(ValueError, message):
      samplers.Config(**options)

  def test_langevin_of_a_score_of_zero(self):
    """Oracle: finite; without a score there is no length to follow."""
    x, noise = np.random.default_rng(0).normal(size=(2, 3, 2, 2))
    x, noise = map(jnp.float32, (x, noise))
    moved = samplers.langevin_step(x, jnp.zeros_like(x), noise, 0.16, 1.0)
    self.assertTrue(np.all(np.isfinite(moved)))

  def test_draw_prior(self):
    """Oracle: N(0, 25), 20,000 draws, five standard errors."""
    draws = samplers.draw_prior(
      jax.random.key(0), EQUATIONS["ve"], (5000, 2, 2)
    )
    self.assertAlmostEqual(float(draws.mean()), 0.0, delta=5 * 5 / 20000**0.5)
    self.assertAlmostEqual(float(draws.std()), 5.0, delta=5 * 5 / 40000**0.5)


class FlowTest(parameterized.TestCase):
  """The samplers without noise, on data whose flow is known.

  The flow of Gaussian data moves every sample by a factor: its distance from
  the mean, in deviations, stays.
  """

  def _solve(self, sampler, equation, num_steps):
    """Largest distance from the closed form."""
    mean, deviation = marginal(equation, 1.0)
    distance = np.linspace(-2, 2, 8).reshape(4, 1, 2)
    start = jnp.asarray(mean + deviation * distance, jnp.float32)
    found = sampler(gaussian_score(equation), equation, start, num_steps)
    self.assertEqual(int(found.bad_step), -1)
    mean, deviation = marginal(equation, equation.end_time)
    if sampler is samplers.few_step:  # Ends with the clean mean.
      share = float(equation.mean(equation.end_time)) * WIDTH / deviation
      mean, deviation = Center, WIDTH * share
    return np.max(np.abs(found.x - (mean + deviation * distance)))

  @parameterized.product(
    name=("ve", "vp", "subvp"),
    sampler=(samplers.few_step, samplers.probability_flow),
  )
  def test_exact_score(self, name, sampler):
    """Oracle: the closed form of the flow, sample by sample."""
    num_steps = 200 if sampler is samplers.few_step else 600
    self.assertLess(self._solve(sampler, EQUATIONS[name], num_steps), 4e-3)

  @parameterized.parameters("ve", "vp", "subvp")
  def test_few_step_is_of_second_order(self, name):
    """Oracle: half the step leaves a quarter of the error."""
    errors = [
      self._solve(samplers.few_step, EQUATIONS[name], num_steps + 1)
      for num_steps in (30, 60, 120)
    ]
    for long, short in zip(errors, errors[1:], strict=False):
      self.assertBetween(long / short, 3.5, 4.5)

  def test_heun_is_of_second_order(self):
    """Oracle: half the step leaves a quarter of the error."""
    errors = [
      self._solve(samplers.probability_flow, EQUATIONS["ve"], num_steps)
      for num_steps in (30, 60, 120)
    ]
    for long, short in zip(errors, errors[1:], strict=False):
      self.assertBetween(long / short, 3.5, 4.5)

  @parameterized.parameters(samplers.few_step, samplers.probability_flow)
  def test_from_the_prior(self, sampler):
    """Oracle: mean and deviation of the data, 16,000 draws, 0.03.

    The prior has another mean; a 50th of the distance is left.
    """
    equation = sde.ve(0.1, 20.0)
    start = samplers.draw_prior(jax.random.key(0), equation, (1000, 2, 8))
    x = sampler(gaussian_score(equation), equation, start, 60).x
    self.assertAlmostEqual(float(x.mean()), Center, delta=0.03)
    self.assertAlmostEqual(float(x.std()), WIDTH, delta=0.03)

  def test_few_step_needs_two(self):
    """Oracle: the documented ValueError."""
    with self.assertRaisesRegex(ValueError, "at least 2, got 1"):
      self._solve(samplers.few_step, EQUATIONS["ve"], 1)


class BadStepTest(parameterized.TestCase):
  @parameterized.parameters("predictor_corrector", "few_step", "flow")
  def test_the_step_is_reported(self, name):
    """Oracle: the first of the sampler's times at which the score breaks."""
    equation, num_steps = EQUATIONS["ve"], 20
    start = jnp.ones((2, 1, 3))

    @jax.jit
    def run(breaks_at):
      def score(x, t):
        broken = (t < breaks_at) & (jnp.arange(2) == 1)  # Of one sample.
        return jnp.where(broken[:, None, None], jnp.nan, -x)

      if name == "few_step":
        return samplers.few_step(score, equation, start, num_steps)
      if name == "flow":
        return samplers.probability_flow(score, equation, start, num_steps)
      config = samplers.Config(num_steps)
      return samplers.predictor_corrector(
        score, equation, start, jax.random.key(0), config
      )

    # Equal steps of time, and of the logarithm of VE's deviation, are the same.
    times = np.linspace(1, 1e-5, num_steps)
    if name == "flow":  # Looks one step ahead.
      times = np.linspace(1, 1e-5, num_steps + 1)[1:]
    for bad in (0, 7, num_steps - 1):
      sampled = run(times[bad] + 1e-3)
      self.assertEqual(int(sampled.bad_step), bad)
      self.assertFalse(np.isfinite(sampled.x).all())
      with self.assertRaisesRegex(FloatingPointError, f"Step {bad} of"):
        samplers.check_finite(sampled.bad_step)
    sampled = run(-1.0)
    self.assertEqual(int(sampled.bad_step), -1)
    samplers.check_finite(sampled.bad_step)


if __name__ == "__main__":
  absltest.main()
