"""Targets scored given their sources."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

import rnnlm
from rnnlm.errors import TextError, UsageError
from rnnlm.scoring import scorer
from rnnlm.scoring.scorer import Scorers, score_chunks
from rnnlm.scoring.sentences import Sentence, read_sentences
from rnnlm.scoring.settings import SentenceSettings
from rnnlm.scoring.several_models import score_chunks_of_models
from rnnlm.tasks.seq2seq.data import PairCodec
from rnnlm.tasks.seq2seq.model import Seq2SeqModel
from rnnlm.tasks.seq2seq.network import make_network
from rnnlm.tasks.seq2seq.settings import network_settings
from support.tiny_models import fit, make_tokenizer
from support.tiny_seq2seq import SMALL, SOURCE, TARGET, tiny_model

pytestmark = pytest.mark.needs("tasks/seq2seq")

PAIRS = [
    ("the cat sat on the mat", "le chat est assis"), ("a dog", "un chien"),
    ("a dog", "la chatte le zèbre"), ("", "un chien"),
    ("the cat", ""), ("a cat sat on a dog", "la chatte est assis un chien est le chat"),
]  # fmt: skip
SOURCES, TARGETS = map(list, zip(*PAIRS, strict=True))


@pytest.fixture(scope="module")
def model():
    return tiny_model(attention="general", input_feeding=True)


def nats(scores):
    return [score.logprob_nats for score in scores]


def scores_of(model, *sentences, **settings):
    return rnnlm.Model(model).score_sentences(*sentences, **settings)


def test_token_costs_equal_the_decoders_predictions(model):
    scores = scores_of(model, TARGETS, sources=SOURCES, tokens=True)
    for score, (source, target) in zip(scores, PAIRS, strict=True):
        state, token, expected = model.states([source]), TARGET.boundary_id, []
        for wanted in TARGET.encode([target]).ids.tolist():
            logprob_11V, state = model.decoder.predict(np.array([[token]]), state)
            expected.append(float(logprob_11V[0, 0, wanted]))
            token = wanted
        assert score.logprob_nats == pytest.approx(sum(expected), abs=1e-5)
        found = [each.surprisal_bits * -math.log(2) for each in score.token_scores]
        assert found == pytest.approx(expected, abs=1e-5)
        assert (score.text, score.source) == (target, source)


def test_a_score_depends_only_on_its_own_source(monkeypatch):
    model = tiny_model(attention="general", input_feeding=True)
    together = nats(scores_of(model, TARGETS, sources=SOURCES))
    alone = [scores_of(model, [target], sources=[source])[0] for source, target in PAIRS]
    assert nats(alone) == pytest.approx(together, abs=1e-5)
    monkeypatch.setattr(scorer, "LINES_PER_CHUNK", 4)
    model.decoder.call_tokens = 6
    turned = nats(scores_of(model, TARGETS[::-1], sources=SOURCES[::-1]))
    assert turned == pytest.approx(together[::-1], abs=1e-5)
    assert abs(together[1] - together[3]) > 1e-3  # one target, two sources


def test_entropies_and_next_words_follow_the_source(model):
    asked = {"words": True, "next_words": 2, "measures": ["entropy"]}
    [score] = scores_of(model, ["un chien"], sources="a dog", **asked)
    boundary = np.array([[TARGET.boundary_id]])
    logprob_11V, _ = model.decoder.predict(boundary, model.states(["a dog"]))
    logprob_V = logprob_11V[0, 0].double().numpy()
    bits_V = -logprob_V / math.log(2)
    first, [likeliest, *_] = score.word_scores[0], score.next_words[0]
    assert first.surprisal_bits == pytest.approx(bits_V[TARGET.symbols().index("un")], abs=1e-5)
    assert first.entropy_bits == pytest.approx((np.exp(logprob_V) * bits_V).sum(), abs=1e-5)
    assert likeliest.word == TARGET.symbols()[logprob_V.argmax()]
    assert likeliest.probability == pytest.approx(math.exp(logprob_V.max()))


def test_next_words_of_characters_cost_their_stated_probability():
    characters = make_tokenizer(["le chat", "un chat"], tokenizer="char")
    network = make_network(network_settings("gru", **SMALL), SOURCE, characters).eval()
    model = Seq2SeqModel(network, PairCodec(SOURCE, characters))
    for source in ("a dog", "the cat sat on the mat"):
        [score] = scores_of(model, ["le chat"], sources=source, next_words=3)
        for found in (each for each in score.next_words[0] if each.word != "</s>"):
            [alone] = scores_of(model, [found.word], sources=source, words=True)
            bits = -math.log2(found.probability)
            assert alone.word_scores[0].surprisal_bits == pytest.approx(bits, abs=1e-4)


def test_a_language_model_beside_scores_only_the_targets(model):
    plain = fit("unigram", TARGETS)
    numbers = range(len(PAIRS))
    sentences = [Sentence(TARGETS[number], number, source=SOURCES[number]) for number in numbers]
    models = {"plain": plain, "fra": model.decoder}
    side_by_side = [each for chunk in score_chunks_of_models(models, sentences) for each in chunk]
    assert nats(each["plain"] for each in side_by_side) == nats(scores_of(plain, TARGETS))
    expected = nats(scores_of(model, TARGETS, sources=SOURCES))
    assert nats(each["fra"] for each in side_by_side) == expected

    # The source is a part of the data that the encoder-decoder was measured on.
    def signature_of(scored, *sentences):
        return list(score_chunks(Scorers(scored).of(), sentences))[-1].signature.data

    first, second = sentences[:2]
    other = replace(second, source="a")
    assert signature_of(plain, first, second) == signature_of(plain, first, other)
    assert signature_of(model.decoder, first, second) != signature_of(model.decoder, first, other)


@pytest.mark.parametrize("sentences, settings, message", [
    (["un chien"], {}, "sentence 1 has no source"),
    (["un", "chien"], {"sources": ["a dog"]}, "1 sources for 2 sentences"),
    (["un"], {"sources": "a dog", "context": "carry"}, "from its own source"),
])  # fmt: skip
def test_what_does_not_go_together_is_refused(model, sentences, settings, message):
    with pytest.raises(UsageError, match=message):
        scores_of(model, sentences, **settings)
    with pytest.raises(UsageError, match="a language model reads no sources"):
        scores_of(fit("unigram"), ["a dog"], sources="un chien")
    with pytest.raises(UsageError, match="region columns cannot be combined with pairs"):
        read(["p.tsv"], are_pairs=True, region_columns=("a", "b"))


def test_symbols_and_newlines_of_a_source_are_treated_as_asked(model):
    with pytest.raises(TextError, match="sentence 1"):
        scores_of(model, ["un"], sources="a </s>")
    [dropped] = scores_of(model, ["un"], sources="a </s> dog", special_symbols="drop")
    [plain] = scores_of(model, ["un"], sources="a dog")
    assert dropped.logprob_nats == plain.logprob_nats
    [null] = scores_of(model, ["un"], sources="a\ndog", unscorable="null")
    assert null.logprob_nats is None and null.reason == "a line holds a newline"


def read(names, targets=(), **settings):
    settings = SentenceSettings(**settings)
    found = read_sentences(tuple(map(str, names)), settings, targets=tuple(map(str, targets)))
    return [(each.id, each.source, each.text, each.reason, dict(each.columns)) for each in found]


def test_table_pairs_keep_other_columns_and_the_source(tmp_path):
    table = tmp_path / "p.csv"
    table.write_text("id,en,fr,item\nx,a dog,un chien,1\ny,the cat,le chat,2\n")
    named = {"are_pairs": True, "column": "en", "target_column": "fr"}
    assert read([table], **named) == [
        ("x", "a dog", "un chien", None, {"en": "a dog", "item": "1"}),
        ("y", "the cat", "le chat", None, {"en": "the cat", "item": "2"})
    ]  # fmt: skip
    without = [columns for *_, columns in read([table], keep=(), **named)]
    assert without == [{"en": "a dog"}, {"en": "the cat"}]
    turned = read([table], are_pairs=True, column="fr", target_column="en", keep=("item",))[0]
    assert turned == ("x", "un chien", "a dog", None, {"fr": "un chien", "item": "1"})
    with pytest.raises(TextError, match='the sources.*`column="en"` and `target_column="fr"`, or'):
        read([table], are_pairs=True)
    with pytest.raises(TextError, match="no column 'english'"):
        read([table], **{**named, "column": "english"})


def test_columns_are_found_as_in_training(tmp_path):
    table = tmp_path / "p.jsonl"
    sides = [{"en": "a dog", "fr": "un chien"}, {"en": None, "fr": "le chat"}]
    rows = [*({"translation": side} for side in sides), ["no row"]]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (first, second, third) = read([table], are_pairs=True)
    assert first[:4] == (1, "a dog", "un chien", None)
    assert second[1:4] == (None, "le chat", "column 'en' holds no text")
    assert "not a JSON object" in third[3]
    plain = tmp_path / "p"
    plain.write_text("answer\tquestion\nun chien\ta dog\n")
    assert read([plain], are_pairs=True)[0][1:3] == ("a dog", "un chien")
    plain.write_text("a dog\nthe cat\n")
    with pytest.raises(TextError, match="not a row of a table of pairs"):
        read([plain], are_pairs=True)


def test_source_and_target_files_are_read_by_line(tmp_path):
    texts = {"a.en": "a dog\n\n", "a.fr": "un chien\nle chat\n", "b.en": "the cat\n", "b.fr": "\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    files = {side: [tmp_path / f"{name}.{side}" for name in "ab"] for side in ("en", "fr")}
    found = read(files["en"], files["fr"])
    expected = [(1, "a dog", "un chien"), (2, "", "le chat"), (3, "the cat", "")]
    assert [each[:3] for each in found] == expected and found[0][4] == {"source": "a dog"}
    with pytest.raises(TextError, match=r"b\.fr has 1 line, .*a\.en has more"):
        read([files["en"][0]], [files["fr"][1]])
    with pytest.raises(UsageError, match="2 source files and 1 target files"):
        read(files["en"], files["fr"][:1])
    with pytest.raises(UsageError, match="unwrapping"):
        read(files["en"], files["fr"], unwrap=True)
