"""Token F1 of two short answers, spelled out: lists and loops, no shared code, ASCII only."""


def tokens(text: str) -> list[str]:
    kept = ""
    for character in text.lower():
        if character.isalnum() or character == " ":
            kept += character
    return [word for word in kept.split(" ") if word not in ("", "a", "an", "the")]


def squad_f1(said: str, gold: str) -> float:
    """SQuAD (arXiv 1606.05250): each token of the gold can be matched once."""
    ours, left = tokens(said), tokens(gold)
    total = len(left)
    common = 0
    for word in ours:
        if word in left:
            left.remove(word)
            common += 1
    if common == 0:
        return 0.0
    precision, recall = common / len(ours), common / total
    return 2 * precision * recall / (precision + recall)


def published_f1(said: str, gold: str) -> float:
    """As SQuAD, but a common token counts once however often it occurs; equal token lists count as 1."""
    ours, theirs = tokens(said), tokens(gold)
    if ours == theirs:
        return 1.0
    common = sum(1 for k, word in enumerate(ours) if word in theirs and word not in ours[:k])
    if common == 0:
        return 0.0
    precision, recall = common / len(ours), common / len(theirs)
    return 2 * precision * recall / (precision + recall)
