"""Diffusion mathematics on arrays: schedules and reverse steps."""

from nagjax.diffusion import schedules
from nagjax.diffusion.samplers import ddim_step

__all__ = ["ddim_step", "schedules"]
