autocmd BufNewFile,BufRead *.nxt setfiletype nexort
