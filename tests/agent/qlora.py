"""What needs bitsandbytes is tested where it is installed: it makes every start of Python seconds slower."""

import os
from importlib.util import find_spec

import pytest

needs_bitsandbytes = [
    pytest.mark.qlora,
    pytest.mark.skipif(
        find_spec("bitsandbytes") is None and "RLLAVA_REQUIRE_BITSANDBYTES" not in os.environ,
        reason="bitsandbytes is not installed (.ci/vllm makes an environment that has it)",
    ),
]
