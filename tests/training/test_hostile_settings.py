"""Settings and numbers: in TOML files, after --set, after the options of every command."""

import pytest

pytestmark = pytest.mark.needs(
    "tasks/labelling",
    "tasks/seq2seq",
    "tools/filtering",
    "tools/huggingface",
    "tools/inspection",
    "tools/mixtures",
    "tools/serving",
)

TRAIN = "train {text} --model lstm -o out"
NGRAM = "train {text} --model ngram -o out"
LONG = "9" * 5000
SETTINGS = {
    "unknown": ("hiden_size=3", "unknown setting 'hiden_size'"),
    "zero": ("layers=0", "setting layers = '0' is not valid"),
    "NaN": ("learning_rate=nan", "setting learning_rate = 'nan' is not valid"),
    "a seed beyond 64 bits": (f"seed={2**64}", f"setting seed = '{2**64}' is not valid"),
    "a width of 5000 digits": (f"hidden_size={LONG}", "setting hidden_size = '999"),
    "a list with a hole": ("layer_sizes=32,,64", "setting layer_sizes = '32,,64' is not valid"),
    "no name": ("=3", "setting '=3' is not of the form name=value"),
    "terminal escapes": ("\x1b[31mx=3", "unknown setting '\\x1b[31mx'"),
}
TOML = {
    "no TOML": (b"hidden_size = \n", "c.toml is not TOML"),
    "a section": (b"[model]\nlayers = 2\n", "c.toml has a section [model]"),
    "a section of escapes": (b'["\\u001b[31m"]\nlayers = 2\n', "c.toml has a section [\\x1b[31m]"),
    "an unknown key": (b"hiddn_size = 8\n", "unknown setting 'hiddn_size' in c.toml"),
    "a key twice": (b"layers = 1\nlayers = 2\n", "c.toml is not TOML"),
    "a text for a number": (b'hidden_size = "8"\n', "setting hidden_size = '8' is not valid"),
    "an array of tables": (b"[[layers]]\na = 1\n", "setting layers = "),
    "NaN": (b"learning_rate = nan\n", "setting learning_rate = nan is not valid"),
    "a number of 5000 digits": (f"layers = {LONG}\n".encode(), "c.toml is not TOML"),
    "a nest of arrays": (b"layers = " + b"[" * 50_000 + b"]" * 50_000, "c.toml is not TOML"),
    "a nest of tables": (b"a = " + b"{a=" * 50_000 + b"1" + b"}" * 50_000, "c.toml is not TOML"),
    "a large file": (b"# " + b"a" * (20 << 20) + b"\n", "cannot read c.toml"),
}
# What is typed behind `train TEXT --model lstm`.
OPTIONS = {
    "--budget ٣m": "budget '٣m' is not understood",
    f"--budget {LONG}epochs": f"budget '{'9' * 20}",
    "--seed nan": "Invalid value for '--seed'",
    "--tokenizer sentencepiece --max-vocab 9": "max_vocab = 9 needs tokenizer = word or char",
    "--dask tcp://h:1": "a model of kind lstm has no setting 'dask'",
    "--set layers=nan": "setting layers = 'nan' is not valid",
}
# What is typed behind `train TEXT --model ngram`.
NGRAMS = {
    "--order 1000000000": "Invalid value for '--order': it must be from 1 to 64, not 10",
    "--prune 0,-1": "",
    "--dask nonsense": "dask = 'nonsense' is not understood",
    "--dask tcp://h:٣": "dask = 'tcp://h:٣' is not",
    "--dask tcp://h:1 --workers 2 --temp work": "workers and dask cannot be combined",
    "--dask tcp://127.0.0.1:1": "the workers of a cluster need a shared folder",
}
COMMANDS = {
    "prepare {text} --tokenizer byte --max-vocab 50 -o out": "max_vocab = 50 needs tokenizer = word",
    "count {text} --workers 2": "--memory, --temp, --workers and --dask need a folder",
    "count {text} --dask tcp://h:1": "--memory, --temp, --workers and --dask need a folder",
    "generate -m {unigram} --temperature nan": "Invalid value for '--temperature'",
    "generate -m {unigram} --top-p 2": "Invalid value for '--top-p': it must be above 0 and at most 1",
    "generate -m {unigram} --repetition-penalty nan": "Invalid value for '--repetition-penalty'",
    "generate -m {unigram} --beam 2 --length-power nan": "Invalid value for '--length-power'",
    "generate -m {unigram} --num -1": "", "tune -m {unigram}+unigram --on {valid} --tokens -1": "",
    "prune -m {ngram} -o out --max-order 0": "",
    "next -m {unigram} the --num 0": "Invalid value for '--num'",
    "score -m {unigram} the -o out.jsonl.gz": "the name after -o must end in .csv",
    "mix {lstm} --weights 1 -o out": "", "mix {lstm} {ngram} --weights nan,1 -o out": "",
    "mix {lstm} {ngram} --weights 1 -o out": "1 weight for 2 models",
    "mix {lstm} {ngram} --weights -1,2 -o out": "the weights -1, 2 are not valid for a mixture",
    "mix {ngram} {lstm} --static --weights 1,0 -o out": "",
    "mix {ngram} {ngram} --static --weights inf,-inf -o out.arpa": "Invalid value for '--weights'",
    "mix {ngram} {ngram} --static --weights 1,0 --memory 1k -o out": "memory = 1k is too little",
    "export -m {lstm}": "",
    "export -m {lstm} --arpa out": "this model has no ARPA form",
    "prune -m {ngram} -o out --ngrams nan": "", "prune -m {lstm} -o out --max-order 1": "the model",
    "report {lstm} -o curves.txt": "a report of runs cannot be written to curves.txt",
    "serve -m {lstm} --host 0.0.0.0": "0.0.0.0 is reachable from other machines",
    "list recipes ../../../etc/passwd": "unknown recipe '../../../etc/passwd'",
    "list corpora english": "only recipes can be listed by name",
    "eval -m {lstm} {valid} --device gpu0": "unknown device 'gpu0'",
    "filter - -o out -m {unigram} --max-perplexity 900": "standard input cannot be filtered",
    "filter /dev/null -o out -m {unigram} --max-perplexity 900": "/dev/null cannot be filtered",
    "filter hf:a/b -o out -m {unigram} --max-perplexity 900": "hf:a/b: texts cannot be read",
    "tag go": "no model is given", "tag -m {tagger} go --input f": "give either sentences or",
    "translate -m {translator} the --input f": "give either lines or --input",
    "inspect gadgets": "no such inspect command 'gadgets'", "trian": "no such command 'trian'",
    "eval --nope": "No such option",
    "'\x1b]0;owned\x07'": "no such command '\\x1b]0;owned\\x07'",
}  # fmt: skip
LINES = {f"{TRAIN} --set '{setting}'": what for setting, what in SETTINGS.values()}
LINES |= {f"{TRAIN} {option}": what for option, what in OPTIONS.items()}
LINES |= {f"{NGRAM} {option}": what for option, what in NGRAMS.items()} | COMMANDS


