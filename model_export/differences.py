"""Texts that kitoken may encode differently from ``tokenizers``, so that the runtime can leave them to ``tokenizers``.

The two differ in the arithmetic of their models and in the versions of their Unicode tables.

*Unigram.* Both look for the segmentation of a word with the greatest sum of scores (Kudo 2018, arXiv:1804.10959), both in float64
and with the same preference between equal sums. kitoken rounds the scores to float32. ``tokenizers`` reads them from JSON with an
error of up to one unit in the last place of a float64 (serde_json without ``float_roundtrip``). The scores of a vocabulary that
sentencepiece trained are float32 numbers, and their sums are exact in float64. Two sums are therefore either equal or differ by
far more than the reading errors, so the libraries can only disagree between segmentations of *equal* score. There are three kinds:

- The same pieces in another order in a run: ``**`` and ``***``, ``***`` and ``**``. Two neighbours always can change places.
- Coincidences. :func:`ambiguous_segmentations` finds all between two pieces and two others, of which the runs are a part, and all
  between one piece and two. XLM-R's vocabulary has 8 of the first besides the runs and none of the second. Between two pieces and
  three it has two, and neither is ever the best segmentation of its string.
- The same *groups* of pieces in another order, where a string is repeated three times without a space and two of it are not
  segmented like one and one: ``cita, s`` and ``cita, sci, tas`` in ``citascitascitas``. These are not recognised. One of two million
  random texts got other ids for this reason, of 200,000 that repeat pieces without spaces; the ids have the same score.

Characters without a piece have a score of their own in each library, but no segmentation avoids them if every character of a piece
is a piece itself, which is checked.

*BPE.* ``tokenizers`` merges the pairs that the model lists. kitoken merges two neighbours if the result is in the vocabulary, and
takes a word that is in the vocabulary as it stands. No merge crosses the border of a token of the result, so a token comes about in
a text as it does alone. If kitoken makes it by listed merges alone, ``tokenizers`` has made the same ones.
:func:`ambiguous_tokens` finds the others. kitoken's expression for words also joins any white-space character to the word after
it, where ``tokenizers`` joins a space only; that matters for a token with such a character, or the end of one, before something else.

*WordPiece.* Both take the longest piece first.

*Characters.* Normalization and splitting depend on the Unicode properties of single characters, on the neighbours of combining
marks and, for lower-casing, on Σ at the end of a word. Properties of assigned characters hardly change (the Unicode stability
policy), so the libraries differ on characters that only one of them knows. :func:`differing_characters` finds them by comparing
every character in :data:`CONTEXTS`.
"""

import itertools
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from runtime.engine.manifest import Differences

LARGE_SETS = (range(0x4E00, 0xA000), range(0xAC00, 0xD7A4), range(0x20000, 0x40000))
"""Ideographs and Hangul syllables. They have the same properties, so :data:`FEW_CONTEXTS` are enough for them."""
CHARACTERS = (range(0xD800), range(0xE000, 0x40000), range(0xE0000, 0xE1000))
"""All characters that are compared: the planes with assigned characters, without surrogates."""
OTHER_CHARACTERS = (range(0x40000, 0xE0000), range(0xE1000, 0x110000))
"""Unassigned and private planes, which are not compared but left to ``tokenizers``."""
COMPOSITIONS = range(0x10000, 0x1D000)
"""Characters left to ``tokenizers`` if texts are composed: new versions of Unicode add pairs here that compose."""
COMPOSING = {"NFC", "NFD", "NFKC", "NFKD"}

FEW_CONTEXTS = (" _ ", "a_a")
CONTEXTS = (
    *("a_", "__", "1_1", "._."),
    # Marks: whether the character extends a cluster, begins one, or changes places with a mark of another combining class.
    *("a\u0301_", "a_\u0301", "_a\u0301", "a_\u0323", "a\u0345_", "a_\u0334"),
    # Emoji that are joined.
    *("©\u200d_", "_\u200d©"),
)
"""Texts to compare a character in, which takes the place of ``_``."""
BLOCK = 64
"""Characters compared in one text."""

