"""Pairs of texts, against the truncation of ``tokenizers``."""

from tokenizers import Tokenizer, models, pre_tokenizers

from runtime.service.pairs import shorten_pair


def test_pairs_are_shortened_as_by_tokenizers():
    words = {f"w{number}": number for number in range(60)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    for room in range(1, 14):
        tokenizer.enable_truncation(room, strategy="longest_first")
        for first in range(1, 18):
            for second in range(1, 18):
                pair = [" ".join(["w1"] * first), " ".join(["w2"] * second)]
                sequences = tokenizer.encode(*pair).sequence_ids
                expected = sequences.count(0), sequences.count(1)
                assert shorten_pair(first, second, room) == expected, (first, second, room)
