"""The engine of a page that needs no server: its figures are Python's."""

import math
from random import Random

import numpy as np
import pytest

from rnnlm.generation import autocomplete
from rnnlm.interface import answers_of
from rnnlm.models import loading, model_folder
from rnnlm.scoring.rows import record
from rnnlm.scoring.scorer import score_sentences
from rnnlm.scoring.settings import ScoringSettings
from rnnlm.serving import html_export
from support import pages, tiny_models
from support.network_variants import VARIANTS

pytestmark = pytest.mark.skipif(pages.NODE is None, reason="node is not installed")

NATS = 1e-3
MORE_LINES = (
    *tiny_models.LINES,
    "Mr. Smith doesn't know \"the 'old' cat\", (does he)?",
    "</script> \u2028 <img onerror=x> </title> a-->b",
    "caf\u00e9 \u0130stanbul \u03a3\u03a3 \u201cso\u201d \u2026 x\u2014y it's 'tis dogs' 5\u20ac a\u0301b",
)
LONG_WORD = "cat" * 30
TEXTS = (
    "the cat sat on the mat", f"a dog saw a zebra {LONG_WORD} zebra \U0001f600s", "", "it is hard to <unk> speech", "  the\tcat ",
    "Mr. Smith doesn't know (\"the 'old' cat\")?", "dogs' \u2019tis a\u2019b \u0130stanbul \u03a3\u03a3 \u2026x",
    "<unk>. <UNK> </script><img onerror=x> \u2028 \ufeffthe\u00a0cat a\u0301b \U0001f600 \U0001f600!",
    "Tom&nbsp;&amp;&#74;erry&amp;lt;&#x201c;a&bogus; &eacute;&shy;x co\u00adop &lt;unk&gt; <\u00adunk>",
    "\u201cso\u201d x\u2014y 5\u20ac \u00abwas\u00bb ?!", "the cat ?", "'",
)  # fmt: skip
NETWORKS = [
    *(given for given in VARIANTS if "cutoffs" not in given),
    {"characters": "cnn", "tied": None, "tokenizer": "sentencepiece", "vocab_size": 290},
    {"characters": "cnn", "character_overhang": True, "character_filters": "3,0,4,2",
     "character_highways": 2, "tied": None},
    *({"model": "rnn", "activation": name} for name in ("tanh", "relu", "sigmoid", "elu")),
    {"model": "rnn", "activation": "leaky_relu", "layers": 2, "connections": "dense"},
    {"model": "gru", "layers": 3, "update_gate": "renew", "connections": "residual"},
    {"model": "gru", "tied": False, "embedding_size": 9},
    {"model": "lstm", "layers": 3, "layer_sizes": "8,5,11", "tied": None},
    {"model": "qrnn", "convolution_words": 3, "pooling": "f", "layers": 2},
    {"output_layer": "class", "tied": False, "classes": 5},
    {"output_layer": "adaptive", "cutoffs": "5,9", "tied": None},
]  # fmt: skip
NGRAMS = [
    {"smoothing": name, "order": order}
    for name, order in (
        ("mkn", 5), ("kn", 2), ("kn", 1), ("witten-bell", 3), ("absolute", 3), ("additive", 3),
        ("jelinek-mercer", 3), ("katz", 4), ("stupid", 3), ("mle", 2),
    )
] + [{"smoothing": "kn", "order": 3, "interpolate": False, "prune": "0,0,1"}]  # fmt: skip
# Of random texts. `_'` is left out: Python itself reads it differently the second time where
# punctuation is removed.
PIECES = [
    "the", "cat", "Cat", "'", "\u2019", '"', "\u201c", "<unk>", "<UNK>", "<s", "</", "\u0130",
    "\u03a3\u03a3", "\u00df", "\u01c5", "\u0301", "\u00e9", " ", "  ", "\t", "\r", "\0", "\u00a0",
    "\u2028", "\u200b", "\ufeff", "\u2014", "\u2026", "\u20ac", "\u00bd", "\u0663", "\u6f22", "\uac00",
    "\U0001f600", "\U0001f469\u200d\U0001f469", "-", ".", "...", "(", "]", "#", "a1", "1,000.5",
    "\v", "\x85", "\u3000", "\ufb01", "\ua66e", "\U0001d400", "&amp;", "&nbsp;", "&lt;", "unk", "&gt;",
    "&#39;", "&#x2019;", "&#128;", "&#0;", "&shy;", "&bogus;", "&", ";", "\u00ad", "&eacute;",
    "&#xfffe;", "\u1100", "\u1161", "\u2032", "\u00b4", "\u2581",
]  # fmt: skip
TOKENIZERS = [
    {},
    {"lowercase": True},
    {"lowercase": True, "split_punctuation": True},
    {"split_punctuation": True},
    {"tokenizer": "char"},
    {"tokenizer": "char", "literal_unk": "spell", "lowercase": True},
    {"tokenizer": "byte"},
    {"normalise": "all", "split_punctuation": True, "lowercase": True},
    {"normalise": "quotes,dashes,nfc"},
    {"remove_punctuation": True},
    {"remove_punctuation": True, "normalise": "entities", "tokenizer": "char"},
    {"normalise": "all", "tokenizer": "byte"},
    {"tokenizer": "sentencepiece", "vocab_size": 360},
    {"tokenizer": "sentencepiece", "vocab_size": 360, "literal_unk": "spell", "lowercase": True},
    {"tokenizer": "sentencepiece", "vocab_size": 360, "sentencepiece_model": "bpe"},
]


