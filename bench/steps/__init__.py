"""Speed, beside TRL and beside our own loop with sharing turned off. Read in this order.

world       a Gymnasium environment that costs next to nothing and never gives a group without variance
models      tiny checkpoints of the Qwen families, as Hugging Face folders that everybody loads
clock       seconds of processor time, and the peak of memory
ours        whole steps of `agent.train.train`
theirs      whole steps of TRL's trainers on the same folder, worlds and sizes
agreement   the same completions through both losses
update      the gradient of one group alone
rollout     generation alone, of one turn and of several
counted     operations that cannot be avoided
worker      one measurement, in a process of its own
rounds      several of them, taking turns
rows        a figure, and the file that keeps them
figures     which figures there are
borrowed    figures that other benches made
curves      time and memory over sizes
page        README.md of the folder above
"""
