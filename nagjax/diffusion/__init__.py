"""Diffusion mathematics on arrays: equations, schedules, samplers, guidance."""

from nagjax.diffusion import guidance
from nagjax.diffusion import noise
from nagjax.diffusion import samplers
from nagjax.diffusion import schedules
from nagjax.diffusion import score_matching
from nagjax.diffusion import sde
from nagjax.diffusion.samplers import ddim_step

__all__ = [
  "ddim_step",
  "guidance",
  "noise",
  "samplers",
  "schedules",
  "score_matching",
  "sde",
]