@pytest.mark.parametrize(("line", "what"), LINES.items(), ids=[ascii(line[:70]) for line in LINES])
def test_a_request_that_cannot_be_is_wrong_usage(refused, line, what):
    refused(line, what, code=2)


@pytest.mark.parametrize(("content", "what"), TOML.values(), ids=TOML)
def test_settings_from_a_file_are_checked(refused, here, content, what):
    (here / "c.toml").write_bytes(content)
    refused(f"{TRAIN} --recipe c.toml", what, code=2)


@pytest.mark.system("proc")
@pytest.mark.system("links")
@pytest.mark.parametrize("what", ["no such file: none.toml", "cannot read zero.toml"])
def test_a_file_of_settings_that_is_none_is_named(refused, here, what):
    (here / "zero.toml").symlink_to("/dev/zero")
    refused(f"{TRAIN} --recipe {what.split()[-1]}", what, code=2)


@pytest.mark.parametrize("option", [f"--prune 0,{'9' * 30}", f"--max-vocab {'9' * 40}"])
def test_a_large_number_is_no_error_by_itself(harmless, option):
    harmless(f"{NGRAM} {option}")


def test_more_memory_than_there_is_is_refused(refused):
    what = "out of memory on "
    small = "--set embedding_size=8 --precision fp32 --budget 2steps"
    refused(f"{TRAIN} --set hidden_size=300000 {small}", what, code=1)
