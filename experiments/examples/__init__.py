"""Short scripts in which one part of nagjax is the user's own.

  python -m experiments.examples.own_acquisition
  python -m experiments.examples.own_score_network
  python -m experiments.examples.own_space
  python -m experiments.examples.gradient_on_gp

Each needs the shipped data alone, and on two cores less than a minute once it
is compiled. JAX_COMPILATION_CACHE_DIR=DIRECTORY keeps what is compiled for the
next run.
"""
