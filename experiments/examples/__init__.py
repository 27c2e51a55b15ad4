"""Scripts of a screen each; each ends in a picture.

  python -m experiments.examples.first_search

They are in percent format: an editor or Jupyter runs them cell by cell, from
the root of a checkout. Each needs the shipped data alone, and a minute or less
on two cores. JAX_COMPILATION_CACHE_DIR=DIRECTORY keeps what is compiled for the
next run. Their pictures are in experiments/figures.
"""
