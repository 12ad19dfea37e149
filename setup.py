"""Name the packages, so that a folder that is added or deleted is all there is to do; setup.cfg has
the rest. `find:` alone would miss those that stand beside rnnlm."""

from setuptools import find_packages, setup

within = find_packages(include=["rnnlm", "rnnlm.*"], exclude=["rnnlm.cli*"])  # there is a link
beside = find_packages(include=["checkpoints", "cli", "cli.*", "corpora"])
setup(packages=[*within, *(f"rnnlm.{name}" for name in beside)])
