"""What every environment stands on, and nothing that belongs to one of them.

Read in this order: `spaces` (what is seen and said), `tasks` (where worlds come from), `actions` (from text to an
action), `rewards` (from an action to a score), `env` (the episode that ties them together), `conformance` (the laws,
as checks that can fail).
"""

# Whoever imports our spaces, a worker process that unpickles one included, must be able to send them.
from . import vector_memory as vector_memory
