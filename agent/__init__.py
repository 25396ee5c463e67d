"""The trainer: a vision-language model as a policy on one token-level Markov decision process.

Read in this order:

1. `types`: Segment, Row, Trajectory: the process as data.
2. `rollout/render`, `rollout/episode`: how messages and pictures become tokens, and one episode.
3. `train`: the loop. `algorithm`: what a recipe's words mean. `objective/`: the equations.
4. `lesson`, `credit`: from rewards to an advantage for each token. `update`: one gradient.
5. `rollout/hf`, `engine/`: where it runs.

Shapes are written in signatures: `rows` are contexts of a batch, `tokens` positions in a context, `trajectories`
episodes; (rows, tokens) tensors are aligned with the tokens, entry t belongs to token t.
"""

DISTRIBUTION = "rllava-gym"
