"""A text on disk as token ids, made once by `rnnlm prepare`: its index, its check, and how it is
read without being loaded.

    DIR/index.json                a description of the text, its counts, each file with its length
                                  and SHA-256; written last
    DIR/shard-00000.safetensors   consecutive lines, about as many bytes of text in each
    DIR/vocab.txt, ...            the tokenizer
    DIR/unfinished.json           instead of index.json until all is done: the state that the work
                                  can resume from

Importing this reads nothing; loading runs no code.
"""

import lazy_loader as _lazy_loader

__getattr__, __dir__, __all__ = _lazy_loader.attach_stub(__name__, __file__)