SPACES = "\t\n\v\f\r\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
"""White space but for the space itself."""

WORDS = r"'(?:[sdmt]|ll|ve|re)|\s?\p{L}+|\s?\p{N}+|\s?[^\s\p{L}\p{N}]+"
CORRECT_WORDS = rf"[^\S ]?{WORDS}"
"""How kitoken finds the words of byte-level BPE."""

SPACE_AHEAD = r"|\s+(?!\S)|\s+"
"""How the expressions for words of Llama 3, Qwen and their kin end: white space but for its last character before a word."""
LONGEST_SPACE = 1000
"""White-space characters in a row that kitoken is given where its expression ends so; its stack holds more than 100,000."""
LONGEST_WORD_PIECES = 8_000
"""Characters of a text that kitoken is given for WordPiece: it takes time with the square of the number of Chinese characters, 1 s for
32,000, where ``tokenizers`` takes 0.03 s."""


class IncompatibleError(Exception):
    """kitoken's ids differ from those of ``tokenizers`` for texts that cannot be listed. The message completes "kitoken …"."""


def find_differences(definition: dict, reference, kitoken) -> Differences:
    """Find out which texts kitoken may encode differently.

    Args:
        definition: the content of ``tokenizer.json``.
        reference: ``tokenizers.Tokenizer`` of it.
        kitoken: ``kitoken.Kitoken`` of it. A Unigram vocabulary is completed, see :func:`add_special_pieces`.

    Raises:
        IncompatibleError: they differ for texts that cannot be listed.
    """
    model, kinds = definition["model"], set(_types(definition))
    looks_ahead = check_expressions(kitoken)
    tokens, pairs = [], []
    if model["type"] == "Unigram":
        check_unigram(model["vocab"])
        add_special_pieces(kitoken, model["vocab"])
        tokens, pairs = ambiguous_segmentations(model["vocab"])
    elif model["type"] == "BPE":
        added = {token["content"] for token in definition["added_tokens"]}
        tokens = misleading_merges(model, added, joins_spaces=correct_words(kitoken))
    return Differences(
        characters=differing_characters(reference, kitoken, composing=bool(kinds & COMPOSING)),
        tokens=tokens,
        pairs=pairs,
        spaces=LONGEST_SPACE if looks_ahead else None,
        longest=LONGEST_WORD_PIECES if model["type"] == "WordPiece" else None,
    )


def _types(part: object) -> Iterator[str]:
    """All ``type`` entries of a part of ``tokenizer.json`` but for its model, such as ``NFC`` and ``ByteLevel``."""
    if isinstance(part, dict):
        if isinstance(part.get("type"), str):
            yield part["type"]
        for name, value in part.items():
            if name != "model":
                yield from _types(value)
    elif isinstance(part, list):
        for value in part:
            yield from _types(value)


def check_expressions(kitoken) -> bool:
    """Check that kitoken matches its regular expressions without going back, but for white space; returns whether it does there.

    Each repetition that may have to be taken back costs a part of kitoken's stack, and its overflow is a panic, no exception. The
    expressions of Llama 3 and Qwen look ahead behind white space only, so runs longer than :data:`LONGEST_SPACE` are left to
    ``tokenizers``.

    Raises:
        IncompatibleError: an expression looks around elsewhere.
    """
    config, looks_ahead = kitoken.config(), False
    for part in config["split"] + config["normalization"]:
        pattern = (part.get("Pattern") or part.get("Replace") or {}).get("pattern", {})
        expression = pattern.get("Regex", "")
        words = expression.removesuffix(SPACE_AHEAD)
        looks_ahead |= words != expression
        found = re.search(r"\(\?(?:[=!>]|<[=!])|\\[1-9]", words)
        if found:
            raise IncompatibleError(
                f"would crash on a long text: this tokenizer's regular expressions use {found[0]!r}"
            )
    return looks_ahead


