"""The options of `rnnlm train`, by section."""

import click

from .options import PATH, section

task_options = section(
    "Task",
    click.option("--task", metavar="TASK", help="tagging, classification or seq2seq instead of a language model."),
    click.option("--label-column", metavar="NAME,...", help="Columns of the labels that are learned, by name or number."),
    click.option("--sentence-label-column", metavar="NAME,...", help="With tagging: columns of labels of the whole sentence."),
    click.option("--labels", multiple=True, metavar="FILE", help="Labels of TEXT, in a file of their own; line by line."),
    click.option("--valid-labels", multiple=True, metavar="FILE", help="Those of --valid."),
    click.option("--test-labels", multiple=True, metavar="FILE", help="Those of --test."),
    click.option("--format", metavar="FORMAT", help="conllu, columns, slashes, tsv, csv, jsonl, parquet, label-first or fasttext."),
    click.option("--scheme", metavar="SCHEME", help="How labels write spans: none, iob1, bio, bioes, ...  [default: told by the labels]"),
    click.option("--multi-label", is_flag=True, default=None, help="With classification: a text has any number of labels, joined by |."),
    click.option("--align", is_flag=True, default=None, help="With tagging: labels are the sounds of letters, and are aligned first."),
    click.option("--target", multiple=True, metavar="FILE", help="With seq2seq: what is to be written for each line of TEXT."),
    click.option("--valid-target", multiple=True, metavar="FILE", help="That of --valid; several are several references."),
    click.option("--test-target", multiple=True, metavar="FILE", help="That of --test."),
    click.option("--target-column", metavar="NAME", help="With seq2seq: column of what is to be written; --column is what is read."),
    click.option("--skip-empty", is_flag=True, default=None, help="With seq2seq: pairs with an empty side are left out."),
)
model_options = section(
    "Model",
    click.option("--model", metavar="KIND", help="rnn, gru, lstm, qrnn, ffnn, jordan, ngram or unigram; of tasks also bag and cnn."),
    click.option("--recipe", metavar="NAME", help="Named settings; see rnnlm recipes."),
    click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE", help="One setting; may be repeated."),
    click.option("--config", type=PATH, metavar="FILE.toml", help="Settings from a file."),
    click.option(
        "--grid",
        multiple=True,
        metavar="NAME=V,V",
        help="Several values of a setting, or of model or recipe: one run for each combination; may be repeated.",
    ),
    click.option(
        "--equal",
        type=click.Choice(["settings"]),
        metavar="settings",
        help="With --grid: where the recipes differ, all runs have the settings of the first.",
    ),
    click.option("--init-from", metavar="MODEL", help="Start from the weights of another model."),
    click.option("--init-encoder-from", metavar="MODEL", help="With seq2seq: start the encoder from a language model."),
    click.option("--init-decoder-from", metavar="MODEL", help="With seq2seq: start the decoder from a language model."),
    click.option("--init-from-reversed", metavar="MODEL", help="Of a task's backward layers: a language model of --set reversed=true."),
    click.option(
        "--contextual",
        multiple=True,
        metavar="MODEL",
        help="With --task: a language model whose layers are read beside the words, and stay as they are; may be repeated.",
    ),
    click.option(
        "--embeddings", metavar="FILE", help="Word vectors to start from, as text of word2vec or GloVe; svd: counted in the training text."
    ),
)
tokenizer_options = section(
    "Tokenizer",
    click.option("--tokenizer", type=click.Choice(["word", "char", "byte", "sentencepiece"]), help="How text becomes tokens."),
    click.option("--lowercase/--keep-case", default=None, help="Lower-case the text first."),
    click.option("--normalise", metavar="FORMS", help="Make uniform any of quotes,dashes,spaces,entities,nfc, or all. [default: none]"),
    click.option("--split-punctuation/--keep-punctuation", default=None, help="Punctuation marks are words of their own."),
    click.option("--remove-punctuation", is_flag=True, default=None,
                 help="Punctuation becomes a space; apostrophes inside words stay, and become straight."),
    click.option("--min-count", type=int, metavar="N", help="Rarer words, or characters, become <unk>."),
    click.option("--max-vocab", type=int, metavar="N", help="Largest vocabulary of words or characters, </s> and <unk> included."),
    click.option("--literal-unk", type=click.Choice(["symbol", "spell"]), help="What <unk> in the text is."),
    click.option("--tokenizer-from", metavar="MODEL", help="Share the tokenizer of another model."),
)  # fmt: skip
ngram_options = section(
    "N-grams",
    click.option("--order", type=int, metavar="N", help="Longest n-gram.  [default: 5]"),
    click.option("--smoothing", metavar="NAME", help="mkn, kn, katz, witten-bell, absolute, additive, jelinek-mercer, stupid, mle."),
    click.option("--prune", metavar="0,0,1", help="N-grams seen at most so often are left out, by order; the last repeats."),
    click.option("--discounts", type=click.Choice(["exact", "lmplz"]), help="Of mkn: the paper's, or exactly lmplz's."),
    click.option("--memory", metavar="SIZE", help="Most memory counting may take: 500M, 2G."),
)  # fmt: skip
run_options = section(
    "Run",
    click.option("--budget", metavar="BUDGET", help="How long: 3m, 20epochs, 5000steps."),
    click.option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps."),
    click.option("--seed", type=int, metavar="N", help="Of weights and dropout."),
    click.option("--dry-run", is_flag=True, help="Show every setting with its origin, sizes and tokens; train nothing."),
    click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), help="Of the products in training."),
    click.option("--threads", type=int, metavar="N", help="CPU threads, of each process."),
    click.option("--processes", type=click.IntRange(1, 1024), metavar="N",
                 help="Processes on this machine that share the work, each with batch_rows streams and its share of GPUs or CPU threads."),
)  # fmt: skip
saving_options = section(
    "Saving",
    click.option("-o", "--output", type=PATH, metavar="DIR", help="Model folder.  [default: checkpoints/NAME]"),
    click.option("--overwrite", is_flag=True, help="Replace the model in DIR."),
    click.option("--resume", type=click.Choice(["yes", "auto"]), metavar="[auto]",
                 help="Go on with the run in DIR; its budget counts from its start. auto: if there is one, else start."),
    click.option("--save-every", metavar="INTERVAL", help="How often what --resume needs is stored: 5m, 200steps.  [default: 5m]"),
)  # fmt: skip
