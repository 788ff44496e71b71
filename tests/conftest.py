"""For all tests: hypothesis tries the same examples each time, so that a test that fails fails again, on any machine.

Others, to look for what the usual ones do not show: `pytest --hypothesis-profile=random`.
"""

from hypothesis import settings

settings.register_profile("same", derandomize=True, database=None, deadline=None, print_blob=True)
settings.register_profile("random", derandomize=False, deadline=None, print_blob=True)
settings.load_profile("same")
