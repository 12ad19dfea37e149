import io
import warnings

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, strategies as st

from rnnlm.errors import ModelError, RnnlmWarning, SettingsError
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.sentencepiece import MODEL_FILE, SentencePieceTokenizer
from rnnlm.text.tokenizers.vocabulary import VOCABULARY_FILE, Vocabulary
from support.tiny_models import english_lines, make_tokenizer

KINDS = ("unigram", "bpe")


@pytest.fixture(scope="module")
def english() -> list[str]:
    return english_lines(280)


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request, english):
    return make(english, sentencepiece_model=request.param, vocab_size=400)


AWKWARD = [
    "\u2581", "<unk>", "<0x41>", "<s>", "</s>", " ", "  ", "\0", "\t", "\r", "\x0b", "\x85",
    "\u2028", "\u00a0", "the", " dog", "e\u0301", "\ufb01", "\u3000", "\ufeff",
    "\U0001f469\u200d\U0001f680", "<", "0x",
]  # fmt: skip


characters = st.characters(codec="utf-8", exclude_characters="\n")


awkward_line = st.lists(st.sampled_from(AWKWARD) | characters, max_size=12).map("".join)
any_line = st.one_of(awkward_line, st.text(characters))


@given(lines=st.lists(any_line, min_size=1, max_size=4))
def test_any_lines_come_back_each_encoded_by_itself(tokenizer, lines):
    encoded = tokenizer.encode(lines)
    assert tokenizer.decode(encoded.ids) == "\n".join(lines) and not len(encoded.oov)
    for line, start, end in zip(lines, encoded.offsets, encoded.offsets[1:], strict=False):
        ids = encoded.ids[start:end]
        assert tokenizer.encode([line]).ids.tolist() == ids.tolist()
        assert ids[-1] == tokenizer.boundary_id
        assert (ids == tokenizer.unk_id).sum() == line.count("<unk>")
        assert len(tokenizer.surface(line)) == len(ids)


@pytest.mark.parametrize("kind", KINDS)
def test_lines_come_back_where_unk_is_spelled(kind, english):
    spelling = make(english, sentencepiece_model=kind, vocab_size=350, literal_unk="spell")
    for line in ("a <unk> <unk", *AWKWARD):
        encoded = spelling.encode([line])
        assert spelling.decode(encoded.ids) == line
        assert spelling.unk_id not in encoded.ids


def test_the_first_word_is_encoded_like_any_other(tokenizer):
    first, second = (tokenizer.encode([line]).ids for line in ("the", "the the"))
    assert second[:-1].tolist() == [*first[:-1], *first[:-1]]
    starts = tokenizer.starts_word_V[second]
    assert starts.sum() == 3  # two words and </s>


def test_pieces_compress_english(tokenizer, english):
    assert tokenizer.size == 400
    assert len(tokenizer.encode(english).ids) < 0.65 * sum(len(line) + 1 for line in english)


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_too_large_is_lowered_and_one_too_small_says_what_is_needed(kind, english):
    lines = ["the cat sat on the mat", "a dog saw the cat"]
    settings = {"sentencepiece_model": kind, "vocab_size": 5000}
    with pytest.warns(RnnlmWarning, match="instead of 5000"):
        tokenizer = make_tokenizer(lines, tokenizer="sentencepiece", **settings)
    assert 258 < tokenizer.size < 400
    assert tokenizer.decode(tokenizer.encode(lines).ids) == "\n".join(lines)
    with pytest.raises(SettingsError) as error:
        make(english, sentencepiece_model=kind, vocab_size=100)
    assert "vocab_size" in error.value.hint
    needed = int(error.value.hint.split()[3])
    assert make(english, sentencepiece_model=kind, vocab_size=needed + 1)


RARE_SPACES = "\u65e5\u672c\u8a9e\u306e\u6587\u7ae0" * 600


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["a", "\u2581", "<unk>", "x" * 9000, "\0", RARE_SPACES], ids=len)
def test_the_oddest_texts_make_a_tokenizer(kind, text):
    tokenizer = make([text], sentencepiece_model=kind, vocab_size=1000)
    for line in ("any line", f"{text} {text}"):
        assert tokenizer.decode(tokenizer.encode([line]).ids) == line


