"""What holds for every test."""

import atexit
import os
import shutil
import tempfile

from hypothesis import settings
from jaxtyping import install_import_hook

# No test reaches a network: a model or data set that is not there is an error at once, and not after a time-out.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# No test writes to a tracker's folders at home. They are read once, when a tracker is imported, and TRL imports trackio
# wherever it is installed: so they must be set before any other import.
os.environ["WANDB_MODE"] = "offline"
_trackers = tempfile.mkdtemp(prefix="trackers_")
atexit.register(shutil.rmtree, _trackers, ignore_errors=True)
for _variable in ("TRACKIO_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
    os.environ[_variable] = os.path.join(_trackers, _variable.lower())

# The shapes written in these signatures are checked at every call. This must come before the first import of them.
install_import_hook("agent.objective", "beartype.beartype")

# A busy machine makes an example slow, not wrong.
settings.register_profile("unhurried", settings.get_profile(settings.get_current_profile_name()), deadline=None)
settings.load_profile("unhurried")
