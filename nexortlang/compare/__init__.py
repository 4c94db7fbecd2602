"""Limit against finite width: what the master theorem says they have in common, judged with the errors of both."""
