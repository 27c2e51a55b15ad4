"""What the binaries share: flags, outputs, progress, results, plots."""
