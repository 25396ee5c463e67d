"""An index in this process, by tantivy: BM25 over titles and texts.

Queries never meet tantivy's query language. They are cut into words as the passages were, and the words
are looked up: so no string is a syntax error, and none can name a field or an operator.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from .contract import MAX_QUERY_CHARS, Hit, Passage, check_request
from .errors import IndexFolderError, SearchArgumentError, SearchUnavailableError
from .folder import MANIFEST, VERSION, Manifest, again, building, check_files, read_manifest, write_manifest

EXACT_BOOST = 2.0  # for the passage whose title is the whole query: who searches for a name wants what bears it
TITLE_BOOST = 1.5  # a word in the title counts as one and a half in the text; see the quality test for the choice
MAX_TERMS = 128  # different words of one query
MAX_WORD = 64  # longer ones are no words
HEAP = 64_000_000  # bytes that the writer may use before it writes a segment
MOST_TIES = 4096  # passages of equal score among which the order of ids decides

# Left out of a query that has other words: they occur everywhere, cost two thirds of the time and tell nothing.
_COMMON = """
a an and are as at be been by did do does for from had has have he her his how i in into is it its of on or she than
that the their them they this to was were what when where which who whom whose why will with
"""
COMMON = frozenset(_COMMON.split())


class Index:
    """Passages that can be searched: in memory (`of`), or in a folder that `build_index` made (`open`)."""

    def __init__(self, engine: ModuleType, index: Any, manifest: Manifest) -> None:
        self.manifest = manifest
        self._engine, self._index, self._schema = engine, index, index.schema
        # Nobody writes to an open index: no thread need watch its folder.
        index.config_reader("manual")
        index.reload()
        self._searcher = index.searcher()
        self._cut, self._analyse = _cutter(engine), _analyser(engine)

    @classmethod
    def of(cls, passages: Iterable[Passage]) -> Index:
        """An index in memory.

        Raises:
            SearchArgumentError: two passages with one id, or something that is no passage.
            SearchUnavailableError: tantivy is not installed.
        """
        engine = _engine()
        index = engine.Index(_schema(engine))
        return cls(engine, index, _fill(engine, index, passages))

    @classmethod
    def open(cls, folder: str | os.PathLike[str], verify: bool = True) -> Index:
        """The index in a folder, for reading only. verify: read every file once and compare it with its hash, about a
        second a gigabyte; otherwise only names and sizes are compared.

        Raises:
            IndexFolderError: no index, a damaged one, one of another version.
            SearchUnavailableError: tantivy is not installed.
        """
        manifest = read_manifest(Path(folder))
        check_files(Path(folder), manifest, verify)
        engine = _engine()
        try:
            # Even to read, tantivy wants a lock file beside the data. It gets a folder of links, and the index stays as
            # it was written, on a read-only disk too. Once open, the files are held and the links no longer needed.
            with _scratch() as links:
                for file in Path(folder).resolve().iterdir():
                    if not file.name.endswith(".lock"):
                        Path(links, file.name).symlink_to(file)
                index = cls(engine, engine.Index.open(links), manifest)
        except SearchUnavailableError:
            raise
        except Exception as error:  # tantivy has no exceptions of its own; whatever is wrong, the folder is
            written = f" (written by {manifest.engine}, read by {engine.__version__})"
            raise IndexFolderError(
                f"{os.fspath(folder)!r} holds a damaged index: {error}{written}; {again(folder)}"
            ) from None
        if index._searcher.num_docs != manifest.count:
            raise IndexFolderError(
                f"{os.fspath(folder)!r} holds {index._searcher.num_docs} passages and its {MANIFEST} says "
                f"{manifest.count}: it is damaged; {again(folder)}"
            )
        return index

    def search(self, queries: Sequence[str], top_k: int) -> list[list[Hit]]:
        """See `SearchBackend.search`."""
        check_request(queries, top_k)
        return [self._search(query, top_k) for query in queries]

    def _search(self, query: str, top_k: int) -> list[Hit]:
        text = query[:MAX_QUERY_CHARS].encode("utf-8", "replace").decode()
        words, make = self._words(text), self._engine.Query
        if not words:
            return []
        exact = make.term_query(self._schema, "name", " ".join(self._analyse.analyze(text)), "basic")
        parts = [make.boost_query(exact, EXACT_BOOST)]
        for word in words:
            parts.append(make.boost_query(make.term_query(self._schema, "title", word, "freq"), TITLE_BOOST))
            parts.append(make.term_query(self._schema, "text", word, "freq"))
        found = self._ranked(make.boolean_query([(self._engine.Occur.Should, part) for part in parts]), top_k)
        hits = [Hit(self._passage(address), score) for score, address in found]
        return sorted(hits, key=lambda hit: (-hit.score, hit.passage.id))[:top_k]

    def _words(self, text: str) -> list[str]:
        """The different words of a query, in its order; common ones only where there are no others."""
        every = self._cut.analyze(text)
        words = [word for word in every if word not in COMMON] or every
        return list(dict.fromkeys(stem for word in words for stem in self._analyse.analyze(word)))[:MAX_TERMS]

    def _ranked(self, query: Any, top_k: int) -> list[tuple[float, Any]]:
        """The best `top_k` and all that equal the last of them, so that ties can be put in the order of ids.

        Scores are rounded to six digits: where processors differ in the last bit of a logarithm, ranks must not.
        """
        limit = top_k + 8
        while True:
            try:
                hits = self._searcher.search(query, limit, count=False).hits
            except Exception as error:  # a file that went away under an open index, say; never the query's doing
                raise SearchUnavailableError(f"the index cannot be searched: {error}") from error
            found = [(float(f"{score:.5e}"), address) for score, address in hits]
            if len(found) < limit or limit >= MOST_TIES or found[-1][0] < found[top_k - 1][0]:
                return [entry for entry in found if entry[0] >= found[min(top_k, len(found)) - 1][0]]
            limit = min(4 * limit, MOST_TIES)

    def _passage(self, address: Any) -> Passage:
        fields = self._searcher.doc(address).to_dict()
        return Passage(fields["id"][0], fields["title"][0], fields["text"][0])


def build_index(
    folder: str | os.PathLike[str], passages: Iterable[Passage], corpus: str = "", instead: bool = False
) -> Manifest:
    """Write an index of `passages` into `folder`, which must not exist yet. Aside first and then renamed: there is a
    whole index or none. Passages are read once, one at a time.

    corpus: what the manifest tells of the file that they are from. instead: a folder that exists is replaced, when all
    is written.

    Raises:
        SearchArgumentError: the folder exists, two passages have one id, or something is no passage.
        SearchUnavailableError: tantivy is not installed.
        CorpusError: from `read_corpus`, whose passages these may be.
    """
    engine = _engine()
    with building(Path(folder), instead) as aside:
        manifest = _fill(engine, engine.Index(_schema(engine), os.fspath(aside)), passages)
        return write_manifest(aside, replace(manifest, corpus=corpus))


@contextlib.contextmanager
def _scratch() -> Iterator[str]:
    try:
        folder = tempfile.mkdtemp(prefix="search-index-")
    except OSError as error:
        raise SearchUnavailableError(f"opening an index needs a folder for temporary files: {error}") from None
    try:
        yield folder
    finally:
        for _ in range(100):  # a thread of tantivy's may make its lock file while we delete
            shutil.rmtree(folder, ignore_errors=True)
            if not os.path.exists(folder):
                break
            time.sleep(0.01)


def _engine() -> ModuleType:
    try:
        import tantivy
    except ImportError as error:
        raise SearchUnavailableError(
            f"searching needs tantivy ({error}); install it: pip install 'rllava-gym[search]'"
        ) from None
    return tantivy


def _cutter(engine: ModuleType) -> Any:
    """Words as a query's are compared with the common ones: between blanks and punctuation, lower case, no accents."""
    keep = engine.Filter
    words = engine.TextAnalyzerBuilder(engine.Tokenizer.simple()).filter(keep.remove_long(MAX_WORD))
    return words.filter(keep.lowercase()).filter(keep.ascii_fold()).build()


