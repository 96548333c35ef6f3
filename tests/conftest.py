"""Settings of every test: property tests draw the same examples on every run and are never judged by their time."""

from hypothesis import settings

pytest_plugins = ["tests.figures", "tests.cluster.fixtures"]

settings.register_profile("millrace", deadline=None, derandomize=True)
settings.load_profile("millrace")
