" VMI-PL: comments, indentation, and `vitrine` as the checker (:make) and the formatter (gq).
if exists("b:did_ftplugin")
  finish
endif
let b:did_ftplugin = 1
setlocal commentstring=//\ %s comments=s1:/*,mb:*,ex:*/,://
setlocal expandtab shiftwidth=4 softtabstop=4 cindent cinoptions=(1s
setlocal makeprg=vitrine\ check\ % errorformat=%f:%l:%c:\ %trror\ %m,%f:%l:%c:\ %tarning\ %m,%-G%.%#
setlocal formatprg=vitrine\ fmt
let b:undo_ftplugin = "setlocal commentstring< comments< expandtab< shiftwidth< softtabstop< cindent< cinoptions< makeprg< errorformat< formatprg<"