def _analyser(engine: ModuleType) -> Any:
    """The same words, without English endings: founded, founding and founds are one."""
    keep = engine.Filter
    words = engine.TextAnalyzerBuilder(engine.Tokenizer.simple()).filter(keep.remove_long(MAX_WORD))
    return words.filter(keep.lowercase()).filter(keep.ascii_fold()).filter(keep.stemmer("english")).build()


def _schema(engine: ModuleType) -> Any:
    builder = engine.SchemaBuilder()
    builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("name", tokenizer_name="raw", index_option="basic")  # the title's words, as one
    for name in ("title", "text"):
        builder.add_text_field(name, stored=True, tokenizer_name="words", index_option="freq")
    return builder.build()


def _fill(engine: ModuleType, index: Any, passages: Iterable[Passage]) -> Manifest:
    """Write passages into an empty index. One thread: the same passages give the same scores, wherever it is built."""
    analyser = _analyser(engine)
    index.register_tokenizer("words", analyser)
    writer = index.writer(HEAP, 1)
    digest, ids = hashlib.sha256(), set[str]()
    try:
        for passage in passages:
            if not isinstance(passage, Passage):
                raise SearchArgumentError(f"expected a Passage; passage {len(ids) + 1} is a {type(passage).__name__}")
            if passage.id in ids:
                raise SearchArgumentError(f"two passages have the id {passage.id!r}: an id must name one passage")
            ids.add(passage.id)
            digest.update(json.dumps([passage.id, passage.title, passage.text]).encode())
            name = " ".join(analyser.analyze(passage.title[:MAX_QUERY_CHARS]))
            writer.add_document(engine.Document(id=passage.id, name=name, title=passage.title, text=passage.text))
        writer.commit()
    finally:
        writer.wait_merging_threads()  # its threads write files until they are joined
    return Manifest(VERSION, engine.__version__, len(ids), ("id", "title", "text"), digest.hexdigest())
