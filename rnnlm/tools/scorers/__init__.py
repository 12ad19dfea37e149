"""Scorers that are no models of rnnlm, which `rnnlm doctor` checks: functions of Python by name,
and servers."""
