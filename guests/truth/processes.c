// Every process as /proc tells it.

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "snapshot.h"
#include "source.h"

struct place {
  struct json* out;
  const char* pid;
};

static void put_descriptor(const char* name, void* argument) {
  const struct place* place = argument;
  char path[128];
  json_open(place->out, name, '{');
  snprintf(path, sizeof path, "/proc/%s/fd/%s", place->pid, name);
  put_link(place->out, "link", path);
  struct stat info;
  if (stat(path, &info) == 0) {
    json_open(place->out, "stat", '{');
    json_number(place->out, "mode", info.st_mode);
    json_number(place->out, "dev", (long long)info.st_dev);
    json_number(place->out, "ino", (long long)info.st_ino);
    json_number(place->out, "size", info.st_size);
    json_number(place->out, "rdev", (long long)info.st_rdev);
    json_number(place->out, "nlink", (long long)info.st_nlink);
    json_close(place->out, '}');
  } else {
    put_error(place->out, "stat");
  }
  snprintf(path, sizeof path, "/proc/%s/fdinfo/%s", place->pid, name);
  put_file(place->out, "info", path);
  json_close(place->out, '}');
}

static void put_namespace(const char* name, void* argument) {
  const struct place* place = argument;
  char path[128];
  snprintf(path, sizeof path, "/proc/%s/ns/%s", place->pid, name);
  put_link(place->out, name, path);
}

static void put_thread(const char* name, void* argument) {
  static const char* const files[] = {"stat", "status", "comm", "stack"};
  const struct place* place = argument;
  char path[128];
  json_open(place->out, name, '{');
  for (size_t i = 0; i < sizeof files / sizeof *files; ++i) {
    snprintf(path, sizeof path, "/proc/%s/task/%s/%s", place->pid, name, files[i]);
    put_file(place->out, files[i], path);
  }
  json_close(place->out, '}');
}

static void put_folder(const struct place* place, const char* folder, int only_numbers,
                       void (*visit)(const char* name, void* argument)) {
  char path[128];
  snprintf(path, sizeof path, "/proc/%s/%s", place->pid, folder);
  json_open(place->out, folder, '{');
  each_name(path, only_numbers, visit, (void*)place);
  json_close(place->out, '}');
}

static void put_process(const char* pid, void* argument) {
  static const char* const files[] = {
      "stat",           "status",    "comm",      "cmdline",        "environ", "cgroup",
      "limits",         "maps",      "statm",     "wchan",          "syscall", "mountinfo",
      "oom_score_adj",  "loginuid",  "sessionid", "uid_map",        "gid_map", "personality",
      "timens_offsets", "schedstat", "io",        "coredump_filter"};
  static const char* const links[] = {"exe", "cwd", "root"};
  struct place place = {argument, pid};
  char path[128];
  snprintf(path, sizeof path, "/proc/%s", pid);
  if (access(path, F_OK) != 0) return;  // it ended since the listing
  json_open(place.out, pid, '{');
  for (size_t i = 0; i < sizeof files / sizeof *files; ++i) {
    snprintf(path, sizeof path, "/proc/%s/%s", pid, files[i]);
    put_file(place.out, files[i], path);
  }
  for (size_t i = 0; i < sizeof links / sizeof *links; ++i) {
    snprintf(path, sizeof path, "/proc/%s/%s", pid, links[i]);
    put_link(place.out, links[i], path);
  }
  snprintf(path, sizeof path, "/proc/%s/auxv", pid);
  put_hex_file(place.out, "auxv", path);
  put_folder(&place, "ns", 0, put_namespace);
  put_folder(&place, "fd", 1, put_descriptor);
  put_folder(&place, "task", 1, put_thread);
  json_close(place.out, '}');
}

void put_processes(struct json* out) {
  json_open(out, "processes", '{');
  each_name("/proc", 1, put_process, out);
  json_close(out, '}');
}
