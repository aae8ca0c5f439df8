#define _GNU_SOURCE
#include "source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char* slurp(const char* path, size_t* size) {
  static char* buffer;
  static size_t room;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return NULL;
  size_t used = 0;
  for (;;) {
    if (room - used < 65536) {
      room = room ? room * 2 : 1 << 20;
      buffer = realloc(buffer, room);
      if (!buffer) exit(9);
    }
    ssize_t got = read(fd, buffer + used, room - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      int saved = errno;
      close(fd);
      errno = saved;
      return NULL;
    }
    if (got == 0) break;
    used += (size_t)got;
  }
  close(fd);
  *size = used;
  return buffer;
}

void put_error(struct json* out, const char* key) {
  int error = errno;
  json_null(out, key);
  if (error == ENOENT) return;
  char name[300];
  snprintf(name, sizeof name, "%s!", key);
  const char* word = strerrorname_np(error);
  json_text(out, name, word ? word : "?");
}

void put_file(struct json* out, const char* key, const char* path) {
  size_t size;
  const char* bytes = slurp(path, &size);
  if (bytes) {
    json_bytes(out, key, bytes, size);
  } else {
    put_error(out, key);
  }
}

void put_hex_file(struct json* out, const char* key, const char* path) {
  size_t size;
  const char* bytes = slurp(path, &size);
  if (bytes) {
    json_hex(out, key, (const unsigned char*)bytes, size);
  } else {
    put_error(out, key);
  }
}

void put_link(struct json* out, const char* key, const char* path) {
  static char target[2 * PATH_MAX];
  ssize_t size = readlink(path, target, sizeof target);
  if (size >= 0) {
    json_bytes(out, key, target, (size_t)size);
  } else {
    put_error(out, key);
  }
}

void each_name(const char* folder, int only_numbers,
               void (*visit)(const char* name, void* argument), void* argument) {
  DIR* listing = opendir(folder);
  if (!listing) return;
  char* names = NULL;
  size_t used = 0, room = 0;
  for (struct dirent* entry; (entry = readdir(listing));) {
    const char* name = entry->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    if (only_numbers && (name[0] < '0' || name[0] > '9')) continue;
    size_t size = strlen(name) + 1;
    if (used + size > room) {
      room = room * 2 + size + 1024;
      names = realloc(names, room);
      if (!names) exit(9);
    }
    memcpy(names + used, name, size);
    used += size;
  }
  closedir(listing);
  for (size_t at = 0; at < used; at += strlen(names + at) + 1) visit(names + at, argument);
  free(names);
}
