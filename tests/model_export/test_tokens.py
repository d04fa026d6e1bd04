"""Token ids against the checkpoint's own tokenizer, as transformers loads it."""

import itertools
import json
import random

import numpy as np
import pytest
from tokenizers import Regex as HuggingFaceRegex
from tokenizers import Tokenizer as HuggingFaceTokenizer
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from model_export.differences import ambiguous_segmentations
from model_export.random_texts import random_texts
from model_export.tokenizer import export_tokenizer
from runtime.engine.engine import Engine
from runtime.engine.tokenizer import Tokenizer
from tests.texts import EVERYDAY, LANGUAGES, ODD

ALPHABET = [
    *list(" \t\n\r\x00\x01\x1f\x7f\x85\xa0\u200b\u200d\u2028\ufeff\u3000▁aébñ中文字שלום😀ＡＢ①ﬁ.,-_/129́İßſ"),
    "<s>",
    "</s>",
]
SPECIAL_TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
TRAINING_TEXTS = [
    *EVERYDAY,
    *LANGUAGES.values(),
    "don't we'll they've I'm he'd you're it's\n\n\t\tif x:\n    return\n",
] * 2
NORMALIZERS = {
    "bpe": None,
    "bpe, NFC and lower case": normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()]),
    "bpe, NFKC": normalizers.NFKC(),
}
QWEN = "bpe, NFC and Qwen's words"
QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
NORMALIZERS[QWEN] = normalizers.NFC()
FAMILIES = ["unigram", "wordpiece", *NORMALIZERS]
TRICKY = {
    "runs of equal score": "——————3——— ··a····— ****************a**********",
    "wide special token": "＜s＞ ［PAD］ ＜mask＞",
    "special token around a control character": "<\x01s> [\x00CLS]",
    "unassigned and private": "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 \ud7ff \ue000 \uffff \u0378 \U0001fae9",
    "sigma at the end": "ΟΔΟΣ ΣΑΣ.",
    "mark after a mark": "a\u0301\u0898 a\u0301\u1ac1 \u1df7",
    "contraction at the start of a line": "x\n's\t'll\u3000't \x85're",
    "white space": "a\n\n b \n c\t\t\td\xa0\xa0e\r\n\r\n",
    "white space alone": " \n\t\u3000",
    "one space": " ",
}


@pytest.fixture(scope="module")
def engine(artifact):
    return Engine.load(artifact, threads=1)


@pytest.fixture(scope="module")
def original(checkpoint):
    return AutoTokenizer.from_pretrained(checkpoint)


