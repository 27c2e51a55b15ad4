"""What papers print, and the commands that are its counterparts here.

One module a paper, all of it data; `experiments.reproduce` runs and reports it.
`nagjax` is no paper: what the README says of this library, by the same means.
"""

from . import agnet
from . import diffusionnag
from . import ednag
from . import nagjax
from . import optiproxy
from .base import Paper

PAPERS: dict[str, Paper] = {
  "ednag": ednag.PAPER,
  "diffusionnag": diffusionnag.PAPER,
  "agnet": agnet.PAPER,
  "optiproxy": optiproxy.PAPER,
  "nagjax": nagjax.PAPER,
}
"""By the values of --paper."""
