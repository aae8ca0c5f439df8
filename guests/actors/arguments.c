// Command lines: the memory between mm->arg_start and arg_end, whatever it holds.

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "actor.h"

static const char* const spaces[] = {"args-spaces", "two words", " leading", "trailing ",
                                     "tab\there",   "new\nline", "quote\"d", "back\\slash",
                                     "semi;colon",  NULL};
ACTOR(spaces, "args-spaces", "arguments with spaces, tab, newline, quotes", .argv = spaces) {
  settle_and_stay(NULL);
}

static const char* const utf8[] = {"args-utf8",
                                   "\xc3\xbcml\xc3\xa4ut",
                                   "\xe6\x97\xa5\xe6\x9c\xac",
                                   "\xf0\x9f\x94\x8d",
                                   "latin\xe9",
                                   "\xff\xfe\x80",
                                   "\x1b[31mred",
                                   NULL};
ACTOR(utf8, "args-utf8", "arguments in UTF-8, Latin-1, invalid UTF-8, a terminal escape",
      .argv = utf8) {
  settle_and_stay(NULL);
}

static const char* const empty[] = {"args-empty", "", "after-empty", "", "", NULL};
ACTOR(empty, "args-empty", "empty arguments in the middle and at the end", .argv = empty) {
  settle_and_stay(NULL);
}

static const char* const none[] = {NULL};
ACTOR(none, "args-none", "an empty argument list (Linux from 5.18 on makes it one empty string)",
      .argv = none) {
  settle_and_stay(NULL);
}

static const char* const renamed[] = {"/usr/sbin/something-else", "--daemon", NULL};
ACTOR(renamed, "args-argv0", "argv[0] that is not the executable", .argv = renamed) {
  settle_and_stay(NULL);
}

ACTOR(huge, "args-long-exec", "the process that args-long becomes", .on_request = 1) {
  settle_and_stay(NULL);
}

ACTOR(longer, "args-long", "1,000 arguments, 60 KB: more than one page") {
  static char words[1000][64];
  static char* argv[1002] = {"args-long"};
  for (int i = 0; i < 1000; ++i) {
    memset(words[i], 'a' + i % 26, 59);
    words[i][0] = (char)('0' + i % 10);
    argv[i + 1] = words[i];
  }
  execv("/actors/args-long-exec", argv);
  fail("execv");
}

// What setproctitle() of daemons does: the title overwrites the arguments and runs into the
// environment.
extern char** environ;
static const char* const title[] = {"args-rewritten", "original", "arguments", NULL};
static char** title_argv;
__attribute__((constructor)) static void keep_argv(int argc, char** argv) {
  (void)argc;
  title_argv = argv;
}
ACTOR(title, "args-rewritten", "a title written over arguments and environment, as daemons do",
      .argv = title) {
  char* start = title_argv[0];
  char* last = environ[0];
  for (char** entry = environ; *entry; ++entry) last = *entry;
  size_t room = (size_t)(last + strlen(last) - start);
  memset(start, 0, room);
  strcpy(start, "args-rewritten: master process of the house with a long title");
  settle_and_stay(NULL);
}

static const char* const one_value[] = {"EMPTY=",
                                        "SPACES= a b ",
                                        "NEWLINE=a\nb",
                                        "UTF8=\xe2\x82\xac",
                                        "LATIN=\xe9\xff",
                                        "NOEQUALSSIGN",
                                        "=NONAME",
                                        "TWICE=1",
                                        "TWICE=2",
                                        "LAST=x=y=z",
                                        NULL};
ACTOR(environment, "env-odd", "an environment with empty, repeated, nameless and binary entries",
      .envp = one_value) {
  settle_and_stay(NULL);
}

static const char* const nothing[] = {NULL};
ACTOR(no_environment, "env-none", "no environment at all", .envp = nothing) {
  settle_and_stay(NULL);
}

ACTOR(large_environment, "env-large-exec", "the process that env-large becomes", .on_request = 1) {
  settle_and_stay(NULL);
}
ACTOR(env_large, "env-large", "an environment of 100 KB") {
  static char value[100 * 1024];
  memcpy(value, "LARGE=", 6);
  memset(value + 6, 'v', sizeof value - 7);
  char* argv[] = {"env-large", NULL};
  char* envp[] = {"FIRST=1", value, "LAST=1", NULL};
  execve("/actors/env-large-exec", argv, envp);
  fail("execve");
}

// PR_SET_MM moves the boundaries away from the stack, as checkpoint/restore does.
ACTOR(moved, "args-moved", "arg_start and arg_end moved away from the stack by PR_SET_MM") {
  static const char text[] = "args-moved\0from anonymous memory";
  char* memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  memcpy(memory, text, sizeof text);
  // The start first: the memory lies below the stack, and the kernel refuses an end before its
  // start.
  if (prctl(PR_SET_MM, PR_SET_MM_ARG_START, memory, 0, 0) < 0) skip("no PR_SET_MM");
  must(prctl(PR_SET_MM, PR_SET_MM_ARG_END, memory + sizeof text, 0, 0), "PR_SET_MM_ARG_END");
  settle_and_stay(NULL);
}
