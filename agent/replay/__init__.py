"""A run's recorded steps, gone through again without a model: what is the same, and what is not.

recording.py     what a recorded step keeps beside its trajectories: what the models said, and what came of it
record.py        writes it
differences.py   one difference between a record and its repetition, and how any two values are compared
episodes.py      episodes played again: environments are given the recorded actions, their answers are compared
played.py        the roles and engines of a run whose models say what a record says that they said
step.py          rewards, advantages and losses of a step worked out again by the trainer's own functions
processes.py     the processes of a run as threads of one
run_folder.py    what a run's folder has that a replay needs
command.py       `python -m agent replay`
"""
