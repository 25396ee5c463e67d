"""Gymnasium environments whose observation is text and pictures and whose action is text.

Importing this package registers the environments below under Gymnasium's registry and nothing more: entry points are
strings, so no environment is loaded before somebody makes one.

    gymnasium.make("envs:RLLaVA/Counting-v0")        # imports this package first
    import envs; gymnasium.make("RLLaVA/Counting-v0")

`python -m envs list` prints the catalogue, `python -m envs check ID` holds an environment to the contract.
"""

from gymnasium.envs.registration import register, registry

# id -> (entry point, one line for the catalogue). An environment is added by adding a line.
CATALOGUE: dict[str, tuple[str, str]] = {
    "RLLaVA/Counting-v0": ("envs.counting:Counting", "How many large red squares are there? Coloured shapes, flat."),
}

for _id, (_entry_point, _) in CATALOGUE.items():
    # Importing twice (importlib.reload, a second import path) must not make Gymnasium warn of an override.
    if _id not in registry:
        register(id=_id, entry_point=_entry_point)
