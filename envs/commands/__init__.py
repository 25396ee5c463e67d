"""The commands of `python -m envs`, one file each; `python -m envs --help` lists them.

Every file has `add(commands)`, which declares its arguments, and `run(given) -> exit status`.
"""
