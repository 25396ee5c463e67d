"""What a run leaves for people: a table in the terminal, a learning curve, a page with its trajectories."""

from .table import results_table, show_report
from .write import write_report

__all__ = ["results_table", "show_report", "write_report"]