# For the long proofs: what is in them is in the others, but by itself.
ALONE = (
    {"model": "ffnn"}, {"loss": "sampled", "samples": 9}, {"loss": "nce", "samples": 9},
    {"output_layer": "mos", "tied": False}, {"output_layer": "class", "tied": False, "classes": 5},
    {"characters": "cnn", "tied": None}, {"model": "rnn", "activation": "tanh"},
    {"model": "qrnn", "layers": 2, "weight_drop": 0.3},
    {"model": "lstm", "coupled_gates": True, "locked_dropout": True},
)  # fmt: skip


def made(folder, name, lines=tiny_models.LINES, **settings):
    """Train a tiny model; return it packed for a page, and in its compact form where it has one."""
    with np.errstate(all="ignore"):
        model = tiny_models.fit(name, lines, **settings)
    manifest = tiny_models.save(folder, model, name, **settings)
    packed = html_export.packed(folder)
    packed["card"]["name"] = "tiny"
    kind = manifest.kind
    if kind.trains_in_steps:
        arrays = model_folder.joined([model_folder.compacted(model.to_arrays(), 8)])
        model = kind.from_arrays(manifest.settings, model.tokenizer, arrays, "cpu", None)
    return packed, model


def scored(model, texts, given="", alternatives=0):
    settings = ScoringSettings(with_tokens=True, with_words=True, next_words=alternatives)
    scores = score_sentences(
        model, texts, given=given, with_tokens=True, with_words=True, next_words=alternatives,
        unscorable="null",
    )  # fmt: skip
    return [record(score, settings) | {"id": 1} for score in scores]


