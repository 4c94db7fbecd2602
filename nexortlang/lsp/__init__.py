"""`nexort lsp`: the Language Server Protocol around `nexortlang.editor`. The only package that imports pygls and lsprotocol (extra `lsp`)."""
