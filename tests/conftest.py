"""Settings of all tests."""

from hypothesis import settings

# Every run tries the same examples: a test that fails fails again, and a change that breaks one is the change at hand.
# Other examples are tried with --hypothesis-profile=explore.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None, max_examples=1000)
settings.load_profile("same")