def check_unigram(vocabulary: list[tuple[str, float]]) -> None:
    """Check the two conditions of the comparison of segmentations.

    Raises:
        IncompatibleError: the scores are not float32 numbers, or a character of a piece is not a piece itself.
    """
    scores = np.array([score for _, score in vocabulary])
    if not np.allclose(scores, scores.astype(np.float32), rtol=2**-50, atol=0):
        raise IncompatibleError("rounds the scores of this vocabulary to float32")
    pieces = {piece for piece, _ in vocabulary}
    missing = set("".join(pieces)) - pieces
    if missing:
        raise IncompatibleError(
            f"handles {min(missing)!r} differently, a character of pieces that is not a piece itself"
        )


def add_special_pieces(kitoken, vocabulary: list[tuple[str, float]]) -> None:
    """Add the special tokens to the pieces of a Unigram vocabulary, where ``tokenizers`` has them and kitoken does not.

    A text can turn into one when it is normalized, such as ``＜s＞``.
    """
    definition = kitoken.definition()
    unigram = definition["model"]["Unigram"]
    known = {entry["id"] for entry in unigram["vocab"]}
    for id, (piece, score) in enumerate(vocabulary):
        if id not in known:
            unigram["vocab"].append({"id": id, "bytes": list(piece.encode())})
            unigram["scores"].append(score)
    kitoken.set_definition(definition)


def ambiguous_segmentations(vocabulary: list[tuple[str, float]]) -> tuple[list[int], list[tuple[int, int]]]:
    """Pieces ``uv`` with the score of ``u, v``, and pairs ``u, v`` with the score of another pair of the same string.

    The second are two pairs ``u, xv`` and ``ux, v`` with ``score(ux) - score(u) = score(xv) - score(v)``.
    """
    scores = {piece: float(np.float32(score)) for piece, score in vocabulary}
    ids = {piece: id for id, (piece, _) in enumerate(vocabulary)}
    ends = defaultdict(list)  # by x and score(xv) - score(v): all v
    for piece, first, rest in _halves(scores):
        if rest in scores:
            ends[first, scores[piece] - scores[rest]].append(rest)
    tokens, pairs = set(), set()
    for piece, first, rest in _halves(scores):
        if first in scores:
            difference = scores[piece] - scores[first]
            if scores.get(rest) == difference:
                tokens.add(ids[piece])
            for v in ends.get((rest, difference), ()):
                pairs |= {(ids[first], ids[rest + v]), (ids[piece], ids[v])}
    return sorted(tokens), sorted(pairs)


