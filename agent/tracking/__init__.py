"""Where people watch a run: TensorBoard always, Weights & Biases and trackio where a recipe asks for them."""
