import rnnlm as library


def test_command_and_library_say_the_same(rnnlm, models):
    shown = rnnlm("eval", "-m", models.lstm, models.valid, "--json").json
    piped = rnnlm(f"eval -m {models.lstm} - --json", stdin=models.valid.read_bytes()).json
    result = library.load(models.lstm).evaluate(models.valid).to_dict()
    assert shown | {"seconds": 0} == result | {"seconds": 0} == piped | {"seconds": 0}


def test_piped_output_is_tab_separated_ending_in_signature(rnnlm, models):
    shown = rnnlm("eval", "-m", models.lstm, models.valid)
    *rows, signature = shown.out.splitlines()
    table = dict(row.split("\t") for row in rows)
    assert table["measure"] == "value"
    assert float(table["ppl_token"].replace(",", "")) > 1
    assert "bits_per_char" not in table  # words of valid are unknown
    assert table["ppl_word"].endswith(" (closed vocabulary)")
    assert signature.startswith("signature: rnnlm:0.1|")
    assert shown.err == ""


def test_blank_line_handling_is_chosen_and_in_signature(rnnlm, models, here):
    (here / "text").write_text("the man\n\nthe day\n")
    for way, sentences in {"skip": 2, "keep": 3, "documents": 2}.items():
        chosen = "" if way == "skip" else f"--blank-lines {way}"
        result = rnnlm(f"eval -m {models.unigram} text --json {chosen}").json
        assert result["sentences"] == sentences and f"|blank:{way}|" in result["signature"]