def _halves(pieces: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Each piece, with each way to cut it in two."""
    for piece in pieces:
        for cut in range(1, len(piece)):
            yield piece, piece[:cut], piece[cut:]


def correct_words(kitoken) -> bool:
    """Correct kitoken's expression for GPT-2's words, which does not see the contraction in a line that begins with ``'s``; returns
    whether it splits texts by that expression."""
    config, found = kitoken.config(), False
    for split in config["split"]:
        pattern = split.get("Pattern", {}).get("pattern", {})
        if pattern.get("Regex") == WORDS:
            pattern["Regex"], found = CORRECT_WORDS, True
            kitoken.set_config(config)
    return found


def misleading_merges(model: dict, added: set[str], *, joins_spaces: bool) -> list[int]:
    """Tokens of a BPE vocabulary that kitoken may make where ``tokenizers`` does not.

    Args:
        added: added tokens, which are no results of merges.
        joins_spaces: characters stand for bytes, and kitoken joins any white space to the word behind it, as its form of GPT-2's
            expression does.

    Raises:
        IncompatibleError: the model marks parts of words, or merges at random.
    """
    for option in ("continuing_subword_prefix", "end_of_word_suffix", "dropout"):
        if model.get(option):
            raise IncompatibleError(f"is not compared for BPE with {option}")
    ranks = {
        tuple(pair.split(" ") if isinstance(pair, str) else pair): rank for rank, pair in enumerate(model["merges"])
    }
    by_result: dict[str, int] = {}
    for (first, second), rank in ranks.items():
        by_result.setdefault(first + second, rank)
    vocabulary = {token: id for token, id in model["vocab"].items() if token not in added}
    for token, id in vocabulary.items():  # kitoken ranks tokens without a merge last
        by_result.setdefault(token, len(ranks) + id)
    if model.get("byte_fallback"):
        vocabulary = {token: id for token, id in vocabulary.items() if not re.fullmatch("<0x[0-9A-F]{2}>", token)}
    crossing = _crossing_tokens(vocabulary) if joins_spaces else set()
    return sorted(
        id for token, id in vocabulary.items() if token in crossing or not _is_made_by_merges(token, ranks, by_result)
    )


def _is_made_by_merges(token: str, ranks: dict[tuple[str, ...], int], by_result: dict[str, int]) -> bool:
    """True if kitoken makes ``token`` out of its characters by merges that the model lists, in their order."""
    parts = list(token)
    while len(parts) > 1:
        pairs = list(itertools.pairwise(parts))
        rank, at = min((by_result.get(first + second, math.inf), at) for at, (first, second) in enumerate(pairs))
        if ranks.get(pairs[at]) != rank:
            return False
        parts[at : at + 2] = ["".join(pairs[at])]
    return True


def _crossing_tokens(vocabulary: Iterable[str]) -> set[str]:
    """Byte-level tokens that begin with a white-space character other than a space, or the end of one, and go on otherwise."""
    from tokenizers.pre_tokenizers import ByteLevel

    splitter = ByteLevel(add_prefix_space=False, use_regex=False)

    def spell(text: str) -> str:
        return "".join(part for part, _ in splitter.pre_tokenize_str(text))

    continuing = {spell(chr(code))[1] for code in range(0x80, 0xC0)}  # U+0080 to U+00BF: C2 and then this byte
    no_crossing = continuing | set(spell(" \t\n\v\f\r"))
    ends = {spelled[at:] for spelled in map(spell, SPACES) for at in range(len(spelled))}
    return {
        token
        for token in vocabulary
        for length in (1, 2, 3)
        if token[:length] in ends and len(token) > length and token[length] not in no_crossing
    }


def differing_characters(reference, kitoken, *, composing: bool) -> list[int]:
    """Characters with which texts may get other ids from ``kitoken``, as :attr:`Differences.characters` has them.

    Args:
        composing: texts are composed or decomposed before they are split.

    Raises:
        IncompatibleError: an ASCII character is among them.
    """
    differing = np.zeros(0x110001, bool)  # by code point, and a last one that ends every range
    for codes in (*OTHER_CHARACTERS, *([COMPOSITIONS] if composing else [])):
        differing[codes.start : codes.stop] = True
    large = set(itertools.chain(*LARGE_SETS))
    for context in (*FEW_CONTEXTS, *CONTEXTS):
        codes = [code for code in itertools.chain(*CHARACTERS) if not differing[code]]
        if context in CONTEXTS:
            codes = [code for code in codes if code not in large]
        differing[list(_compare(codes, context, reference, kitoken))] = True
    if differing[:0x80].any():
        raise IncompatibleError(f"encodes texts with {chr(differing.argmax())!r} differently")
    return np.flatnonzero(np.diff(differing, prepend=False)).tolist()


def _compare(codes: list[int], context: str, reference, kitoken) -> Iterator[int]:
    """Those of ``codes`` that get other ids from ``kitoken`` in a context."""
    texts = [context.replace("_", chr(code)) for code in codes]
    blocks = range(0, len(codes), BLOCK)
    joined = ["\n".join(texts[at : at + BLOCK]) for at in blocks]
    encodings = reference.encode_batch_fast(joined, add_special_tokens=False)
    for at, encoding, ids in zip(blocks, encodings, kitoken.encode_all(joined, False), strict=True):
        if encoding.ids == ids:
            continue
        block = range(at, min(at + BLOCK, len(codes)))
        alone = [
            i
            for i in block
            if reference.encode(texts[i], add_special_tokens=False).ids != kitoken.encode(texts[i], False)
        ]
        yield from (codes[i] for i in alone or block)
