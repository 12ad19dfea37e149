"""What goes wrong is said before hours go into training."""

import pytest

import rnnlm.corpora as corpora
from rnnlm.errors import DeviceError, SettingsError, TextError, UsageError
from rnnlm.training.plan import TrainingRequest, plan, resolve_request


@pytest.mark.parametrize("valid", [(), ("mine.txt",)])
def test_a_bundled_text_is_named_with_its_parts(here, valid):
    request = TrainingRequest(text=("recall",), valid=valid)
    train, ours, test = (str(corpora.part("recall", part)) for part in ("train", "valid", "test"))
    assert (request.text, request.valid, request.test) == ((train,), valid or (ours,), (test,))
    assert TrainingRequest(text=("english",)).takes_bundled
    (here / "recall").write_text("a\n", encoding="utf-8")
    assert TrainingRequest(text=("recall",)).text == ("recall",)


def test_a_missing_device_is_reported_before_reading(tmp_path):
    (tmp_path / "text").write_bytes(b"\xff")  # which cannot be read, either
    with pytest.raises(DeviceError):
        plan(TrainingRequest(text=(str(tmp_path / "text"),), flags={"device": "cuda:99"}))


def test_another_tokenizer_drops_the_recipes_tokenizer_settings(text):
    byte, word = (
        resolve_request(TrainingRequest(recipe="demo", flags={"tokenizer": name})).resolved
        for name in ("byte", "word")
    )
    assert byte.values["tokenizer"] == "byte"
    assert not byte.values["lowercase"] and not byte.values["split_punctuation"]
    assert word.values["lowercase"] and word.origins["lowercase"] == "recipe demo"


@pytest.mark.parametrize("request_", [
    {"flags": {"order": 3}}, {"assignments": {"smoothing": "kn"}},
    {"model": "lstm", "flags": {"prune": "0,1"}},
])  # fmt: skip
def test_a_setting_of_another_model_names_that_model(text, request_):
    with pytest.raises(SettingsError, match="a model of kind lstm has no setting") as caught:
        plan(TrainingRequest(text=(str(text),), **request_))
    assert caught.value.hint == 'add `model="ngram"`'


def test_all_families_hold_out_the_same_lines(text):
    kinds = ("lstm", "ngram", "unigram")
    plans = [plan(TrainingRequest(text=(str(text),), model=name)) for name in kinds]
    for made in plans:
        assert made.holds_out and made.valid_is == "the last 5% of the training text, held out"
        assert (made.data.train.sentences, made.data.valid.sentences) == (95, 5)
    for part in ("train", "valid"):
        assert len({getattr(made.data, part).lines_hash for made in plans}) == 1
    assert len({made.data.tokenizer.fingerprint for made in plans}) == 1


def test_weights_are_tuned_on_held_out_lines(text):
    settings = {"smoothing": "jelinek-mercer"}
    assert plan(TrainingRequest(text=(str(text),), model="ngram", assignments=settings)).data.valid


@pytest.mark.parametrize(("share", "held_out"), [("25%", 2), ("0.25", 2), ("0%", 0), ("12.5 %", 1)])
def test_a_share_is_a_number_or_a_percentage(tmp_path, share, held_out):
    path = tmp_path / "text"
    path.write_text("a b\n" * 8)
    made = plan(TrainingRequest(text=(str(path),), model="unigram", assignments={"holdout": share}))
    assert made.data.train.sentences == 8 - held_out


@pytest.mark.parametrize("content, name, value", [
    ('model = "ngram"\norder = 3\nprune = [0, 0, 1]\n', "prune", [0, 0, 1]),
    ('model = "gru"\nlayers = 2\nlayer_sizes = [32, 64]\n', "layer_sizes", "32,64"),
])  # fmt: skip
def test_toml_lists_may_give_numbers_per_layer(tmp_path, content, name, value):
    (tmp_path / "c.toml").write_text(content)
    _, _, resolved = resolve_request(TrainingRequest(text=("x",), recipe=str(tmp_path / "c.toml")))
    assert resolved.values[name] == value


@pytest.mark.parametrize("schedule", ["plateau", "halving"])
def test_a_schedule_that_follows_validations_needs_validation_text(text, schedule):
    with pytest.raises(UsageError, match=f"schedule {schedule} needs validation text.*`valid`"):
        asked = {"schedule": schedule, "holdout": "0"}
        plan(TrainingRequest(text=(str(text),), model="lstm", assignments=asked))


UNREADABLE = [(None, "cannot read"), (b"3 5\n\0\0\0\0", "is a binary file")]


@pytest.mark.parametrize("content, what", UNREADABLE)
def test_unreadable_word_vectors_are_reported_before_reading_text(text, tmp_path, content, what):
    if content is not None:
        (tmp_path / "vectors").write_bytes(content)
    (tmp_path / "text").write_bytes(b"\xff")  # which cannot be read, either
    flags = {"embeddings": str(tmp_path / "vectors")}
    with pytest.raises(TextError, match=what):
        plan(TrainingRequest(text=(str(tmp_path / "text"),), model="lstm", flags=flags))


@pytest.mark.parametrize("name, value, bound", [
    ("bptt_tokens", "0", "at least 1"), ("batch_rows", "0", "at least 1"),
    ("hidden_size", "0", "at least 1"), ("clip_norm", "0", "above 0"),
    ("clip_value", "-1", "above 0"), ("learning_rate", "0", "above 0"),
    ("learning_rate", "-1", "above 0"), ("dropout_input", "1", "below 1"),
    ("dropout_between", "1.0", "below 1"), ("dropout_output", "-0.1", "at least 0"),
    ("momentum", "1", "below 1"), ("ema_decay", "1", "below 1"), ("rms_decay", "1", "below 1"),
    ("l1", "-1", "at least 0"), ("l2", "-1", "at least 0"), ("decay_factor", "0", "above 0"),
    ("decay_after_epochs", "0", "at least 1"), ("min_improvement", "0.9", "at least 1"),
    ("plateau_factor", "1", "below 1"), ("asgd_start", "-1", "at least 0"),
    ("patience", "0", "at least 1"),
])  # fmt: skip
def test_settings_out_of_range_name_their_bound(name, value, bound):
    match = f"setting {name} = '{value}' is not valid.*{bound}"
    with pytest.raises(SettingsError, match=match) as caught:
        resolve_request(TrainingRequest(model="lstm", assignments={name: value}))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("assignments, hint", [
    ({"optimizer": "asgd", "nonmonotone_interval": "5", "asgd_start": "3"}, "asgd_start=0"),
    ({"optimizer": "asgd", "ema_decay": "0.99"}, "ema_decay=none"),
])  # fmt: skip
def test_contradictory_settings_are_reported_before_reading_text(assignments, hint):
    with pytest.raises(SettingsError) as caught:
        resolve_request(TrainingRequest(model="lstm", assignments=assignments))
    assert hint in caught.value.hint
