"""Search spaces: static descriptions of sets of architectures."""

from nagjax.spaces import nasbench201
from nagjax.spaces.base import SearchSpace

__all__ = ["SearchSpace", "nasbench201"]
