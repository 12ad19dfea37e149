from rnnlm.cli.main import run


def test_help_lists_the_commands(capsys):
    assert run(["--help"]) == 0
    assert "train" in capsys.readouterr().out
