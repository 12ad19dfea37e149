"""What all tests share: hypothesis runs the same examples every time, however slow the machine is."""

from hypothesis import HealthCheck, settings

settings.register_profile("rnnlm", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", deadline=None, max_examples=3000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rnnlm")
