"""Scoring files of predictions in the formats in which the benchmarks' evaluation code writes them. No torch.

predictions   reading such a file, with errors that name file, row and field
suites        what can be scored: the list behind `python -m envs score`
text, counting, geometry, grounding   from rows to scores, one file a kind of answer
tally         from scores to a result: means over the right divisor, intervals, what was not answered
published     the figures that the papers report

Two protocols everywhere. "strict" is ours: every item of the benchmark counts, one without an answer as 0. "faithful"
is the published code, its faults included, so that figures compare with published ones.
"""
