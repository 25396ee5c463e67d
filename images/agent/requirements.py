"""What a pyproject.toml says is needed, a requirement a line: python requirements.py PYPROJECT [EXTRA ...]"""

import sys
import tomllib
from pathlib import Path

path, *names = sys.argv[1:]
project = tomllib.loads(Path(path).read_text())["project"]
extras = project["optional-dependencies"]
unknown = [name for name in names if name not in extras]
if unknown:
    sys.exit(f"no extra is named {', '.join(unknown)}; there are {', '.join(extras)}")
# setuptools builds our own wheel.
print("setuptools", *project["dependencies"], *(line for name in names for line in extras[name]), sep="\n")
