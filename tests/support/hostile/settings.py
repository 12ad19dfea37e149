"""Settings and numbers: in TOML files, after --set, after the options of every command."""

from support.hostile.cases import TINY, Bad, fine, usage

TRAIN = "train {text} --model lstm -o out"
SETTINGS = {
    "unknown": ("hiden_size=3", "unknown setting 'hiden_size'"),
    "negative": ("hidden_size=-1", "setting hidden_size = '-1' is not valid"),
    "zero": ("layers=0", "setting layers = '0' is not valid"),
    "NaN": ("learning_rate=nan", "setting learning_rate = 'nan' is not valid"),
    "a seed beyond 64 bits": (
        "seed=18446744073709551616",
        "setting seed = '18446744073709551616' is not valid",
    ),
    "a width of 5000 digits": (f"hidden_size={'9' * 5000}", "setting hidden_size = '999"),
    "a list with a hole": ("layer_sizes=32,,64", "setting layer_sizes = '32,,64' is not valid"),
    "no name": ("=3", "setting '=3' is not of the form name=value"),
    "terminal escapes": ("\x1b[31mx=3", "unknown setting '\\x1b[31mx'"),
}
TOML = {
    "no TOML": (b"hidden_size = \n", "c.toml is not TOML"),
    "not UTF-8": (b"\xff\xfe", "c.toml is not TOML"),
    "a section": (b"[model]\nlayers = 2\n", "c.toml has a section [model]"),
    "a section with escapes in its name": (b'["\\u001b[31m"]\nlayers = 2\n',
                                           "c.toml has a section [\\x1b[31m]"),
    "an unknown key": (b"hiddn_size = 8\n", "unknown setting 'hiddn_size' in c.toml"),
    "a key twice": (b"layers = 1\nlayers = 2\n", "c.toml is not TOML"),
    "a text for a number": (b'hidden_size = "8"\n', "setting hidden_size = '8' is not valid"),
    "an array of tables": (b"[[layers]]\na = 1\n", "setting layers = "),
    "NaN": (b"learning_rate = nan\n", "setting learning_rate = nan is not valid"),
    "a number of 5000 digits": (b"layers = " + b"9" * 5000 + b"\n", "c.toml is not TOML"),
    "a nest of arrays": (b"layers = " + b"[" * 50_000 + b"]" * 50_000, "c.toml is not TOML"),
    "a nest of tables": (b"layers = " + b"{a=" * 50_000 + b"1" + b"}" * 50_000,
                         "c.toml is not TOML"),
    "a large file": (b"# " + b"a" * (20 << 20) + b"\n", "cannot read settings from c.toml"),
}  # fmt: skip
NUMBERS = {
    "budget: NaN": (f"{TRAIN} --budget nanm", "budget 'nanm' is not understood"),
    "budget: 5000 digits": (f"{TRAIN} --budget {'9' * 5000}epochs", f"budget '{'9' * 20}"),
    "budget: other digits": (f"{TRAIN} --budget ٣m", "budget '٣m' is not understood"),
    "threads: a billion": (
        f"{TRAIN} --threads 1000000000",
        "Invalid value for '--threads': 1000000000 is not in the range 1<=x<=4096",
    ),
    "seed: NaN": (f"{TRAIN} --seed nan", "Invalid value for '--seed'"),
    "order: a billion": (
        "train {text} --model ngram --order 1000000000 -o out",
        "Invalid value for '--order': 1000000000 is not in the range 1<=x<=64",
    ),
    "prune: -1": ("train {text} --model ngram --prune 0,-1 -o out", ""),
    "min-count: of sentencepiece": (
        "train {text} --tokenizer sentencepiece --min-count 2 -o out",
        "min_count: not for the sentencepiece",
    ),
    "max-vocab: of bytes": (
        "prepare {text} --tokenizer byte --max-vocab 50 -o out",
        "max_vocab: not for the byte tokenizer",
    ),
    "count, order: 65": ("count {text} --order 65", "Invalid value for '--order'"),
    "count, min-count: 0": ("count {text} --min-count 0", "Invalid value for '--min-count'"),
    "dask: no address": (
        "train {text} --model ngram --dask nonsense -o out",
        "dask = 'nonsense' is not understood",
    ),
    "dask: a path": (
        "count {text} --dask /tmp/scheduler -o out",
        "dask = '/tmp/scheduler' is not understood",
    ),
    "dask: other digits": ("count {text} --dask tcp://h:٣ -o out", "dask = 'tcp://h:٣' is not"),
    "dask: and processes": (
        "train {text} --model ngram --dask tcp://h:1 --workers 2 --temp work -o out",
        "workers and dask contradict each other",
    ),
    "workers: none": ("count {text} --workers 0 -o out", "Invalid value for '--workers'"),
    "workers: rows of text": (
        "count {text} --workers 2",
        "--memory, --temp, --workers and --dask need a folder",
    ),
    "dask: no shared folder": (
        "train {text} --model ngram --dask tcp://127.0.0.1:1 -o out",
        "the workers of a cluster need a folder that all of them see",
    ),
    "dask: rows of text": (
        "count {text} --dask tcp://h:1",
        "--memory, --temp, --workers and --dask need a folder",
    ),
    "dask: of a network": (
        "train {text} --model lstm --dask tcp://h:1 -o out",
        "a model of kind lstm has no setting 'dask'",
    ),
    "generate, temperature: NaN": (
        "generate -m {unigram} --temperature nan",
        "setting temperature = nan is not valid",
    ),
    "generate, temperature: -1": (
        "generate -m {unigram} --temperature -1",
        "Invalid value for '--temperature': -1.0 is not in the range x>=0",
    ),
    "generate, top-p: 2": (
        "generate -m {unigram} --top-p 2",
        "Invalid value for '--top-p': 2.0 is not in the range 0<x<=1",
    ),
    "generate, num: -1": ("generate -m {unigram} --num -1", ""),
    "generate, max-tokens: 0": (
        "generate -m {unigram} --max-tokens 0",
        "Invalid value for '--max-tokens': 0 is not in the range x>=1",
    ),
    "generate, beam: a trillion": (
        "generate -m {unigram} --beam 1000000000000",
        "Invalid value for '--beam': 1000000000000 is not in the range 1<=x<=65536",
    ),
    "generate, seed: 30 digits": (f"generate -m {{unigram}} --seed {'9' * 30}", "seed = 999"),
    "generate, penalty: NaN": (
        "generate -m {unigram} --repetition-penalty nan",
        "setting repetition_penalty = nan is not valid",
    ),
    "generate, length power: NaN": (
        "generate -m {unigram} --beam 2 --length-power nan",
        "setting length_power = nan is not valid",
    ),
    "score, next: -1": ("score -m {unigram} the --next -1", "Invalid value for '--next'"),
    "compare, block: 0": (
        "compare {unigram} {ngram} --on {valid} --block 0",
        "Invalid value for '--block'",
    ),
    "compare, resamples: 10^15": (
        "compare {unigram} {ngram} --on {valid} --resamples 1000000000000000",
        "Invalid value for '--resamples'",
    ),
    "mix, weights: NaN": ("mix {lstm} {ngram} --weights nan,1 -o out", ""),
    "mix, static, weights: infinite": (
        "mix {ngram} {ngram} --static --weights inf,-inf -o out.arpa",
        "the weights inf, -inf are not all numbers",
    ),
    "mix, static: too little memory": (
        "mix {ngram} {ngram} --static --weights 1,0 --memory 1k -o out",
        "memory = 1k is too little",
    ),
    "mix, static: no memory": (
        "mix {ngram} {ngram} --static --weights 1,0 --memory -1G -o out",
        "memory = '-1G' is not understood",
    ),
    "mix, weights: of one": (
        "mix {lstm} {ngram} --weights 1 -o out",
        "1 weights do not fit 2 models",
    ),
    "mix, weights: negative": (
        "mix {lstm} {ngram} --weights -1,2 -o out",
        "the weights -1, 2 are not valid for a mixture",
    ),
    "tune, tokens: -1": ("tune -m {unigram}+unigram --on {valid} --tokens -1", ""),
    "export, nothing": ("export -m {lstm}", ""),
    "prune, threshold: NaN": ("prune -m {ngram} -o out --threshold nan", ""),
    "prune, ngrams: NaN": ("prune -m {ngram} -o out --ngrams nan", ""),
    "prune, max-order: 0": ("prune -m {ngram} -o out --max-order 0", ""),
    "prune, nothing": ("prune -m {ngram} -o out", ""),
    "train, setting": ("train --set layers=nan", "setting layers = 'nan' is not valid"),
    "recipes: a path": ("list recipes ../../../etc/passwd", "unknown recipe '../../../etc/passwd'"),
    "corpora: too much": ("list corpora english", "corpora are listed together"),
    "device": ("eval -m {lstm} {valid} --device gpu0", "unknown device 'gpu0'"),
    "a command that is none": ("trian", "no such command 'trian'"),
    "an option that is none": ("eval --nope", "No such option"),
    "a command with terminal escapes": (
        "'\x1b]0;owned\x07'",
        "no such command '\\x1b]0;owned\\x07'",
    ),
}

ROWS = [
    usage(f"--set: {name}", f"{TRAIN} --set '{assignment}'", what)
    for name, (assignment, what) in SETTINGS.items()
]
ROWS += [
    usage(f"TOML: {name}", f"{TRAIN} --recipe c.toml", what, {"c.toml": content})
    for name, (content, what) in TOML.items()
]
ROWS += [usage(f"number: {name}", command, what) for name, (command, what) in NUMBERS.items()]
ROWS += [
    fine("number: cut-offs of 30 digits",
         f"train {{text}} --model ngram --prune 0,{'9' * 30} -o out"),
    fine("number: a vocabulary of 40 digits",
         f"train {{text}} --model ngram --max-vocab {'9' * 40} -o out"),
    usage("TOML: missing", f"{TRAIN} --recipe none.toml", "cannot read settings from none.toml"),
    usage("TOML: without end", f"{TRAIN} --recipe zero.toml", "cannot read settings from zero.toml",
          {"zero.toml": lambda path, models: path.symlink_to("/dev/zero")}),
    Bad("more memory than there is",
        (f"train {{text}} --model lstm --set hidden_size=300000 "
         f"{TINY.split('--set hidden_size=8')[1]} -o out"),
        "out of memory on "),
]  # fmt: skip
