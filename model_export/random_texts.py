"""Random texts to compare tokenizers on, of the kinds on which implementations differ."""

import random
import sys
import unicodedata
from collections.abc import Iterator

SCRIPTS = (
    *((0x20, 0x7F), (0xA0, 0x180), (0x370, 0x400), (0x400, 0x530), (0x590, 0x600), (0x600, 0x700), (0x900, 0x980)),
    *((0xE00, 0xE80), (0x1100, 0x1200), (0x1E00, 0x1F00), (0x2000, 0x2100), (0x2190, 0x2200), (0x2460, 0x2500)),
    *((0x2E80, 0x3100), (0x4E00, 0x5000), (0xAC00, 0xAE00), (0xFB00, 0xFB50), (0xFE00, 0xFE70), (0xFF00, 0xFFF0)),
    *((0x1D400, 0x1D500), (0x1F300, 0x1F680), (0x1F900, 0x1FB00)),
)
"""Ranges of code points: scripts, symbols, and forms that normalization changes."""
MARKS = (
    "\u0301\u0308\u0323\u0327\u0334\u0345\u035c\u05b0\u064b\u093c\u094d\u0e31\u20e3\u3099\u200d\ufe0f\U0001f3fd\u0489"
)
BASES = "aeinAEIΣσßıIİאبकกがカ가漢😀👩©1.<"
SPACES = " \t\n\r\v\f\x1c\x85\xa0\u1680\u2003\u200b\u2028\u202f\u3000\ufeff\u2581"
WORDS = (
    "don't",
    "I'LL",
    "we've",
    "O'Neill",
    "'s",
    "naïve",
    "Straße",
    "ΟΔΟΣ",
    "ΣΑΣ",
    "İstanbul",
    "x=1",
    "3.14",
    "1,000",
    "a_b",
    "C++",
)
RUNS = "—-=_.*~#!?…·•→▪★─│。、 3a0ab"
CONTROLS = "\x00\x01\x1b\x7f\xad\u200b\u2060"


def random_texts(tokenizer, count: int, seed: int) -> Iterator[str]:
    """``count`` texts of up to about 100 characters.

    Args:
        tokenizer: ``tokenizers.Tokenizer``; some texts are made of its tokens.
    """
    chance = random.Random(seed)
    specials = [token.content for token in tokenizer.get_added_tokens_decoder().values()] or ["<s>"]
    size = tokenizer.get_vocab_size()
    kinds = (_script, _scripts, _run, _marks, _spaces, _anything, _assigned)
    for _ in range(count):
        kind = chance.randrange(len(kinds) + 3)
        if kind < len(kinds):
            yield kinds[kind](chance)
        elif kind == len(kinds):
            yield _special(chance, chance.choice(specials))
        else:
            ids = [chance.randrange(size) for _ in range(chance.randint(1, 6))]
            if kind == len(kinds) + 1:
                ids = [chance.choice(ids) for _ in range(chance.randint(2, 12))]
            text = tokenizer.decode(ids, skip_special_tokens=True)
            yield text.replace(" ", "") if chance.random() < 0.7 else text


def _characters(chance: random.Random, range_: tuple[int, int], longest: int) -> str:
    return "".join(chr(chance.randrange(*range_)) for _ in range(chance.randint(1, longest)))


def _script(chance: random.Random) -> str:
    script = chance.choice(SCRIPTS)
    return " ".join(_characters(chance, script, 12) for _ in range(chance.randint(1, 6)))


def _scripts(chance: random.Random) -> str:
    parts = [_characters(chance, chance.choice(SCRIPTS), 6) for _ in range(chance.randint(1, 8))]
    return chance.choice(("", " ")).join(parts)


def _run(chance: random.Random) -> str:
    character = chance.choice(RUNS)
    parts = (
        chance.choice((character * chance.randint(1, 24), chance.choice(RUNS))) for _ in range(chance.randint(1, 6))
    )
    return "".join(parts)


def _marks(chance: random.Random) -> str:
    return "".join(chance.choice(chance.choice((BASES, MARKS))) for _ in range(chance.randint(1, 12)))


def _spaces(chance: random.Random) -> str:
    parts = []
    for _ in range(chance.randint(1, 6)):
        parts += [chance.choice(WORDS), *chance.choices(SPACES, k=chance.choice((0, 1, 1, 2, 5)))]
    chance.shuffle(parts)
    return "".join(parts)


def _anything(chance: random.Random) -> str:
    """Code points of the first two planes, assigned or not, or of all planes; no surrogates."""
    end = chance.choice((0x800, 0x3000, 0x10000, 0x20000, sys.maxunicode + 1))
    codes = (chance.randrange(end) for _ in range(chance.randint(1, 8)))
    return chance.choice(("", "a", " ")).join(chr(code) for code in codes if not 0xD800 <= code < 0xE000)


def _assigned(chance: random.Random) -> str:
    text = _anything(chance)
    return "".join(character for character in text if unicodedata.category(character)[0] != "C") + chance.choice(WORDS)


def _special(chance: random.Random, token: str) -> str:
    """A special token, or a spelling that normalization turns into it or nearly so."""
    at = chance.randint(0, len(token))
    token = chance.choice(
        (
            token,
            token.lower(),
            token.upper(),
            token[:at] + chance.choice(CONTROLS) + token[at:],
            token[:at] + " " + token[at:],
            "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" and chance.random() < 0.5 else c for c in token),
        )
    )
    return chance.choice(("", "a", " ", "é ")) + token + chance.choice(("", "a", " ", "."))
