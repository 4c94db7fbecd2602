"""nexort: Tensor Programs, run at infinite width.

A `.nxt` program is parsed (`syntax`), elaborated into a small typed core program while it is checked
(`elaborate`, `core`), and its infinite-width limit computed (`kets`). `driver` joins the stages; `cli` and
`repl` are the only places that read arguments, print, or exit.
"""

__version__ = "0.1.0"
