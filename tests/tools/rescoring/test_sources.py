"""N-best lists of translations, rescored given their sources."""

import itertools
import json

import pytest

import rnnlm
from rnnlm.errors import TextError
from rnnlm.tasks.seq2seq.decoding import Translator
from rnnlm.tasks.seq2seq.options import DecodingSettings
from rnnlm.tools.rescoring.features import Weights, feature_table
from rnnlm.tools.rescoring.files import read_nbest, save_nbest
from rnnlm.tools.rescoring.nbest import Hypothesis, Utterance
from rnnlm.tools.rescoring.rescorer import rescore, tune_weights
from rnnlm.tools.rescoring.settings import ListSettings, RescoreSettings, TextMapping
from support.tiny_models import fit
from support.tiny_seq2seq import tiny_model

SOURCES = ["a dog", "the cat sat on the mat", "the dog", "a cat", "the mat"]
TARGETS = ["un chien", "le chat est assis", "la chatte", "chat", ""]
TSV = (
    "u1\tSRC\t\ta dog\nu1\tREF\t\tun chien\nu1\t1\t-1\tle chat\nu1\t2\t-2\tun "
    "chien\nu2\t1\t-1\tle chat\n"
)


@pytest.fixture(scope="module")
def model():
    return tiny_model(attention="dot")


def translated(utt, source, texts, reference=None):
    hypotheses = tuple(Hypothesis(text, -float(rank)) for rank, text in enumerate(texts))
    return Utterance(utt, hypotheses, reference, "list", source)


def nats(model, targets, source) -> list[float]:
    scores = rnnlm.Model(model).score_sentences(targets, sources=source)
    return [score.logprob_nats for score in scores]


def test_a_hypothesis_is_scored_given_its_source(model):
    models = {"fra": model.decoder, "lm": fit("unigram", TARGETS)}
    lists = [translated(source, source, TARGETS) for source in SOURCES]
    table = feature_table(lists, models, TextMapping())
    assert table.names == ("lm:fra", "lm:lm", "words", "oov:fra", "oov:lm")
    for row, source in enumerate(SOURCES):
        assert table.features_KSN[0, row] == pytest.approx(nats(model, TARGETS, source), abs=1e-5)
    assert (table.features_KSN[1] == table.features_KSN[1, :1]).all()


def test_sources_are_mapped_and_missing_ones_named(model):
    models = {"m": model.decoder}
    mapping = TextMapping(lowercase=True, remove_punctuation=True)
    table = feature_table([translated("u1", "A  DOG!", ["Un chien."])], models, mapping)
    [expected] = nats(model, ["un chien"], "a dog")
    assert table.features_KSN[0, 0, 0] == pytest.approx(expected, abs=1e-6)
    lists = [translated("u1", "a dog", ["un"]), translated("u2", None, ["un"])]
    with pytest.raises(TextError, match="'u2' has no source"):
        feature_table(lists, models, TextMapping())


def test_rescoring_distinguishes_what_fits_each_source(model):
    """Two lists with the same hypotheses, of which the model finds one likelier after one source,
    the other after the other; the first pass has both wrong."""
    after = {source: nats(model, TARGETS, source) for source in SOURCES}
    gains = {}
    for one, other in itertools.permutations(SOURCES, 2):
        for a, b in itertools.permutations(range(len(TARGETS)), 2):
            gain = min(after[one][a] - after[one][b], after[other][b] - after[other][a])
            gains[one, other, TARGETS[a], TARGETS[b]] = gain
    one, other, a, b = max(gains, key=gains.__getitem__)
    lists = [translated("u1", one, [b, a], a), translated("u2", other, [a, b], b)]
    weights = tune_weights(lists, {"m": model}, RescoreSettings(words=False, oov=False))
    rescored = rescore(lists, {"m": model}, weights)
    assert gains[one, other, a, b] > 0.01 and rescored.rates.first.errors > 0
    assert [each.hypotheses[0].text for each in rescored.utterances] == [a, b]
    assert rescored.rates.rescored.errors == 0


def test_translations_keep_their_score_when_rescored(tmp_path):
    model = tiny_model(attention="dot")
    # or its lines would hardly ever end
    model.network.output.bias.data[model.codec.target.boundary_id] += 2
    found = list(Translator(model, DecodingSettings(beam=4, nbest=4)).translate(SOURCES))
    path = tmp_path / "list.jsonl"
    path.write_text("".join(json.dumps(line.to_dict()) + "\n" for line in found))
    utterances = read_nbest(path)
    assert [each.utt for each in utterances] == list("12345")
    assert [each.source for each in utterances] == SOURCES
    features = feature_table(utterances, {"m": model.decoder}, TextMapping()).features_KSN[0]
    complete = 0
    for row, line in enumerate(found):
        for rank, hypothesis in enumerate(line.hypotheses):
            if hypothesis.complete:
                complete += 1
                assert features[row, rank] == pytest.approx(hypothesis.logprob_nats, abs=1e-5)
    assert complete >= len(SOURCES)


def test_sources_come_from_lists_or_files_and_persist(model, tmp_path):
    listed, keyed = tmp_path / "list.tsv", tmp_path / "sources"
    listed.write_text(TSV)
    keyed.write_text("u2 the cat\nu1 a dog\n")
    assert [each.source for each in read_nbest(listed)] == ["a dog", None]
    utterances = read_nbest(listed, sources=[keyed])
    expected = [("a dog", "un chien"), ("the cat", None)]
    assert [(each.source, each.reference) for each in utterances] == expected
    rescored = rescore(utterances, {"m": model}, Weights({"lm:m": 1.0}, {"m": None}))
    for name in ("list.tsv.gz", "list.jsonl"):
        save_nbest(rescored, tmp_path / name)
        assert [(each.source, each.reference) for each in read_nbest(tmp_path / name)] == expected


@pytest.mark.parametrize(("text", "keyed", "message"), [
    (TSV, "u1 the cat\n", "a different source for 'u1'"),
    (TSV + "u1\tSRC\t\ta cat\n", "", "'u1' already has a source"),
    (TSV, "u2 a\nu2 b\n", "'u2' already has a source"),
    ("u1\tSRC\t-1\ta dog\nu1\t1\t-1\tun\n", "", "a source has a score"),
])  # fmt: skip
def test_sources_that_contradict_each_other_are_refused(tmp_path, text, keyed, message):
    (tmp_path / "list.tsv").write_text(text)
    (tmp_path / "sources").write_text(keyed)
    with pytest.raises(TextError, match=message):
        read_nbest(tmp_path / "list.tsv", ListSettings(), sources=[tmp_path / "sources"])
