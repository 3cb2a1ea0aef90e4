"""What all language models share: vocabularies, the choice of the next token, and the verbs of a causal model."""
