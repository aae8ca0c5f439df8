// What every actor shares. An actor is a function that puts its process into one known state, says
// that it is settled, and then stays: a test that looks at the guest from outside must find that
// state.
//
// All actors and the guest's init are one static program, hard-linked under /actors/NAME, so that
// each has an executable path of its own and yet the initramfs stays small.
#pragma once

#include <stddef.h>
#include <sys/types.h>

struct actor {
  const char* name;         // also the file name under /actors and the first comm
  int (*run)(void);         // does not return, or returns the exit status
  const char* shows;        // one line: what a test can see here
  const char* const* argv;  // NULL: {name}; may be an empty list
  const char* const* envp;  // NULL: the environment that init gives
  int on_request;           // not started at boot
};

// Defines and registers an actor; further designated initializers may follow the description.
// The section keeps them in link order, which the build sorts by file name.
#define ACTOR(identifier, title, description, ...)                                            \
  static int identifier##_run(void);                                                          \
  static const struct actor identifier##_actor = {                                            \
      .name = title, .run = identifier##_run, .shows = description, __VA_ARGS__};             \
  static const struct actor* const identifier##_entry                                         \
      __attribute__((used, section("actors"), aligned(sizeof(void*)))) = &identifier##_actor; \
  static int identifier##_run(void)

extern const struct actor* const __start_actors[];
extern const struct actor* const __stop_actors[];

// The pipe on which a process says that it is settled; init passes it as this descriptor.
enum { kSettleFd = 3 };

// Each says one word to whoever waits (init, or the parent of start_child) and closes the pipe.
// `settled` returns; the other two end the process. A feature that the kernel has not is a skip.
void settled(const char* format, ...) __attribute__((format(printf, 1, 2)));
void skip(const char* format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void fail(const char* what) __attribute__((noreturn));  // adds errno's name

// Sleeps for ever without timers.
void stay(void) __attribute__((noreturn));

void set_comm(const char* comm);

// Ends the process with `what` unless `result` is >= 0; returns the result.
long must(long result, const char* what);

// Forks a child named `comm` that runs `body(argument)`; returns when the child has settled.
// A child that skips or fails makes its parent skip or fail likewise.
pid_t start_child(const char* comm, void (*body)(void* argument), void* argument);
// The parent's half, for a child made in another way: the read end of its settle pipe.
void await_child(int settle_read_fd);
// For such a child: a new settle pipe. Returns the read end; `adopt_settle_pipe` is the child's
// half.
int open_settle_pipe(int* write_fd);
void adopt_settle_pipe(int write_fd);

// A body that only settles and stays.
void settle_and_stay(void* unused) __attribute__((noreturn));

// Moves an open descriptor to the number `fd`; ends the process when `from` is negative.
int place(int from, int fd, const char* what);

void write_file(const char* path, const char* text);     // must succeed
int try_write_file(const char* path, const char* text);  // 0 or -1
