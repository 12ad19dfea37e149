"""An encoder-decoder measured on pairs: perplexity, and metrics of what it writes."""

import math

import numpy as np
import pytest

from rnnlm.errors import TextError, UsageError
from rnnlm.evaluation.evaluate import evaluate
from rnnlm.evaluation.metrics import with_intervals
from rnnlm.tasks.seq2seq.data import PairCodec, encode_pairs
from rnnlm.tasks.seq2seq.decoding import translate
from rnnlm.tasks.seq2seq.evaluation import evaluation
from rnnlm.tasks.seq2seq.evaluation.translation import Translations, TranslationSettings, measure
from rnnlm.tasks.seq2seq.model import Seq2SeqModel
from rnnlm.tasks.seq2seq.options import DecodingSettings
from support.tiny_models import make_tokenizer
from support.tiny_seq2seq import TARGET, tiny_model
from support.tiny_translators import parallel_text

ROWS = [
    ("the cat sat", "le chat est assis"), ("a dog", "un chien"),
    ("on the mat a cat", "la chatte noire"), ("a dog", "la chatte"),
]  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def word_by_word(model, source, target):
    """Return a target's log-probability, predicted token by token, and its number of tokens."""
    ids = model.codec.target.encode([target]).ids.tolist()
    total, state, last = 0.0, model.states([source]), model.codec.target.boundary_id
    for id in ids:
        logprob_11V, state = model.decoder.predict(np.array([[last]]), state)
        total, last = total + float(logprob_11V[0, 0, id]), id
    return total, len(ids)


def test_perplexity_and_bits_are_of_reading_word_by_word(model):
    found = evaluate(model, parallel_text(ROWS)).to_dict()
    logprobs, tokens = zip(*(word_by_word(model, *row) for row in ROWS), strict=True)
    assert found["logprob_nats"] == pytest.approx(sum(logprobs), abs=1e-4)
    names = ("tokens", "words", "sentences", "sources", "oov_words")
    assert [found[name] for name in names] == [sum(tokens), 11, 4, 3, 1]
    assert found["ppl_token"] == pytest.approx(math.exp(-sum(logprobs) / sum(tokens)), rel=1e-5)
    assert found["ppl_word"] == pytest.approx(math.exp(-sum(logprobs) / (11 + 4)), rel=1e-5)
    assert found["bits_per_char"] is None and found["closed_vocabulary"]  # "noire" is unknown
    found = evaluate(model, parallel_text(ROWS[:2])).to_dict()
    assert found["bits_per_char"] == pytest.approx(
        -found["logprob_nats"] / math.log(2) / (len(ROWS[0][1]) + len(ROWS[1][1]) + 2)
    )


def test_each_source_is_measured_against_all_its_references(model):
    found = evaluate(model, parallel_text(ROWS), decoding=DecodingSettings(beam=2)).written
    sources = [source for source, _ in ROWS]
    lines = translate(model, sources, settings=DecodingSettings(beam=2))
    written = {line.source: line.text for line in lines}
    references = {
        "the cat sat": ["le chat est assis"], "a dog": ["un chien", "la chatte"],
        "on the mat a cat": ["la chatte noire"],
    }  # fmt: skip
    given = Translations([written[each] for each in references], list(references.values()))
    assert found.figures == measure(given)
    assert found.lines == tuple(written[source] for source, _ in ROWS)
    assert "beam:2|length_power:1|" in found.signatures["bleu"]


def test_metrics_by_length_add_up_to_the_total(model):
    rows = [("a " * count + "cat", "le chat") for count in range(12)]
    written = evaluate(model, parallel_text(rows)).written
    expected = [("1-5", 5), ("6-10", 5), ("11-15", 2)]
    assert [(each.name, each.sentences) for each in written.by_length] == expected
    exact = sum(each.sentences * each.exact_match for each in written.by_length)
    assert exact / 12 == pytest.approx(written.figures.exact_match)


def test_tokenizer_loss_is_measured_and_unknown_case_ignored(model):
    # of 4 references one has an unknown word
    assert evaluate(model, parallel_text(ROWS)).written.of_tokenizer.exact_match == 0.75
    target = make_tokenizer(TARGET.symbols()[2:], lowercase=True)
    lowering = Seq2SeqModel(model.network, PairCodec(model.codec.source, target))
    assert lowering.codec.target.size == TARGET.size
    written = evaluate(lowering, parallel_text([("a dog", "Un Chien")])).written
    assert written.of_tokenizer is None and written.figures.lowercase
    assert written.figures == measure(
        Translations(written.lines, [["Un Chien"]], TranslationSettings(lowercase=True))
    )
    assert written.signatures["chrf"].startswith("chrf|case:lower|")


