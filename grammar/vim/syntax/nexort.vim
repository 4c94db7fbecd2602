" Vim syntax file: the nexort language. Made by tools/highlighting.py from the token table.
if exists("b:current_syntax")
  finish
endif
syn iskeyword @,48-57,_,192-255
syn sync minlines=200

syn match nexort_error /\S/
syn match nexort_operator /%\|\*\|+\|-\|\/\|=\|@\|\^\|\~\|ᵀ\|!=\|\*\*\|\*=\|+=\|-=\|\/\/\|\/=\|<=\|==\|>=\|\~=/
syn match nexort_operator />=\==\@!/
syn match nexort_operator /ᵀ/ nextgroup=nexortLess skipwhite
syn match nexort_operator /\~=\@!/ nextgroup=nexort_law skipwhite
syn match nexort_punctuation /[:,]/
syn match nexort_punctuation /[)\]]/
syn match nexort_punctuation /\./ nextgroup=nexort_property,nexortMethod skipwhite
syn match nexort_constant /\.\.\./ nextgroup=nexortLess skipwhite
syn match nexort_name /\%([0-9₀-₉ᵀ]\@!\k\)\%(ᵀ\@!\k\|[₀-₉′]\)*/ nextgroup=nexortLess skipwhite
syn match nexort_function /\%([0-9₀-₉ᵀ]\@!\k\)\%(ᵀ\@!\k\|[₀-₉′]\)*\ze\s*(/
syn match nexort_constant /\%(None\|inf\|pi\)\%(ᵀ\@!\k\|[₀-₉′]\)\@!/ nextgroup=nexortLess skipwhite
syn match nexort_builtin /\%(concatenate\|leaky_relu\|transpose\|softplus\|reshape\|sigmoid\|softmax\|arange\|argmax\|randn\|range\|where\|zeros\|clip\|dist\|gelu\|grad\|load\|mean\|ones\|relu\|sign\|silu\|sqrt\|step\|stop\|tanh\|abs\|avg\|cos\|cov\|erf\|exp\|eye\|len\|log\|max\|min\|ntk\|sin\|sum\|tan\)\%(ᵀ\@!\k\|[₀-₉′]\)\@!/ nextgroup=nexortLess skipwhite
syn match nexort_argument /\%([0-9₀-₉ᵀ]\@!\k\)\%(ᵀ\@!\k\|[₀-₉′]\)*\ze\s*==\@!/ contained
syn match nexort_law /\%(rademacher\|bernoulli\|laplace\|uniform\|normal\)\%(ᵀ\@!\k\|[₀-₉′]\)\@!/ contained
syn match nexort_property /\%([0-9₀-₉ᵀ]\@!\k\)\%(ᵀ\@!\k\|[₀-₉′]\)*/ contained nextgroup=nexortLess skipwhite
syn match nexortMethod /\%([0-9₀-₉ᵀ]\@!\k\)\%(ᵀ\@!\k\|[₀-₉′]\)*\ze\s*(/ contained
syn match nexortDefined /\%([0-9₀-₉ᵀ]\@!\k\)\%(ᵀ\@!\k\|[₀-₉′]\)*/ contained
syn match nexort_keyword /\%(assert\|import\|return\|within\|elif\|else\|from\|show\|for\|as\|if\|in\)\%(ᵀ\@!\k\|[₀-₉′]\)\@!/
syn match nexort_logic /\%(and\|not\|or\)\%(ᵀ\@!\k\|[₀-₉′]\)\@!/
syn match nexort_declaration /\%(optimizer\|const\|state\|width\|def\)\%(ᵀ\@!\k\|[₀-₉′]\)\@!/
syn match nexort_declaration /\%(def\|optimizer\)\%(ᵀ\@!\k\|[₀-₉′]\)\@!/ nextgroup=nexortDefined skipwhite
syn match nexort_number /\%(\%([0-9]\+\%(\.[0-9]*\)\=\|\.[0-9]\+\)\%([eE][+-]\=[0-9]\+\)\=\)\@>/ nextgroup=nexortLess skipwhite
syn match nexort_error /\%(\%([0-9]\+\%(\.[0-9]*\)\=\|\.[0-9]\+\)\%([eE][+-]\=[0-9]\+\)\=\)\@>\%(\k\|\.\%(\k\|\.\)\@=\)\+/
syn match nexort_error /["'].*/
syn match nexort_string /"[^"]*"\|'[^']*'/ nextgroup=nexortLess skipwhite
syn match nexort_braket /|/
syn match nexortTurn /[>⟩]\s*[<⟨]/ contained
syn match nexortLess /<=\=/ contained
syn region nexortBrackets matchgroup=nexort_punctuation start=/[(\[]/ end=/[)\]]/ end=/\%(^\s*\)\@<=\%(optimizer\|assert\|import\|return\|const\|state\|width\|elif\|else\|from\|show\|def\|for\|if\)\%(ᵀ\@!\k\|[₀-₉′]\)\@!/me=s-1 nextgroup=nexortLess skipwhite contains=@nexortWords,@nexortInBrackets
syn region nexortBraOnLine matchgroup=nexort_braket start=/[<⟨]=\@!/ end=/[>⟩]/ end=/[)\]]/me=s-1 end=/$/ nextgroup=nexortLess skipwhite contains=@nexortWords,@nexortOnLine
syn region nexortOuterOnLine matchgroup=nexort_braket start=/\%(\%(^\|[-+*/%@=~,:<(\[⟨|]\|\%(optimizer\|assert\|import\|return\|within\|const\|state\|width\|elif\|else\|from\|show\|and\|def\|for\|not\|as\|if\|in\|or\)\)\s*\)\@<=|/ end=/|/ end=/[)\]]/me=s-1 end=/$/ nextgroup=nexortLess skipwhite contains=@nexortWords,@nexortOnLine,nexortTurn
syn region nexortBraInBrackets contained matchgroup=nexort_braket start=/[<⟨]=\@!/ end=/[>⟩]/ end=/[)\]]/me=s-1 end=/\%(^\s*\)\@<=\%(optimizer\|assert\|import\|return\|const\|state\|width\|elif\|else\|from\|show\|def\|for\|if\)\%(ᵀ\@!\k\|[₀-₉′]\)\@!/me=s-1 nextgroup=nexortLess skipwhite contains=@nexortWords,@nexortInBrackets
syn region nexortOuterInBrackets contained matchgroup=nexort_braket start=/\%(\%(^\|[-+*/%@=~,:<(\[⟨|]\|\%(optimizer\|assert\|import\|return\|within\|const\|state\|width\|elif\|else\|from\|show\|and\|def\|for\|not\|as\|if\|in\|or\)\)\s*\)\@<=|/ end=/|/ end=/[)\]]/me=s-1 end=/\%(^\s*\)\@<=\%(optimizer\|assert\|import\|return\|const\|state\|width\|elif\|else\|from\|show\|def\|for\|if\)\%(ᵀ\@!\k\|[₀-₉′]\)\@!/me=s-1 nextgroup=nexortLess skipwhite contains=@nexortWords,@nexortInBrackets,nexortTurn
syn cluster nexortOnLine contains=nexortBraOnLine,nexortOuterOnLine
syn cluster nexortInBrackets contains=nexortBraInBrackets,nexortOuterInBrackets,nexort_argument
syn cluster nexortWords contains=nexortBrackets,nexort_comment,nexort_doc,nexort_keyword,nexort_declaration,nexort_logic,nexort_function,nexort_builtin,nexort_constant,nexort_name,nexort_number,nexort_string,nexort_operator,nexort_braket,nexort_punctuation,nexort_error
syn match nexort_comment /#.*/
syn match nexort_doc /##.*/

hi def link nexort_comment Comment
hi def link nexort_doc SpecialComment
hi def link nexort_keyword Statement
hi def link nexort_declaration Type
hi def link nexort_logic Keyword
hi def link nexort_function Function
hi def link nexort_builtin Function
hi def link nexort_law Special
hi def link nexort_constant Constant
hi def link nexort_property Identifier
hi def link nexort_argument Identifier
hi def link nexort_number Number
hi def link nexort_string String
hi def link nexort_operator Operator
hi def link nexort_braket Delimiter
hi def link nexort_error Error
hi def link nexortMethod nexort_function
hi def link nexortDefined nexort_function
hi def link nexortTurn nexort_braket
hi def link nexortLess nexort_operator

let b:current_syntax = "nexort"
