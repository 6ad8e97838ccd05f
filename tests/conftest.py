"""All tests: the same examples in every run, however busy the machine. Chance belongs to the soaks, which print their seed
(`make soak`).
"""

from hypothesis import HealthCheck, settings

settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")