def test_the_main_metric_suits_the_data(model):
    codec = PairCodec(model.codec.source, model.codec.target, {"spelled": True})
    spelled = Seq2SeqModel(model.network, codec)
    assert evaluate(spelled, parallel_text(ROWS)).written.main == "word_error_rate"
    assert evaluate(model, parallel_text(ROWS)).written.main == "bleu"
    short = evaluate(model, parallel_text(ROWS[1:2])).written  # no four words in a row
    assert short.main == "exact_match" and short.to_dict()["bleu"] is None


def test_intervals_hold_the_metrics_and_resample_sources(model):
    texts = ["un", "un chien", "le chat noir", "la chatte est", "le un le un le"]
    rows = [(f"a dog {k}", text) for k, text in enumerate(texts)]
    data = encode_pairs(model.codec, parallel_text(rows))
    found = with_intervals(evaluation.measure(model, data)).to_dict()
    assert found["ppl_token_low"] < found["ppl_token"] < found["ppl_token_high"]
    # Two references of one source.
    data = encode_pairs(model.codec, parallel_text(ROWS[1::2]))
    one = with_intervals(evaluation.measure(model, data)).to_dict()
    assert one["ppl_token"] and one["ppl_token_low"] is one["ppl_token_high"] is None


def test_measuring_ends_where_it_is_asked_to(model):
    data = encode_pairs(model.codec, parallel_text(ROWS))
    assert evaluation.target_scores(model, data, lambda: True) is None
    assert evaluation.decoded(model, data, lambda: True) is None
    expected = evaluate(model, data.text).written.figures.chrf
    assert evaluation.decoded(model, data)["chrf"] == expected


def test_a_named_model_reads_files_like_training_data(translator, tmp_path):
    named = evaluate(translator.folder, translator.valid)
    columns = [line.split("\t") for line in translator.valid.read_text().splitlines()[1:]]
    for place, name in enumerate(("source.txt", "target.txt")):
        (tmp_path / name).write_text("".join(f"{row[place]}\n" for row in columns))
    target = [tmp_path / "target.txt"] * 2
    parallel = evaluate(str(translator.folder), tmp_path / "source.txt", target=target)
    assert parallel.written.figures.bleu == named.written.figures.bleu
    assert parallel.references.sentences == 2 * named.references.sentences
    reading = {"column": "french", "target_column": "english"}
    swapped = evaluate(translator.folder, translator.valid, reading=reading)
    assert swapped.references.oov_words == named.references.words


@pytest.mark.parametrize("lines, target, error, message", [
    ("english\tgerman\na\tb\n", (), TextError, "french"),
    ("english\tfrench\none\t\n", (), TextError, "all of them are empty"),
    ("one\ntwo\n", ("un\n",), TextError, "has 1 line, "),
    ("one\n", ("un\n", "deux\n", "trois\n"), None, ""),
])  # fmt: skip
def test_pairs_that_are_not_whole_are_refused(translator, tmp_path, lines, target, error, message):
    (tmp_path / "data").write_text(lines)
    files = [tmp_path / f"target{number}" for number in range(len(target))]
    for file, text in zip(files, target, strict=True):
        file.write_text(text)
    if error is None:
        found = evaluate(translator.folder, tmp_path / "data", target=files).references.sentences
        assert found == len(target)
        return
    with pytest.raises(error, match=message):
        evaluate(translator.folder, tmp_path / "data", target=files)


def test_requests_must_fit_the_model_and_files(model, translator):
    with pytest.raises(UsageError, match="decoding= needs an encoder-decoder"):
        evaluate("demo", "none", decoding=DecodingSettings(beam=2))
    with pytest.raises(UsageError, match="there are 2 source files and 1 target files"):
        evaluate(translator.folder, ["a", "b"], target=["c"])
    with pytest.raises(UsageError, match="has no attention"):
        decoding = DecodingSettings(attention=True)
        evaluate(tiny_model(attention=None), parallel_text(ROWS), decoding=decoding)
    with pytest.raises(UsageError, match="no data to evaluate on"):
        evaluate(translator.folder)


def test_references_unknown_to_the_tokenizer_still_give_numbers(model):
    data = encode_pairs(model.codec, parallel_text([("a dog", "b c d e f")]))
    found = with_intervals(evaluation.measure(model, data)).to_dict()
    assert found["main"] == "bleu"
    assert found["bleu"] == found["of_tokenizer"]["bleu"] == 0 and found["low"] is None
