"""How fast searching is, and how often the answer is among what is found.

    python bench/search.py --data FOLDER [--passages N] [--out FOLDER]

FOLDER holds corpus.json, passages `{"title", "text"}`, and questions.jsonl, `{"question", "golden_answers"}`, as the
corpus of 2WikiMultihopQA in HippoRAG has them. Measured in one run:

index     seconds to build an index on disk over N passages (100,000): the real ones, and others made from their words
          by a seeded generator: words as often as in the real ones, in short runs as they stand there, names recombined
speed     milliseconds for each real question, five passages each, against that index: in this process, and over HTTP
          from a service in another process on this machine
quality   over the real passages alone: the share of questions one of whose answers stands, as words, in title or text
          of the first five passages. Beside it a plain BM25, bm25s with its defaults, if that is installed. Answers
          yes and no stand in many passages by chance, so that the share without these questions is given too

Writes bench/search.json and bench/search.md.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from made_on import commit, machine

from sandbox.search import Index, Passage, build_index, open_search, read_corpus

HERE = Path(__file__).parent
SERVE = "import sys; from sandbox.search.commands import main; sys.exit(main(sys.argv[1:]))"
TOP_K = 5
WORD = re.compile(r"[^\W_]+")
RUN = 0.7  # how likely a generated text goes on as the real one does at this place
SEED = 20_240_001
DEMANDS = {"index_seconds": 20.0, "median_ms": 3.0, "p95_ms": 15.0, "answer_in_top_5": 0.46}


def generated(real: Sequence[Passage], count: int) -> Iterator[Passage]:
    """Passages that no person wrote, with the vocabulary of those that one did: each goes along a real text and jumps,
    after three words or so, to another place with the same word; its title recombines two real ones."""
    rng = random.Random(SEED)
    texts = [passage.text.split() for passage in real]
    words = [word for text in texts for word in text]
    follow: dict[str, list[int]] = {}
    for at, word in enumerate(words[:-1]):
        follow.setdefault(word, []).append(at + 1)
    for number in range(count):
        length = len(rng.choice(texts))
        at = rng.randrange(len(words))
        text = []
        for _ in range(max(8, length)):
            text.append(words[at])
            chance = rng.random()
            if chance < RUN or words[at] not in follow:
                at = (at + 1) % len(words)
            else:
                places = follow[words[at]]
                at = places[int((chance - RUN) / (1 - RUN) * len(places))]
        first, second = rng.choice(real).title.split(), rng.choice(real).title.split()
        title = " ".join([*first[: (len(first) + 1) // 2], *second[len(second) // 2 :]])
        yield Passage(f"made-{number}", title, " ".join(text))


def timed(search: Callable[[str], Any], questions: Sequence[str]) -> dict[str, float]:
    """Milliseconds a question, by the clock on the wall and in this process's processor time: other work on the
    machine lengthens the first, and hardly the second."""
    for question in questions[:50]:
        search(question)
    took: dict[str, list[float]] = {"": [], "cpu_": []}
    for question in questions:
        start, worked = time.perf_counter(), time.process_time()
        search(question)
        took["cpu_"].append(1000 * (time.process_time() - worked))
        took[""].append(1000 * (time.perf_counter() - start))
    found = {}
    for name, values in took.items():
        values.sort()
        found[f"{name}median_ms"] = statistics.median(values)
        found[f"{name}p95_ms"] = values[int(0.95 * len(values))]
        found[f"{name}most_ms"] = values[-1]
    return found


def plain(text: str) -> str:
    """Lower case, and single blanks instead of everything that is neither letter nor digit."""
    return f" {' '.join(WORD.findall(text.lower()))} "


def quality(find: Callable[[str], Sequence[Passage]], questions: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The share of questions with an answer in what `find` gives: as words, and as characters anywhere."""
    found: dict[str, list[bool]] = {"words": [], "words_not_yes_or_no": [], "characters": []}
    for question in questions:
        shown = [f"{passage.title} {passage.text}" for passage in find(question["question"])]
        answers = question["golden_answers"]
        hit = any(plain(answer) in plain(text) for text in shown for answer in answers)
        found["words"].append(hit)
        if answers[0].lower() not in ("yes", "no"):
            found["words_not_yes_or_no"].append(hit)
        found["characters"].append(any(answer.lower() in text.lower() for text in shown for answer in answers))
    return {name: sum(hits) / len(hits) for name, hits in found.items()}


def other(passages: Sequence[Passage]) -> Callable[[str], Sequence[Passage]] | None:
    """A plain BM25 by another library, over title and text as one; None where it is not installed."""
    try:
        bm25s = importlib.import_module("bm25s")
    except ImportError:
        return None
    ranks = bm25s.BM25()
    texts = [f"{passage.title} {passage.text}" for passage in passages]
    ranks.index(bm25s.tokenize(texts, show_progress=False), show_progress=False)

    def find(question: str) -> Sequence[Passage]:
        numbers, _ = ranks.retrieve(bm25s.tokenize([question], show_progress=False), k=TOP_K, show_progress=False)
        return [passages[number] for number in numbers[0]]

    return find


