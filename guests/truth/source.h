// Reading the guest's own files into the JSON, one open file at a time, uninterpreted.
#pragma once

#include <stddef.h>

#include "json.h"

// The whole file in a buffer that the next call reuses; NULL with errno set when it cannot be read.
const char* slurp(const char* path, size_t* size);

// Each puts `key`: the content, the link's target, or null; a failure other than ENOENT is told
// beside it as `key!` with errno's name.
void put_file(struct json* out, const char* key, const char* path);
void put_hex_file(struct json* out, const char* key, const char* path);
void put_link(struct json* out, const char* key, const char* path);
void put_error(struct json* out, const char* key);  // null, and errno

// Calls `visit` with each name in the folder but "." and "..", in the order of the listing; the
// folder is closed by then. `only_numbers` skips the rest.
void each_name(const char* folder, int only_numbers,
               void (*visit)(const char* name, void* argument), void* argument);
