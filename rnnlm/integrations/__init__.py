"""The interfaces that other tools expect: kenlm, pyctcdecode, lm-evaluation-harness."""
