autocmd BufNewFile,BufRead *.vmi setfiletype vmi