def check_equal(found, expected, where=""):
    """Compare an answer with Python's: numbers to NATS or their place, all else exactly."""
    if isinstance(expected, dict):
        for name in expected:
            check_equal(found[name], expected[name], f"{where}.{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for at, pair in enumerate(zip(found, expected, strict=True)):
            check_equal(*pair, f"{where}[{at}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=NATS, abs=NATS / 10), where
    else:
        assert found == expected, where


@pytest.mark.parametrize(
    "networks",
    [
        pytest.param([each for each in NETWORKS if each not in ALONE], id="most"),
        pytest.param([*ALONE], id="the others", marks=pytest.mark.soak),
    ],
)
def test_networks_score_like_their_compact_form(tmp_path, networks):
    asked, models = [], []
    for number, given in enumerate(networks):
        settings = {"model": "lstm", "tied": None, **given}
        packed, model = made(tmp_path / str(number), settings.pop("model"), **settings)
        asked.append((packed, [["score", "tiny", text, {}] for text in TEXTS[:6]]))
        models.append(model)
    for given, model, found in zip(networks, models, pages.answers(asked), strict=True):
        check_equal(found, scored(model, TEXTS[:6]), str(given))


def test_n_grams_score_with_orders_and_backoffs(tmp_path):
    asked, models = [], []
    for number, settings in enumerate(NGRAMS):
        packed, model = made(tmp_path / str(number), "ngram", **settings)
        calls = [["score", "tiny", text, {}] for text in TEXTS[:6]]
        looks = [["look", "tiny", "orders", text] for text in TEXTS[:6]]
        asked.append((packed, [*calls, *looks]))
        models.append(model)
    for settings, model, found in zip(NGRAMS, models, pages.answers(asked), strict=True):
        check_equal(found[:6], scored(model, TEXTS[:6]), str(settings))
        for text, look in zip(TEXTS[:6], found[6:], strict=True):
            check_orders(look, model, text, f"{settings} {text}")


def check_orders(look, model, text, where):
    """Compare orders and backoffs with those of the scorer of growing prefixes."""
    scorer = answers_of(model).incremental()
    context = scorer.begin()
    ids = model.tokenizer.encode([text]).ids.tolist()
    assert [word["word"] for word in look["words"]] == model.tokenizer.surface(text), where
    for word, id in zip(look["words"], ids, strict=True):
        logprob, order, after = scorer.extend(context, id)
        assert word["order"] == order, where
        if word["logprob_nats"] is None:
            assert logprob == -math.inf, where
        else:
            assert word["logprob_nats"] == pytest.approx(logprob, abs=1e-6), where
        given_up = [cost for cost in context.costs[order - 1 :] if cost]
        found = [each["nats"] for each in word["backoffs"] if each["nats"] != 0]
        found = [-math.inf if nats is None else nats for nats in found]
        assert found == pytest.approx(given_up[::-1]), where
        context = after


def test_backoffs_name_the_contexts_given_up(tmp_path):
    packed, _ = made(tmp_path / "m", "ngram", order=3, lines=["a b c", "a b c", "b d"])
    [[look]] = pages.answers([(packed, [["look", "tiny", "orders", "a b d"]])])
    orders = [(word["word"], word["order"]) for word in look["words"]]
    assert orders == [("a", 2), ("b", 3), ("d", 2), ("</s>", 3)]
    assert [each["context"] for each in look["words"][2]["backoffs"]] == ["a b"]


def test_word_frequencies_score_like_python(tmp_path):
    packed, model = made(tmp_path / "m", "unigram")
    [found] = pages.answers([(packed, [["score", "tiny", text, {}] for text in TEXTS])])
    check_equal(found, scored(model, TEXTS))


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    """Return a small model with each tokenizer: packed for a page, and itself."""
    folder = tmp_path_factory.mktemp("readers")
    return [
        made(folder / str(number), "ngram", MORE_LINES, order=2, **settings)
        for number, settings in enumerate(TOKENIZERS)
    ]


def test_texts_are_read_as_by_each_tokenizer(readers):
    calls = [["score", "tiny", text, {}] for text in TEXTS]
    calls += [["score", "tiny", text, {"given": "The cat. "}] for text in TEXTS[:4]]
    answers = pages.answers([(packed, calls) for packed, _ in readers])
    for settings, (_, model), found in zip(TOKENIZERS, readers, answers, strict=True):
        python = [*scored(model, TEXTS), *scored(model, TEXTS[:4], "The cat. ")]
        check_equal(found, python, str(settings))


def test_random_texts_are_read_alike(readers):
    random = Random(1)
    texts = []
    for _ in range(40):
        count = random.randint(0, 9)
        pieces = [random.choice(PIECES) + random.choice(["", "", " "]) for _ in range(count)]
        texts.append("".join(pieces))
    calls = [["score", "tiny", text, {}] for text in texts]
    answers = pages.answers([(packed, calls) for packed, _ in readers])
    for settings, (_, model), found in zip(TOKENIZERS, readers, answers, strict=True):
        for text, one, other in zip(texts, found, scored(model, texts), strict=True):
            check_equal(one, other, f"{settings} {text!r}")


@pytest.mark.parametrize(
    "tokenizers",
    [
        pytest.param(TOKENIZERS[2::4], id="one of each kind"),
        pytest.param(
            [each for number, each in enumerate(TOKENIZERS) if number % 4 != 2],
            id="the others",
            marks=pytest.mark.soak,
        ),
    ],
)
def test_alternatives_and_next_words_are_pythons(tmp_path, tokenizers):
    begun = ["the cat", "the cat ", "", "a d", "it's ", "x (", "zz", "the  "]
    asked, expected = [], []
    for number, settings in enumerate(tokenizers):
        packed, model = made(tmp_path / str(number), "lstm", MORE_LINES, tied=None, **settings)
        calls = [["score", "tiny", "the cat sat", {"alternatives": 2}]]
        asked.append((packed, [*calls, *(["next", "tiny", text, 3] for text in begun)]))
        python = scored(model, ["the cat sat"], alternatives=2)
        for text in begun:
            words = autocomplete.next_words(model, text, 3)
            python.append([{"word": each.word, "probability": each.probability} for each in words])
        expected.append(python)
    for settings, found, python in zip(tokenizers, pages.answers(asked), expected, strict=True):
        check_equal(found, python, str(settings))


def test_rank_counts_the_likelier_tokens(tmp_path):
    packed, model = made(tmp_path / "m", "lstm", tied=None)
    calls = [["score", "tiny", "the cat", {"alternatives": 1}], ["next", "tiny", "", 100]]
    [[score, words]] = pages.answers([(packed, calls)])
    rank = score["word_surprisals"][0]["rank"]
    known = [each["word"] for each in words]
    assert known.index("the") <= rank - 1 <= known.index("the") + 1  # <unk> is not a next word


def test_gates_are_those_of_the_trace(tmp_path):
    kinds = [("lstm", {"layers": 2}), ("gru", {}), ("qrnn", {}), ("lstm", {"mogrifier_rounds": 2})]
    asked, models = [], []
    for number, (kind, settings) in enumerate(kinds):
        packed, model = made(tmp_path / str(number), kind, tied=None, **settings)
        asked.append((packed, [["look", "tiny", "gates", "the zebra sat"]]))
        models.append(model)
    for model, [look] in zip(models, pages.answers(asked), strict=True):
        traced = model.trace_line("the zebra sat")
        assert look["words"] == list(traced.tokens)
        assert len(look["layers"]) == len(traced.layers)
        for layer, named in zip(look["layers"], traced.layers, strict=True):
            assert {gate["gate"] for gate in layer["gates"]} == named.layer.gates.keys()
            for gate in layer["gates"]:
                values_TH = named.layer.gates[gate["gate"]][:, 0].numpy()
                np.testing.assert_allclose(gate["mean"], values_TH.mean(axis=1), atol=NATS)
                np.testing.assert_allclose(gate["units"], values_TH[:, :32], atol=NATS)


def test_generated_texts_follow_seed_and_settings(tmp_path):
    packed, model = made(tmp_path / "m", "lstm", tied=None)
    greedy = {"prompt": "the", "temperature": 0, "max_tokens": 5}
    seeded = {"prompt": "the", "seed": 3, "max_tokens": 30}
    narrow = {"prompt": "the", "seed": 3, "max_tokens": 5, "top_p": 1e-9}
    calls = [["generate", "tiny", settings] for settings in (greedy, seeded, seeded, narrow)]
    [[likeliest, one, other, nucleus]] = pages.answers([(packed, calls)])
    assert one == other
    assert nucleus["text"] == likeliest["text"]
    assert likeliest["text"].startswith("the ")
    [score] = scored(model, [likeliest["text"].removesuffix("\n")])
    assert likeliest["logprob_nats"] > score["logprob_nats"]


def test_draws_follow_the_distribution(tmp_path):
    packed, model = made(tmp_path / "m", "unigram")
    calls = [["generate", "tiny", {"seed": seed, "max_tokens": 1}] for seed in range(1, 2001)]
    [found] = pages.answers([(packed, calls)])
    ended = sum(each["complete"] for each in found) / len(found)
    p_V = np.exp(model.logprob_V)
    assert ended == pytest.approx(p_V[0] / (1 - p_V[1]), abs=0.04)


def test_texts_that_cannot_be_read_are_errors(tmp_path):
    packed, _ = made(tmp_path / "m", "ngram", order=2)
    texts = ["a\nb", "a </s> b", "<s>", "\ud800"]
    [found] = pages.answers([(packed, [["score", "tiny", text, {}] for text in texts])])
    assert [each["error"][0] for each in found] == [
        "a line holds a newline", "the text holds </s>", "the text holds <s>",
        "the text is not Unicode",
    ]  # fmt: skip


def test_line_beyond_the_limit_is_refused(tmp_path):
    packed, _ = made(tmp_path / "m", "ngram", order=2)
    [[error]] = pages.answers([(packed, [["score", "tiny", "the " * 2000, {}]])])
    assert error["error"][0] == "the text is too long" and "2,001 tokens" in error["error"][1]


def test_shipped_model_has_its_own_figures():
    packed = html_export.packed("demo")
    texts = ["the dog barked at the man .", "Mr. Smith doesn't like Zorglub (hm)."]
    calls = [["score", "demo", text, {"alternatives": 5}] for text in texts]
    [[[card], *found]] = pages.answers([(packed, [["models"], *calls])])
    assert (card["name"], card["vocabulary"], card["test_ppl"]) == (
        "demo",
        7125,
        pytest.approx(35.106, abs=1e-3),
    )
    assert card["can"] == ["score", "next", "generate", "gates"]
    check_equal(found, scored(loading.load("demo", "cpu"), texts, alternatives=5))
