" Vim filetype plugin: the nexort language.
if exists("b:did_ftplugin")
  finish
endif
let b:did_ftplugin = 1

setlocal expandtab shiftwidth=4 softtabstop=4 textwidth=0
setlocal comments=b:##,b:# commentstring=#\ %s
setlocal suffixesadd=.nxt
let b:undo_ftplugin = "setlocal expandtab< shiftwidth< softtabstop< textwidth< comments< commentstring< suffixesadd<"