def test_text_is_lower_cased_on_request(english):
    tokenizer = make(english, vocab_size=350, lowercase=True)
    assert tokenizer.decode(tokenizer.encode(["The DOG"]).ids) == "the dog"
    assert not tokenizer.keeps_text


def test_a_line_of_200_000_words_is_encoded(tokenizer):
    line = "the dog ran " * 66_667
    encoded = tokenizer.encode([line])
    assert tokenizer.decode(encoded.ids) == line


def test_a_tab_starts_a_word_like_a_space():
    tokenizer = make_tokenizer(tokenizer="sentencepiece", vocab_size=280)
    starting = {tokenizer.symbols()[id] for id in np.flatnonzero(tokenizer.starts_word_V)}
    assert {"<0x09>", "<0x0D>", "<0x00>", "</s>", "\u2581"} <= starting and "<0x41>" not in starting


def make(lines, **settings):
    """Learn a tokenizer of `lines`, with no warning where the vocabulary is lowered."""
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        return make_tokenizer(lines, tokenizer="sentencepiece", **settings)


# ---- Models from strangers.


def files_of_a_normaliser(rules: str, folder) -> dict[str, bytes]:
    """Return the files of a tokenizer whose model rewrites text by these rules."""
    (folder / "rules.tsv").write_text(rules)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(english_lines(40)), model_writer=model, vocab_size=320,
        normalization_rule_tsv=str(folder / "rules.tsv"), remove_extra_whitespaces=False,
        add_dummy_prefix=False, byte_fallback=True, hard_vocab_limit=False, unk_id=0, eos_id=1,
        bos_id=-1, pad_id=-1, minloglevel=2,
    )  # fmt: skip
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = tuple(map(processor.id_to_piece, range(processor.get_piece_size())))
    return {
        VOCABULARY_FILE: Vocabulary(pieces, np.zeros(len(pieces), np.int64)).to_bytes(),
        MODEL_FILE: model.getvalue(),
    }


def loaded(files):
    return SentencePieceTokenizer.load(TokenizerSettings(tokenizer="sentencepiece"), files)


@pytest.mark.parametrize("times", [1, 4000])
def test_a_model_that_rewrites_text_is_refused(tmp_path, times):
    replacement = " ".join(f"{ord(letter):x}" for letter in "the dog " * times)
    files = files_of_a_normaliser(f"{ord('q'):x}\t{replacement}\n", tmp_path)
    with pytest.raises(ModelError, match="rewrites text; tokenizer.model has a normaliser"):
        loaded(files)


# As protobuf merges messages, what comes last counts.
REWRITING = {
    "a space first": b"\x1a\x02\x18\x01", "spaces dropped": b"\x1a\x02\x20\x01",
    "spaces as they are": b"\x1a\x02\x28\x00", "characters mapped": b"\x1a\x03\x12\x01x",
    "characters mapped in the answer": b"\x2a\x03\x12\x01x",
}  # fmt: skip


@pytest.mark.parametrize("what", REWRITING)
def test_each_way_to_rewrite_is_refused(english, what):
    files = make(english, vocab_size=350).to_files()
    assert loaded(files).size == 350
    files[MODEL_FILE] += REWRITING[what]
    with pytest.raises(ModelError, match="the tokenizer rewrites text"):
        loaded(files)


def test_pieces_are_those_of_the_vocabulary(english):
    files = make(english, vocab_size=350).to_files()
    lines = files[VOCABULARY_FILE].splitlines(keepends=True)
    exchanged = {**files, VOCABULARY_FILE: b"".join([*lines[:-2], lines[-1], lines[-2]])}
    with pytest.raises(ModelError, match="have other pieces"):
        loaded(exchanged)


def test_no_text_gives_more_tokens_than_bytes(tokenizer):
    for line in ("q" * 1000, "\U0001f469" * 1000, "\u2581 " * 500, "<unk>" * 200):
        assert len(tokenizer.encode([line]).ids) <= len(line.encode()) + 2


@pytest.mark.parametrize("model", [b"\x80" * 20, b"\x1a\xff\x01x", b"\x07", b"\x0a\x05abc"])
def test_what_is_no_model_is_refused(english, model):
    files = make(english, vocab_size=350).to_files()
    with pytest.raises(ModelError, match="the tokenizer is damaged"):
        loaded({**files, MODEL_FILE: model})
