"""Several training runs one after the other, each a command of its own, with one report at the end."""
