import json


def test_info_tells_what_a_model_is_without_reading_weights(rnnlm, copied):
    weights = next(copied.glob("weights-*.safetensors"))
    size = weights.stat().st_size
    weights.write_bytes(b"\0" * size)
    shown = json.loads(rnnlm("info", copied, "--json").out)
    assert shown["model"] == "lstm"
    assert shown["settings"]["hidden_size"] == 8
    assert shown["vocabulary_size"] > 100
    assert shown["results"].keys() == {"valid", "test"}
    assert shown["files"][weights.name] == size
    assert shown["hash"] == "checked when it is loaded"


def test_of_mapped_n_grams_info_says_that_their_hash_is_not_checked(rnnlm, models):
    assert rnnlm("train", models.text, "--model", "ngram", "--order", "2", "-o", "bigram").code == 0
    rows = [line.split("\t") for line in rnnlm("info", "bigram").out.splitlines()]
    assert ["hash", "unchecked"] in rows
    assert "unchecked" not in rnnlm("eval", "-m", "bigram", models.valid).out


def test_for_people_it_is_a_table_with_one_line_per_fact(rnnlm, models):
    shown = rnnlm("info", "-m", models.lstm)
    rows = dict(line.split("\t", 1) for line in shown.out.splitlines())
    assert rows["settings.hidden_size"] == "8"
    assert rows["training.text"] == str(models.text)
    assert rows["results.test.signature"].startswith("rnnlm:0.1|data:")
    assert len(rows["results.test.ppl_token"]) < 10


def test_a_model_is_found_by_folder_name_and_environment(rnnlm, models, monkeypatch):
    monkeypatch.chdir(models.folder)
    by_name = rnnlm("info", "tiny", "--json")
    monkeypatch.setenv("RNNLM_MODEL", "tiny")
    by_environment = rnnlm("info", "--json")
    monkeypatch.delenv("RNNLM_MODEL")
    assert json.loads(by_name.out)["fingerprint"] == json.loads(by_environment.out)["fingerprint"]


def test_without_a_name_it_is_the_shipped_model_and_a_note_says_so(rnnlm, here):
    shown = rnnlm("info", "--json")
    assert (shown.code, shown.err) == (0, "note: the shipped model of plain English (rnnlm info demo); -m names another\n")
    assert json.loads(shown.out) == json.loads(rnnlm("info", "demo", "--json").out)