def over_http(folder: Path, questions: Sequence[str]) -> dict[str, float]:
    """The same from a service in a process of its own."""
    command = [sys.executable, "-c", SERVE, "serve", str(folder), "--port", "0"]
    service = subprocess.Popen(
        command, cwd=HERE.parent, env=os.environ | {"PYTHONPATH": str(HERE.parent)}, stdout=subprocess.PIPE, text=True
    )
    try:
        assert service.stdout is not None
        client = open_search(service.stdout.readline().split()[-1])
        measured = timed(lambda question: client.search([question], TOP_K), questions)
        start = time.perf_counter()
        for at in range(0, len(questions), 64):
            client.search(questions[at : at + 64], TOP_K)
        return measured | {"ms_a_question_in_batches_of_64": 1000 * (time.perf_counter() - start) / len(questions)}
    finally:
        service.terminate()
        service.wait()


def measure(data: Path, count: int) -> dict[str, Any]:
    real = list(read_corpus(data / "corpus.json"))
    questions = [json.loads(line) for line in (data / "questions.jsonl").read_text("utf-8").splitlines()]
    texts = [question["question"] for question in questions]
    if count < len(real):
        raise SystemExit(f"--passages must be at least {len(real)}, the real ones; got {count}")
    passages = [*real, *generated(real, count - len(real))]
    found: dict[str, Any] = {"commit": commit(), "machine": machine(), "demands": DEMANDS}
    found["load"] = os.getloadavg()[0]
    found |= {"passages": len(passages), "real": len(real), "questions": len(questions)}
    found["words_a_passage"] = {
        "real": statistics.mean(len(passage.text.split()) for passage in real),
        "all": statistics.mean(len(passage.text.split()) for passage in passages),
    }
    with tempfile.TemporaryDirectory(prefix="bench-search-") as scratch:
        folder = Path(scratch) / "index"
        start, worked = time.perf_counter(), time.process_time()
        build_index(folder, passages)
        found["index_seconds"] = time.perf_counter() - start
        found["index_cpu_seconds"] = time.process_time() - worked
        found["index_megabytes"] = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        start = time.perf_counter()
        index = Index.open(folder)
        found["open_seconds"] = time.perf_counter() - start
        found["in_process"] = timed(lambda question: index.search([question], TOP_K), texts)
        found["http"] = over_http(folder, texts)
    small = Index.of(real)
    found["quality"] = quality(lambda text: [hit.passage for hit in small.search([text], TOP_K)[0]], questions)
    find = other(real)
    found["quality_of_plain_bm25"] = None if find is None else quality(find, questions)
    return found


def markdown(found: dict[str, Any]) -> str:
    demands, mine, plain_bm25 = found["demands"], found["quality"], found["quality_of_plain_bm25"]
    here, there = found["in_process"], found["http"]
    lines = [
        "# Search: speed and quality",
        "",
        f"`make verify-search DATA=FOLDER` at commit {found['commit']} on {found['machine']}; load of "
        f"{found['load']:.1f} processes before it began. Processor time is that of the measuring process.",
        "",
        f"{found['passages']:,} passages, of which {found['real']:,} real ones of 2WikiMultihopQA; "
        f"{found['questions']:,} real questions, five passages each. Words a passage: "
        f"{found['words_a_passage']['real']:.0f} in the real ones, {found['words_a_passage']['all']:.0f} in all.",
        "",
        "| what | by the clock | processor time | demanded |",
        "|---|---|---|---|",
        f"| index built, on the disk ({found['index_megabytes']:.0f} MB) | {found['index_seconds']:.1f} s "
        f"| {found['index_cpu_seconds']:.1f} s | at most {demands['index_seconds']:.0f} s |",
        f"| index opened, every byte checked | {found['open_seconds']:.2f} s | | |",
        f"| a question in this process, median | {here['median_ms']:.2f} ms | {here['cpu_median_ms']:.2f} ms "
        f"| at most {demands['median_ms']:.0f} ms |",
        f"| 95th percentile | {here['p95_ms']:.2f} ms | {here['cpu_p95_ms']:.2f} ms "
        f"| at most {demands['p95_ms']:.0f} ms |",
        f"| a question over HTTP, median | {there['median_ms']:.2f} ms | {there['cpu_median_ms']:.2f} ms, client | |",
        f"| 95th percentile | {there['p95_ms']:.2f} ms | {there['cpu_p95_ms']:.2f} ms, client | |",
        f"| in batches of 64 | {there['ms_a_question_in_batches_of_64']:.2f} ms a question | | |",
        "",
        "The answer is in the first five of the real passages, as a share of the questions (demanded: at least "
        f"{demands['answer_in_top_5']}, and no less than plain BM25):",
        "",
        "| counted | ours | bm25s, its defaults |",
        "|---|---|---|",
    ]
    names = {
        "characters": "anywhere in the text",
        "words": "as whole words",
        "words_not_yes_or_no": "as whole words, without questions answered yes or no",
    }
    for name, label in names.items():
        beside = "not installed" if plain_bm25 is None else f"{plain_bm25[name]:.3f}"
        lines.append(f"| {label} | {mine[name]:.3f} | {beside} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="with corpus.json, questions.jsonl")
    parser.add_argument("--passages", type=int, default=100_000, metavar="N")
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    found = measure(given.data, given.passages)
    (given.out / "search.json").write_text(json.dumps(found, indent=1) + "\n")
    (given.out / "search.md").write_text(markdown(found))
    print(markdown(found))


if __name__ == "__main__":
    main()
