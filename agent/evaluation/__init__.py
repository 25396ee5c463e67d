"""Evaluation: checkpoints, chat servers and baselines on environments, with numbers that can be trusted.

options      what the command line may say
benchmark    what is played: an environment with its arguments and limits, from an id, a recipe, a run or a suite
subject      who plays: a checkpoint, a chat server, or one of an environment's baselines
sitting      one of them at one of those, and which episodes it takes
text_episode one episode in words, for whoever has no tokens
baselines    the environment's own players
players      the three ways to play
folder       every transcript on disk, so that nothing is played twice
scores       from transcripts to means with intervals, pass@k, breakdowns, paired differences
paired       a p-value for scores on the same tasks
collected    what was played, and what follows from it
results      all of it as a table, as JSON and as Markdown
command      `python -m agent eval`
"""
