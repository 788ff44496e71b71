"""Settings of all tests."""

from hypothesis import settings

# Every run tries the same examples: a test that fails fails again, and a change that breaks one is the change at hand.
# Other examples are tried with --hypothesis-profile=explore. The fuzzers of tests/fuzz follow the profile, too: `ci` is
# short and the same as without one, `nightly` long (make fuzz).
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("ci", settings.get_profile("same"))
settings.register_profile("explore", derandomize=False, deadline=None, max_examples=1000)
settings.register_profile("nightly", derandomize=False, deadline=None, max_examples=20_000)
settings.load_profile("same")
