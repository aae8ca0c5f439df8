// A writer of JSON into one growing buffer. Bytes are written as Latin-1: the byte 0xNN of the
// guest is the character U+00NN, so that every byte survives; the reader encodes with latin-1 to
// have them back.
#pragma once

#include <stddef.h>

struct json {
  char* text;
  size_t used;
  size_t room;
  int comma;  // the next element needs one before it
};

void json_open(struct json* out, const char* key, char bracket);  // '{' or '['; key NULL in arrays
void json_close(struct json* out, char bracket);                  // '}' or ']'
void json_text(struct json* out, const char* key, const char* text);
void json_bytes(struct json* out, const char* key, const char* bytes, size_t size);
void json_number(struct json* out, const char* key, long long value);
void json_hex(struct json* out, const char* key, const unsigned char* bytes, size_t size);
void json_null(struct json* out, const char* key);
