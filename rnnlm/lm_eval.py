"""`python -m rnnlm.lm_eval`: the lm-evaluation-harness with the model type `rnnlm`."""

from rnnlm.integrations.lm_eval import HarnessModel, main

__all__ = ["HarnessModel", "main"]

if __name__ == "__main__":
    main()
