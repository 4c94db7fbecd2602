" Vim indent file: the nexort language, indented as `nexort fmt` does.
if exists("b:did_indent")
  finish
endif
let b:did_indent = 1

setlocal indentexpr=NexortIndent(v:lnum)
setlocal indentkeys=o,O,0),0],=elif,=else:,!^F
setlocal nolisp noautoindent
let b:undo_indent = "setlocal indentexpr< indentkeys< lisp< autoindent<"

if exists("*NexortIndent")
  finish
endif

" A line without its comment, its strings blotted out.
function s:Code(lnum) abort
  let text = substitute(getline(a:lnum), '"[^"]*"\|''[^'']*''\|#.*', '\=submatch(0)[0] ==# "#" ? "" : repeat("x", strlen(submatch(0)))', 'g')
  return substitute(text, '\s*$', '', '')
endfunction

" The innermost bracket that is open where a line begins: [line, column], [0, 0] for none. No statement begins before the last line above that is not indented.
function s:Open(lnum) abort
  let lnum = a:lnum - 1
  while lnum > 1 && getline(lnum) !~# '^\k'
    let lnum -= 1
  endwhile
  let open = [[0, 0]]
  for line in range(max([1, lnum]), a:lnum - 1)
    let code = s:Code(line)
    let column = match(code, '[][()]')
    while column >= 0
      if code[column] =~# '[[(]'
        call add(open, [line, column + 1])
      elseif len(open) > 1
        call remove(open, -1)
      endif
      let column = match(code, '[][()]', column + 1)
    endwhile
  endfor
  return open[-1]
endfunction

" The line that begins the statement of a line.
function s:Beginning(lnum) abort
  let lnum = a:lnum
  while lnum > 0
    let open = s:Open(lnum)[0]
    if open == 0
      return lnum
    endif
    let lnum = open
  endwhile
  return 1
endfunction

function NexortIndent(lnum) abort
  let [line, column] = s:Open(a:lnum)
  if line > 0
    let closes = getline(a:lnum) =~# '^\s*[)\]]'
    if strpart(s:Code(line), column) =~# '^\s*$'
      return indent(line) + (closes ? 0 : shiftwidth())
    endif
    return virtcol([line, column]) - (closes ? 1 : 0)
  endif
  let before = prevnonblank(a:lnum - 1)
  while before > 0 && s:Code(before) =~# '^\s*$'
    let before = prevnonblank(before - 1)
  endwhile
  if before == 0
    return 0
  endif
  let begin = s:Beginning(before)
  if s:Code(before) =~# ':\s*$'
    return indent(begin) + shiftwidth()
  endif
  let deep = indent(begin) - (s:Code(begin) =~# '^\s*return\>' ? shiftwidth() : 0)
  if getline(a:lnum) =~# '^\s*\%(elif\|else\)\>'
    return s:ClauseIndent(begin)
  endif
  " Only the author knows whether a line that stands less deep has left the block.
  return getline(a:lnum) =~# '\S' && indent(a:lnum) < deep ? -1 : deep
endfunction

" elif and else stand below the nearest if or elif above that is less deep than what stands between.
function s:ClauseIndent(begin) abort
  let lnum = a:begin
  let least = indent(a:begin) + 1
  while lnum > 0
    if s:Code(lnum) =~# '\S' && indent(lnum) < least
      if s:Code(lnum) =~# '^\s*\%(if\|elif\)\>'
        return indent(lnum)
      endif
      let least = indent(lnum)
    endif
    let lnum -= 1
  endwhile
  return indent(a:begin)
endfunction
