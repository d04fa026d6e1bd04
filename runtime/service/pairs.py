"""Two texts that the model reads together."""


def shorten_pair(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens to keep of two texts with ``first`` and ``second`` tokens, so that both have at most ``room``.

    The longer one is cut first, as by the strategy ``longest_first`` of ``tokenizers``, which sentence-transformers and TEI use
    (https://github.com/huggingface/tokenizers, ``tokenizers/src/utils/truncation.rs``).
    """
    if first + second <= room:
        return first, second
    shorter, longer = sorted((first, second))
    longer = max(shorter, room - shorter)
    if shorter + longer > room:
        shorter, longer = room // 2, room - room // 2
    return (shorter, longer) if first <= second else (longer, shorter)
