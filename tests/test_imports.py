"""What a process imports: help nothing heavy, wrong names and n-gram models no torch."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from setuptools.config.setupcfg import read_configuration

from rnnlm import corpora
from rnnlm.cli.main import cli
from support.tiny_models import fit, save

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[1]
OPTIONS = read_configuration(ROOT / "setup.cfg")["options"]
SMALL = (ROOT / "requirements-ngram.txt").read_text("utf-8").splitlines()
WHOLE = OPTIONS["install_requires"] + OPTIONS["extras_require"]["plots"]
WITHOUT = {Requirement(line).name for line in {*WHOLE} - {*SMALL}}  # torch and others
HEAVY = {*WITHOUT, "numpy", "pyarrow", "rich"}
RUN = """
import contextlib, io, json, sys, types
commands, heavy, without = json.loads(sys.argv[1])
sys.modules |= dict.fromkeys(without)  # importing one of these fails
from rnnlm.cli.main import run
for line in commands:
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(said):
        code = run(line.split())
    # A module that lazy_loader has put there, and that nothing has used, is not loaded yet.
    loaded = [name for name in heavy if type(sys.modules.get(name)) is types.ModuleType]
    print(json.dumps([code, loaded, said.getvalue()]))
"""
NGRAM_WORK = """train train.txt --valid train.txt --model ngram --set order=3 -o kn
train train.txt --model unigram --tokenizer-from kn -o uni
train train.txt --model ngram --tokenizer-from demo -o words
tune -m kn+unigram --on train.txt
score -m kn --words --tokens the day
rescore --tune list.tsv --apply list.tsv -m kn --output best.txt
compare kn uni --on train.txt
mix kn uni --on train.txt -o both --bundle
generate -m both --num 2
export -m kn --arpa kn.arpa.gz
import kn.arpa.gz -o back
prune -m kn --threshold 1e-4 --on train.txt -o pruned
count train.txt -o counts
prepare train.txt -o prepared --workers 1
train prepared --model ngram -o again
--version"""
DESCRIPTIONS = """--version
list
list recipes
list corpora
info -m demo
info demo --json
info net --all
report net -o runs.html
train --model ngram --dry-run
train train.txt --model unigram --dry-run --json
train train.txt --model ngram --grid order=2,3 --dry-run"""
WRONG_NAMES = """train nofile
train --init-from nomodel
train --task tagging nofile
train --task seq2seq train.txt --target nofile
compare demo nomodel --on train.txt
generate -m nomodel
embed --input nofile -o out.npy
inspect probe nofile
serve -m nomodel"""
NEEDED = {
    "train train.txt -o lstm": "torch",
    "vectors train.txt -o words.vec": "scipy",
    "compare kn uni --on train.txt --plot bits.svg": "matplotlib",
    "train train.txt --model ngram --tokenizer sentencepiece -o pieces": "sentencepiece",
}


def in_one_process(folder, commands, without=(), heavy=HEAVY):
    """Run the commands. Return of each exit code, heavy packages imported so far, and output."""
    given = json.dumps([list(commands), sorted(heavy), sorted(without)])
    lines = corpora.part("english", "valid").read_text(encoding="utf-8").splitlines(keepends=True)
    nbest = "u1\tREF\t\tthe man\nu1\t1\t-1\tthe man\nu1\t2\t-2\ta man\n"
    (folder / "list.tsv").write_text(nbest, encoding="utf-8")
    (folder / "train.txt").write_text("".join(lines[:100]), encoding="utf-8")
    words = [sys.executable, "-c", RUN, given]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=folder, env=environment, stdout=subprocess.PIPE, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_no_help_imports_anything_heavy(tmp_path):
    commands = [
        "--help",
        "inspect gradients --help",
        *(f"{name} --help" for name in cli.list_commands(None)),
    ]
    for code, imported, _ in in_one_process(tmp_path, commands):
        assert (code, imported) == (0, [])


def test_help_imports_of_satellites_what_they_say_alone():
    program = (
        "import sys\nfrom rnnlm.cli.main import run\nassert run(['--help']) == 0\n"
        "print([name for name in sys.modules if name.startswith(('rnnlm.tasks.', 'rnnlm.tools.'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    names = re.findall(r"'rnnlm\.\w+\.(\w+)\.(\w+)'", done.stdout.splitlines()[-1])
    assert len(names) >= 10 and {module for _, module in names} == {"satellite"}


def test_n_gram_models_and_wrong_names_need_the_small_install_alone(tmp_path):
    work, wrong = NGRAM_WORK.splitlines(), WRONG_NAMES.splitlines()
    results = in_one_process(tmp_path, [*work, *wrong, *NEEDED], WITHOUT)
    for command, (code, _, said) in zip([*work, *wrong, *NEEDED], results, strict=True):
        assert (code == 0, "error: " in said) == (command in work, command not in work), command
        needed = f"error: this needs the package {NEEDED.get(command)}\n"
        assert ("needs the package" in said) == (needed in said), (command, said)


def test_no_description_imports_torch(rnnlm, models, here):
    train = f"train {models.text} --model rnn --set hidden_size=2 --budget 1steps -o net"
    assert rnnlm(train).code == 0
    commands = DESCRIPTIONS.splitlines()
    for command, result in zip(commands, in_one_process(here, commands), strict=True):
        assert (result[0], "torch" in result[1]) == (0, False), (command, result[2])


def test_evaluating_n_grams_imports_what_it_needs(tmp_path):
    save(tmp_path / "kn", fit("ngram"), "ngram")
    spared = ["torch", "numpy.ma", "html", "rnnlm.events", "rnnlm.tools.prepared.index"]
    (result,) = in_one_process(tmp_path, ["eval -m kn train.txt"], heavy=spared)
    assert result[:2] == [0, []]


def test_completion_imports_nothing_heavy():
    program = (
        "import sys; sys.argv = ['rnnlm']\nfrom rnnlm.cli.main import main\ntry: main()\n"
        f"finally: print([name for name in {sorted(HEAVY)} if name in sys.modules])"
    )
    words = {"_RNNLM_COMPLETE": "bash_complete", "COMP_WORDS": "rnnlm train --tokenizer w"}
    asked = {
        "env": {**os.environ, **words, "COMP_CWORD": "3"}, "capture_output": True, "text": True,
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", program], **asked)
    assert done.stdout == "plain,word\n[]\n", done.stderr
