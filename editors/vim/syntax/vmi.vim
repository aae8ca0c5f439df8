" VMI-PL. Generated from the language's catalogue; a test keeps it fresh.
if exists("b:current_syntax")
  finish
endif
syn case match
syn keyword vmiKeyword break const continue else fn for if in let return when enum offsetof
syn keyword vmiKeyword sizeof struct union
syn keyword vmiStructure Configuration Symptom
syn keyword vmiProbe CRWrite IDTRWrite GDTRWrite IDTWrite GDTWrite MSRWrite OnResume ReadAt
syn keyword vmiProbe WriteAt ExecuteAt OnExternalRequest Syscall AccessAt Return SyscallReturn
syn keyword vmiProbe ProcessStart ProcessExec ProcessExit ModuleLoad ModuleUnload Interrupt
syn keyword vmiProbe Exception PortRead PortWrite Sample Every Start Stop CaptureNetwork CaptureKeyboardInput
syn keyword vmiProbe CaptureConsole CaptureDisk CaptureScreen
syn keyword vmiAction RegisterHasValue ValueAtAddressIs ReadRegister ReadMemory ReadMemoryAt
syn keyword vmiAction ProcessList ReadVMCS Print Report Pause Resume WriteRegister WriteMemory
syn keyword vmiAction Snapshot DumpProcess Screenshot Isolate Reconnect Throttle Kill
syn match vmiFunction "\<\(abs\|avg\|basename\|bytes\|clear\|contains\|count\|delete\|ends_with\|hex\|histogram\|len\|linear\|listed\|lower\|matches\|max\|min\|missing\|per_cpu\|print\|s16\|s32\|s64\|s8\|starts_with\|stats\|string\|sum\|symbol\|u16\|u32\|u64\|u8\)\ze\s*("
syn keyword vmiValue arg0 arg1 arg2 arg3 arg4 arg5 cpu event kstack now phys process reg ret
syn keyword vmiValue syscall thread ustack
syn keyword vmiRegister CR0 CR2 CR3 CR4 CR8 CS DS EAX EBP EBX ECX EDI EDX EFER EFLAGS EIP ES
syn keyword vmiRegister ESI ESP FS FS_BASE GDTR GS GS_BASE IDTR KERNEL_GS_BASE LDTR R10 R11
syn keyword vmiRegister R12 R13 R14 R15 R8 R9 RAX RBP RBX RCX RDI RDX RFLAGS RIP RSI RSP SS
syn keyword vmiRegister TR
syn match vmiKey "\<\(ProcessListHead\|TasksOffset\|PIDOffset\|ProcessNameOffset\|MMStructOffset\|ExeFileOffset\|DEntryOffset\|ParentOffset\|DNameOffset\|PGDOffset\|SyscallDispatcherAddress\|SyscallInterruptNumber\|SyscallNumberLocation\|PollPeriod\|RateLimit\|severity\|technique\|text\)\ze\s*:"
syn keyword vmiConstant true false info low medium high critical PID NAME PATH PGDP VIRTUAL_PROCESSOR_ID
syn keyword vmiConstant VM_EXIT_REASON VM_EXIT_INTR_INFO VM_EXIT_INTR_ERROR_CODE IDT_VECTORING_INFO_FIELD
syn keyword vmiConstant IDT_VECTORING_ERROR_CODE EXIT_QUALIFICATION
syn match vmiMap "@\w*"
syn match vmiChannel "#\w[A-Za-z0-9_-]*"
syn match vmiNumber "\<\d[0-9_]*\(ns\|us\|ms\|s\|min\|m\|h\|d\)\?\>"
syn match vmiNumber "\<0[xX][0-9A-Fa-f_]\+\>"
syn match vmiNumber "\<0[bB][01_]\+\>\|\<0o[0-7_]\+\>\|'\(\\.\|[^'\\]\)'"
syn match vmiMac "\<\x\x\([:-]\x\x\)\{5}\>"
syn match vmiEscape "\\\(x\x\x\|u{\x\+}\|.\)" contained
syn match vmiFormat "%[-+ #0]*\d*\(\.\d\+\)\?[duxXobpsct%]" contained
syn region vmiString start=+"+ skip=+\\\\\|\\"+ end=+"+ oneline contains=vmiEscape,vmiFormat
syn match vmiComment "\%^#!.*$"
syn match vmiComment "//.*$" contains=vmiTodo,vmiAllow
syn region vmiComment start="/\*" end="\*/" contains=vmiTodo
syn match vmiAllow "vitrine:\s*allow([^)]*)" contained
syn keyword vmiTodo TODO FIXME XXX contained
hi def link vmiKeyword Keyword
hi def link vmiStructure Structure
hi def link vmiProbe Type
hi def link vmiAction Function
hi def link vmiFunction Function
hi def link vmiValue Identifier
hi def link vmiRegister Special
hi def link vmiKey Label
hi def link vmiConstant Constant
hi def link vmiMap Identifier
hi def link vmiChannel PreProc
hi def link vmiNumber Number
hi def link vmiMac Number
hi def link vmiEscape SpecialChar
hi def link vmiFormat SpecialChar
hi def link vmiString String
hi def link vmiComment Comment
hi def link vmiAllow SpecialComment
hi def link vmiTodo Todo
let b:current_syntax = "vmi"
