"""All tests: the same examples in every run. Chance belongs to the soaks, which print their seed (`make soak`)."""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")
