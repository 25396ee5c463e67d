"""Our environments in other people's trainers: TRL's GRPOTrainer, which is 1.16's interface.

    trl_worlds        a data set whose prompts say which world each one is of
    trl_single_turn   TRL generates, the environment scores: a reward function
    trl_many_turns    the episode driver generates, with the trainer's model: a `rollout_func`
    trl_processor     a processor of pictures and text without torchvision, for checkpoints of the Qwen families

Nothing here imports TRL: it calls these.
"""
