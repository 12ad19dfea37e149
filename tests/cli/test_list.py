"""`rnnlm list`: models. Recipes and corpora have files of their own."""

import shutil


def test_models_here_and_the_shipped_one_are_listed(rnnlm, models, here):
    shutil.copytree(models.unigram, here / "checkpoints" / "mine")
    shutil.copytree(models.lstm, here / "checkpoints" / "broken")
    (here / "checkpoints" / "broken" / "config.json").write_text("{")
    records = rnnlm("list", "--json").records
    assert [(each["model"], each["kind"], each["state"]) for each in records] == [
        ("demo", "lstm", "whole"), ("broken", "-", "damaged"), ("mine", "unigram", "whole")
    ]  # fmt: skip
    shown = rnnlm("list", "models")
    assert shown.code == 0 and shown.out.startswith("model\tkind\ttask\tstate\tpath\ndemo\tlstm\t")


def test_only_a_recipe_is_shown_by_its_name(rnnlm):
    assert rnnlm("list", "corpora", "english").code == 2
    assert "'modls' is not one of" in rnnlm("list", "modls").err
