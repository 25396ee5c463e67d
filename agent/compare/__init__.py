"""Several runs beside each other: `python -m agent compare`."""
