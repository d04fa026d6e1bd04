"""How long a text is for a tokenizer, which may turn one character into many.

Tokenizers normalize a text first, most by Unicode's compatibility forms: U+FDFA becomes 18 characters. So some kilobytes of text
can take gigabytes of memory to tokenize, unless the length after normalization is limited. The decomposed form (NFKD) is at
least as long as the composed one (NFKC) and as the canonical ones, so it bounds them all.
"""

GROWTH = 18
"""The longest decomposition of a character, that of U+FDFA (Unicode 3.2 to 16)."""
STEP = 4096
"""Characters that are decomposed at a time."""


def fitting(text: str, limit: int) -> int:
    """How many characters from the start of ``text`` have at most ``limit`` characters when they are decomposed."""
    if len(text) * GROWTH <= limit:
        return len(text)
    if text.isascii():
        return min(len(text), limit)
    from unicodedata import normalize

    room = limit
    for start in range(0, len(text), STEP):
        part = text[start : start + STEP]
        length = len(part) if part.isascii() else len(normalize("NFKD", part))
        if length > room:
            for index, character in enumerate(part):
                room -= len(normalize("NFKD", character))
                if room < 0:
                    return start + index
        room -= length
    return len(text)
