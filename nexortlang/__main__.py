"""`python -m nexortlang` is `nexort`."""

from nexortlang.cli import main

raise SystemExit(main())
