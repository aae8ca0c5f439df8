// task_struct.comm: up to 15 bytes of anything.

#include "actor.h"

ACTOR(comms, "comms",
      "children whose comm has spaces, brackets, newline, bytes that are not UTF-8") {
  static const char* const names[] = {
      "a) R 1 (b",
      " leading",
      "trailing ",
      "new\nline",
      "tab\tbed",
      "\xff\xfe\xe9 latin",
      "",
      "(",
      "fifteen-chars",
      "kworker/0:7",
      "back\\sl",
      "exactly-fifteen",
      "cut-after-fifteen-bytes",
      "\xc3\xa9t\xc3\xa9",
      "\x1b[2Jclear",
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
    start_child(names[i], settle_and_stay, NULL);
  settle_and_stay(NULL);
}
