"""How all tests are run."""

from hypothesis import HealthCheck, settings

# A machine that does something else is slow, and that is no failure.
settings.register_profile("patient", deadline=None, suppress_health_check=(HealthCheck.too_slow,))
settings.load_profile("patient")