def byte_level_bpe(normalizer, words=None):
    """A small tokenizer of RoBERTa's kind; ``words``: an expression for words other than GPT-2's."""
    tokenizer = HuggingFaceTokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if words:
        split = pre_tokenizers.Split(HuggingFaceRegex(words), "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=2000, special_tokens=SPECIAL_TOKENS, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TRAINING_TEXTS, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer


def save(tokenizer, folder):
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    return folder


def export(folder, to):
    """The artifact's tokenizer, and the original with neither truncation nor padding."""
    info = export_tokenizer(folder, to)
    backend = AutoTokenizer.from_pretrained(folder).backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    return Tokenizer(to, info), backend


@pytest.fixture(scope="module")
def families(checkpoint, minilm, tmp_path_factory):
    folders = {"unigram": checkpoint, "wordpiece": minilm}
    exported = {}

    def get(family):
        if family not in exported:
            if family in NORMALIZERS:
                tokenizer = byte_level_bpe(NORMALIZERS[family], QWEN_WORDS if family == QWEN else None)
                folders[family] = save(tokenizer, tmp_path_factory.mktemp("bpe"))
            exported[family] = export(folders[family], tmp_path_factory.mktemp("tokenizer"))
        return exported[family]

    return get


def assert_equal_ids(tokenizer, backend, texts, ties=0):
    """At most ``ties`` texts may have other ids, with the same sum of float32 scores."""
    for batch in iter(lambda: list(itertools.islice(texts, 10_000)), []):
        for text, encoding in zip(batch, backend.encode_batch_fast(batch, add_special_tokens=False), strict=True):
            ids = tokenizer.encode(text)
            if ids != encoding.ids:
                ties -= 1
                assert ties >= 0, ascii(text)
                assert score(backend, ids) == score(backend, encoding.ids), ascii(text)


def score(backend, ids):
    vocabulary = json.loads(backend.to_str())["model"]["vocab"]
    return sum(float(np.float32(vocabulary[id][1])) for id in ids)


@pytest.mark.parametrize("text", [*LANGUAGES.values(), *ODD.values()], ids=[*LANGUAGES, *ODD])
def test_ids_equal_the_originals(engine, original, text):
    expected = original(text, truncation=False, verbose=False)["input_ids"]
    assert engine.with_special_tokens(engine.tokenize(text)) == expected


def test_ids_of_random_strings_equal_the_originals(engine, original):
    random.seed(20240501)
    for _ in range(3000):
        text = "".join(random.choices(ALPHABET, k=random.randint(1, 16)))
        assert engine.tokenize(text) == original(text, add_special_tokens=False)["input_ids"], repr(text)


@pytest.mark.parametrize("family", FAMILIES)
class TestFamilies:
    def test_kitoken_is_shipped(self, families, family):
        tokenizer, _ = families(family)
        assert tokenizer.info.kind == "kitoken"

    @pytest.mark.parametrize("text", TRICKY.values(), ids=TRICKY)
    def test_ids_of_tricky_texts(self, families, family, text):
        tokenizer, backend = families(family)
        assert tokenizer.encode(text) == backend.encode(text, add_special_tokens=False).ids

    def test_ids_of_random_texts(self, families, family):
        tokenizer, backend = families(family)
        assert_equal_ids(tokenizer, backend, random_texts(backend, 10_000, seed=2))

    @pytest.mark.parametrize("count", [1000, 1001, 1_000_000])
    def test_ids_around_long_white_space(self, families, family, count):
        """Where kitoken's expression looks ahead, it fails on a million spaces, and not with an exception."""
        tokenizer, backend = families(family)
        text = f"a{' ' * count}b"
        assert tokenizer.encode(text) == backend.encode(text, add_special_tokens=False).ids

    def test_long_texts_of_word_pieces_are_left_to_the_reference(self, families, family):
        """kitoken takes time with the square of the number of Chinese characters."""
        tokenizer, backend = families(family)
        text = "水 a" * 40_000
        assert tokenizer.encode(text) == backend.encode(text, add_special_tokens=False).ids
        if tokenizer.info.differences.longest:
            assert tokenizer.encode_fast(text) is None and tokenizer.encode_fast("water") is not None
        assert bool(tokenizer.info.differences.longest) == ("wordpiece" in family)

    @pytest.mark.slow
    def test_ids_of_200_000_random_texts(self, families, family):
        tokenizer, backend = families(family)
        ties = 1 if family == "unigram" else 0
        assert_equal_ids(tokenizer, backend, random_texts(backend, 200_000, seed=3), ties)

    def test_everyday_texts_do_not_load_the_reference(self, families, family):
        exported, _ = families(family)
        tokenizer = Tokenizer(exported._folder, exported.info)
        for text in (*EVERYDAY, "plain\ttext\r\n\x00 of ASCII ~!@#$%^&*()_+ don't", "𝔘𝔫𝔦 😀👩‍🔬 水 \u200b"):
            if text.isascii() or family not in NORMALIZERS:  # so few texts train tokens that begin within a character
                tokenizer.encode(text)
        assert "reference" not in vars(tokenizer)


class TestWithoutKitoken:
    """Tokenizers that kitoken encodes differently in ways that cannot be listed."""

    def exported(self, tokenizer, tmp_path, capfd):
        (tmp_path / "to").mkdir()
        artifact, backend = export(save(tokenizer, tmp_path / "from"), tmp_path / "to")
        assert_equal_ids(artifact, backend, random_texts(backend, 300, seed=4))
        assert artifact.info.kind == "tokenizers"
        assert not (tmp_path / "to" / "tokenizer.kit").exists()
        return capfd.readouterr().err

    def test_scores_that_are_rounded(self, tmp_path, capfd):
        tokenizer = HuggingFaceTokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.1), ("b", -2.3), ("ab", -3.4)], 0))
        tokenizer.add_special_tokens(["<unk>"])
        assert "rounds the scores of this vocabulary to float32" in self.exported(tokenizer, tmp_path, capfd)

    def test_characters_without_a_piece(self, tmp_path, capfd):
        pieces = [(c, -1.0) for c in "<unk>"] + [("ab", -2.0), ("<unk>", 0.0)]
        tokenizer = HuggingFaceTokenizer(models.Unigram(pieces, len(pieces) - 1))
        tokenizer.add_special_tokens(["<unk>"])
        assert "handles 'a' differently" in self.exported(tokenizer, tmp_path, capfd)

    def test_words_that_are_found_by_looking_ahead(self, tmp_path, capfd):
        tokenizer = byte_level_bpe(None, r"\p{L}+(?!\S)|\p{L}+|\s+|[^\s\p{L}]+")
        assert "would crash on a long text" in self.exported(tokenizer, tmp_path, capfd)

    def test_merges_that_are_hardly_ever_the_same(self, tmp_path, capfd):
        """As in Llama 3: every way to cut a token in two is a merge, and kitoken takes the first for all. It would start and then
        leave nearly all texts to the slower library."""
        tokenizer = byte_level_bpe(None)
        definition = json.loads(tokenizer.to_str())
        vocabulary, ways = definition["model"]["vocab"], []
        for token in sorted(vocabulary, key=vocabulary.get):
            cuts = [(token[:at], token[at:]) for at in range(1, len(token)) if token not in SPECIAL_TOKENS]
            ways += [cut for cut in reversed(cuts) if vocabulary.keys() >= set(cut)]
        tokenizer.model = models.BPE(vocabulary, ways)
        assert "plain texts to tokenizers" in self.exported(tokenizer, tmp_path, capfd)


