"""What pyproject.toml says is needed, a requirement a line: python requirements.py [EXTRA ...]

In a folder of its own with pyproject.toml beside it, so that an image's libraries depend on that file alone.
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parent / "pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
unknown = [name for name in sys.argv[1:] if name not in extras]
if unknown:
    sys.exit(f"no extra is named {', '.join(unknown)}; there are {', '.join(extras)}")
# setuptools builds our own wheel.
print("setuptools", *project["dependencies"], *(line for name in sys.argv[1:] for line in extras[name]), sep="\n")
