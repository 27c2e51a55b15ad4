"""Binaries: `python -m experiments.search`, or `nagjax-search` if installed.

Starting one takes seconds of imports, before there is anything to tidy up: an
interruption then ends the process without a traceback.
"""

import os
import signal
import sys

if sys.argv[:1] == ["-m"] or os.path.basename(sys.argv[0]).startswith(
  "nagjax-"
):
  # `support.program` puts Python's own handler back when the work begins.
  signal.signal(signal.SIGINT, lambda *_: os._exit(130))