def test_merges_that_are_not_listed(tmp_path):
    """``abc`` is merged from ``a, bc`` only, but the text becomes ``ab, c`` first."""
    tokenizer = byte_level_bpe(None)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*SPECIAL_TOKENS, *alphabet, "ab", "bc", "abc"]
    merges = [("a", "b"), ("b", "c"), ("a", "bc")]
    tokenizer.model = models.BPE({token: id for id, token in enumerate(tokens)}, merges)
    (tmp_path / "to").mkdir()
    artifact, backend = export(save(tokenizer, tmp_path / "from"), tmp_path / "to")
    assert artifact.info.kind == "kitoken"
    for text in ("abc", "xabcx", "abcabc bc ab"):
        assert artifact.encode(text) == backend.encode(text, add_special_tokens=False).ids


def test_ambiguous_segmentations_are_all_found():
    """By brute force over small vocabularies with few scores."""
    chance = random.Random(5)
    strings = ["".join(letters) for size in (1, 2, 3) for letters in itertools.product("ab", repeat=size)]
    for _ in range(30):
        vocabulary = [(piece, -chance.randint(4, 12) / 4) for piece in chance.sample(strings, 9)]
        scores, ids = dict(vocabulary), {piece: id for id, (piece, _) in enumerate(vocabulary)}
        sums = {}
        for u, v in itertools.product(scores, repeat=2):
            sums.setdefault((u + v, scores[u] + scores[v]), []).append((ids[u], ids[v]))
        pairs = {pair for equal in sums.values() if len(equal) > 1 for pair in equal}
        tokens = {ids[piece] for piece, score in vocabulary if (piece, score) in sums}
        assert ambiguous_segmentations(vocabulary) == (sorted(tokens), sorted(pairs))
