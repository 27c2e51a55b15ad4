"""The user's errors: what they can mend, in one line."""

from collections.abc import Iterator
import contextlib

_MAX_LINE = 1200


class UsageError(ValueError):
  """Something that the user can mend; its message becomes one line."""


@contextlib.contextmanager
def user_errors(prefix: str = "") -> Iterator[None]:
  """Makes the errors of a check the user's; for use before anything runs.

  Args:
    prefix: what the message begins with, such as the flag at fault.
  """
  try:
    yield
  except UsageError:
    raise
  except (ValueError, OSError) as error:
    raise UsageError(prefix + one_line(error)) from error


def one_line(error: object) -> str:
  """A message without line breaks, and without what cannot be printed.

  A long one keeps its two ends: what was expected, and what to do.
  """
  line = " ".join(str(error).split())
  line = "".join(c if c.isprintable() else "?" for c in line)
  if len(line) > _MAX_LINE:
    half = _MAX_LINE // 2
    line = f"{line[:half]} ... {line[-half:]}"
  return line
