"""What holds for every test."""

import os

from hypothesis import settings
from jaxtyping import install_import_hook

# No test reaches a network: a model or data set that is not there is an error at once, and not after a time-out.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# The shapes written in these signatures are checked at every call. This must come before the first import of them.
install_import_hook("agent.objective", "beartype.beartype")

# A busy machine makes an example slow, not wrong.
settings.register_profile("unhurried", settings.get_profile(settings.get_current_profile_name()), deadline=None)
settings.load_profile("unhurried")
