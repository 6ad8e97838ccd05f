"""All tests: the same examples in every run, however busy the machine. Chance belongs to the soaks, which print their seed
(`make soak`).
"""

import signal

from hypothesis import HealthCheck, settings

settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # What a shell runs in the background does not hear Ctrl-C, and nor would the commands that are tried with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
