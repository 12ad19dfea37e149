"""What all tests share: hypothesis runs the same examples every time, however slow the machine is; signals are heard, though
who starts the tests in the background, or with nohup, has some of them ignored, here and in every process started from here."""

import signal

from hypothesis import HealthCheck, settings

settings.register_profile("rnnlm", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", deadline=None, max_examples=3000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rnnlm")

signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
