"""Published data sets: one loader a file, all over one way of reading rows (`source`).

Every loader has `load(data, split) -> Sequence[Item]` and `write_sample(folder)`, which writes a small synthetic set in
exactly the published format. `data` is a folder or a file in that format, or a hub name; None is the published one.
"""
