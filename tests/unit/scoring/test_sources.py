"""Targets scored given their sources."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest

import rnnlm
from rnnlm.errors import OutputError, TextError, UsageError
from rnnlm.scoring import resumable_output
from rnnlm.scoring.scorer import score_chunks
from rnnlm.scoring.sentences import Sentence, read_sentences
from rnnlm.scoring.settings import SentenceSettings
from rnnlm.scoring.several_models import score_chunks_of_models
from rnnlm.tasks.seq2seq.data import PairCodec
from rnnlm.tasks.seq2seq.model import Seq2SeqModel
from rnnlm.tasks.seq2seq.network import make_network
from rnnlm.tasks.seq2seq.settings import network_settings
from support.tiny_models import fit, make_tokenizer
from support.tiny_seq2seq import SMALL, SOURCE, TARGET, tiny_model

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


def test_token_costs_equal_the_decoders_predictions(model):
    for score, (source, target) in zip(
        rnnlm.Model(model).score_sentences(TARGETS, sources=SOURCES, with_tokens=True),
        PAIRS,
        strict=True,
    ):
        state, token, expected = model.states([source]), TARGET.boundary_id, []
        for wanted in TARGET.encode([target]).ids.tolist():
            logprob_11V, state = model.decoder.predict(np.array([[token]]), state)
            expected.append(float(logprob_11V[0, 0, wanted]))
            token = wanted
        assert score.logprob_nats == pytest.approx(sum(expected), abs=1e-5)
        assert [each.surprisal_bits for each in score.token_scores] == pytest.approx(
            [-each / math.log(2) for each in expected], abs=1e-5
        )
        assert (score.text, score.source) == (target, source)


def test_all_targets_of_a_source_sum_to_one(model):
    symbols = [symbol for symbol in TARGET.symbols() if symbol != "</s>"]
    ended = [
        " ".join(words) for count in range(2) for words in itertools.product(symbols, repeat=count)
    ]
    # of which all longer ones go on
    begun = [" ".join(words) for words in itertools.product(symbols, repeat=2)]
    for source in ("a dog", "the cat sat"):
        whole, parts = (
            nats(rnnlm.Model(model).score_sentences(lines, sources=source, eos=eos))
            for lines, eos in ((ended, True), (begun, False))
        )
        assert math.fsum(map(math.exp, whole + parts)) == pytest.approx(1, abs=1e-5)


def test_a_score_depends_only_on_its_own_source(model, monkeypatch):
    together = nats(rnnlm.Model(model).score_sentences(TARGETS, sources=SOURCES))
    assert nats(
        rnnlm.Model(model).score_sentences([target], sources=[source])[0]
        for source, target in PAIRS
    ) == pytest.approx(together, abs=1e-5)
    monkeypatch.setattr("rnnlm.scoring.scorer.LINES_PER_CHUNK", 4)
    monkeypatch.setattr(type(model.decoder), "call_tokens", 6)
    assert nats(
        rnnlm.Model(model).score_sentences(TARGETS[::-1], sources=SOURCES[::-1])
    ) == pytest.approx(together[::-1], abs=1e-5)
    assert abs(together[1] - together[3]) > 1e-3  # one target, two sources


def test_entropies_and_next_words_follow_the_source(model):
    [score] = rnnlm.Model(model).score_sentences(
        ["un chien"], sources="a dog", with_words=True, next_words=2, measures=["entropy"]
    )
    logprob_V = (
        model.decoder.predict(np.array([[TARGET.boundary_id]]), model.states(["a dog"]))[0][0, 0]
        .double()
        .numpy()
    )
    first, likeliest = score.word_scores[0], TARGET.symbols()[logprob_V.argmax()]
    assert first.surprisal_bits == pytest.approx(
        -logprob_V[TARGET.symbols().index("un")] / math.log(2), abs=1e-5
    )
    assert first.entropy_bits == pytest.approx(
        -(np.exp(logprob_V) * logprob_V).sum() / math.log(2), abs=1e-5
    )
    assert score.next_words[0][0].word == likeliest and score.next_words[0][
        0
    ].probability == pytest.approx(math.exp(logprob_V.max()))


def test_next_words_of_characters_cost_their_stated_probability():
    characters = make_tokenizer(["le chat", "un chat"], tokenizer="char")
    model = Seq2SeqModel(
        make_network(network_settings("gru", **SMALL), SOURCE, characters).eval(),
        PairCodec(SOURCE, characters),
    )
    for source in ("a dog", "the cat sat on the mat"):
        [score] = rnnlm.Model(model).score_sentences(["le chat"], sources=source, next_words=3)
        for found in (each for each in score.next_words[0] if each.word != "</s>"):
            [word, _] = (
                rnnlm.Model(model)
                .score_sentences([found.word], sources=source, with_words=True)[0]
                .word_scores
            )
            assert word.surprisal_bits == pytest.approx(-math.log2(found.probability), abs=1e-4)


def test_a_language_model_beside_scores_only_the_targets(model):
    plain = fit("unigram", TARGETS)
    sentences = [
        Sentence(target, number, source=source) for number, (source, target) in enumerate(PAIRS)
    ]
    models = {"plain": plain, "fra": model.decoder}
    side_by_side = [each for chunk in score_chunks_of_models(models, sentences) for each in chunk]
    assert nats(each["plain"] for each in side_by_side) == nats(
        rnnlm.Model(plain).score_sentences(TARGETS)
    )
    assert nats(each["fra"] for each in side_by_side) == nats(
        rnnlm.Model(model).score_sentences(TARGETS, sources=SOURCES)
    )
    hashed = [list(score_chunks(each, sentences[:2]))[-1].signature.data for each in (plain, model)]
    other = [
        list(score_chunks(each, [sentences[0], replace(sentences[1], source="a")]))[
            -1
        ].signature.data
        for each in (plain, model)
    ]
    # the source is a part of what the encoder-decoder was measured on
    assert hashed[0] == other[0] and hashed[1] != other[1]


def test_what_does_not_go_together_is_refused(model):
    with pytest.raises(UsageError, match="sentence 1 has no source"):
        rnnlm.Model(model).score_sentences(["un chien"])
    with pytest.raises(UsageError, match="a language model reads no sources"):
        rnnlm.Model(fit("unigram")).score_sentences(["a dog"], sources="un chien")
    with pytest.raises(UsageError, match="1 sources for 2 sentences"):
        rnnlm.Model(model).score_sentences(["un", "chien"], sources=["a dog"])
    with pytest.raises(UsageError, match="from its own source"):
        rnnlm.Model(model).score_sentences(["un"], sources="a dog", context="carry")
    with pytest.raises(UsageError, match="columns of regions, and pairs"):
        read(["p.tsv"], are_pairs=True, region_columns=("a", "b"))
    with pytest.raises(TextError, match="sentence 1"):
        rnnlm.Model(model).score_sentences(["un"], sources="a </s>")
    [dropped], [plain] = (
        rnnlm.Model(model).score_sentences(["un"], sources=source, special_symbols="drop")
        for source in ("a </s> dog", "a dog")
    )
    assert dropped.logprob_nats == plain.logprob_nats
    [null] = rnnlm.Model(model).score_sentences(["un"], sources="a\ndog", unscorable="null")
    assert null.logprob_nats is None and null.reason == "a line holds a newline"


def read(names, targets=(), **settings):
    found = read_sentences(
        tuple(map(str, names)), SentenceSettings(**settings), tuple(map(str, targets))
    )
    return [(each.id, each.source, each.text, each.reason, dict(each.columns)) for each in found]


def test_table_pairs_keep_other_columns_and_the_source(tmp_path):
    table = tmp_path / "p.csv"
    table.write_text("id,en,fr,item\nx,a dog,un chien,1\ny,the cat,le chat,2\n")
    named = {"are_pairs": True, "column": "en", "target_column": "fr"}
    assert read([table], **named) == [
        ("x", "a dog", "un chien", None, {"en": "a dog", "item": "1"}),
        ("y", "the cat", "le chat", None, {"en": "the cat", "item": "2"})
    ]  # fmt: skip
    assert [columns for *_, columns in read([table], keep=(), **named)] == [
        {"en": "a dog"},
        {"en": "the cat"},
    ]
    turned = read([table], are_pairs=True, column="fr", target_column="en", keep=("item",))[0]
    assert turned == ("x", "un chien", "a dog", None, {"fr": "un chien", "item": "1"})
    with pytest.raises(TextError, match="the sources.*`column='en'` and `target_column='fr'`, or"):
        read([table], are_pairs=True)
    with pytest.raises(TextError, match="no column 'english'"):
        read([table], **{**named, "column": "english"})


def test_columns_are_found_as_in_training(tmp_path):
    table = tmp_path / "p.jsonl"
    rows = [
        {"translation": {"en": "a dog", "fr": "un chien"}},
        {"translation": {"en": None, "fr": "le chat"}},
    ]
    table.write_text("".join(json.dumps(row) + "\n" for row in [*rows, ["no row"]]))
    (first, second, third) = read([table], are_pairs=True)
    assert first[:4] == (1, "a dog", "un chien", None)
    assert (
        second[1:4] == (None, "le chat", "column 'en' holds no text")
        and "not a JSON object" in third[3]
    )
    plain = tmp_path / "p"
    plain.write_text("answer\tquestion\nun chien\ta dog\n")
    assert read([plain], are_pairs=True)[0][1:3] == ("a dog", "un chien")
    plain.write_text("a dog\nthe cat\n")
    with pytest.raises(TextError, match="not a row of a table of pairs"):
        read([plain], are_pairs=True)


def test_source_and_target_files_are_read_by_line(tmp_path):
    for name, text in {
        "a.en": "a dog\n\n",
        "a.fr": "un chien\nle chat\n",
        "b.en": "the cat\n",
        "b.fr": "\n",
    }.items():
        (tmp_path / name).write_text(text)
    files = {side: [tmp_path / f"{name}.{side}" for name in "ab"] for side in ("en", "fr")}
    assert [each[:3] for each in read(files["en"], files["fr"])] == [
        (1, "a dog", "un chien"),
        (2, "", "le chat"),
        (3, "the cat", ""),
    ]
    assert read(files["en"], files["fr"])[0][4] == {"source": "a dog"}
    with pytest.raises(TextError, match=r"b\.fr has 1 lines, .*a\.en has more"):
        read([files["en"][0]], [files["fr"][1]])
    with pytest.raises(UsageError, match="2 files of sources and 1 of targets"):
        read(files["en"], files["fr"][:1])


def test_resuming_requires_the_same_sources(tmp_path):
    path, run = tmp_path / "scores.tsv", {"model": "m"}
    sentences = [Sentence("un chien", 1, source="a dog")]
    resumable_output.begin(path, run, "header\n").write(sentences, "row\n")
    resumable_output.resume(path, run, "header\n").write(sentences, "row\n")
    with pytest.raises(UsageError, match="other sentences"):
        other = [replace(sentences[0], source="a cat")]
        resumable_output.resume(path, run, "header\n").write(other, "row\n")
    with pytest.raises(OutputError):
        resumable_output.begin(path, run, "header\n")
