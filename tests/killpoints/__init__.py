"""Kill at every step: each write, command, question, answer and message may be the last."""
