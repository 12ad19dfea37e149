"""Text made into a folder of token ids, once, by several processes: what training reads without loading it.

The parent reads the sources and cuts them into pieces of whole lines; workers decode and encode these; the parent puts what comes back in
order into shards of a fixed amount of text, so that the bytes on disk do not depend on how many workers there were.
"""

from rnnlm.preparation.events import Encoding, Prepared, Sampled, Sampling
from rnnlm.preparation.work import prepare

__all__ = ["Encoding", "Prepared", "Sampled", "Sampling", "prepare"]
