"""The formatter: one layout for every program, its meaning untouched."""
