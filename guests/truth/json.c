#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char* reserve(struct json* out, size_t more) {
  if (out->used + more > out->room) {
    size_t room = (out->room ? out->room * 2 : 1 << 20) + more;
    char* text = realloc(out->text, room);
    if (!text) exit(9);
    out->text = text;
    out->room = room;
  }
  return out->text + out->used;
}

static void quote(struct json* out, const char* bytes, size_t size) {
  static const char digits[] = "0123456789abcdef";
  char *at = reserve(out, size * 6 + 2), *start = at;
  *at++ = '"';
  for (size_t i = 0; i < size; ++i) {
    unsigned char c = (unsigned char)bytes[i];
    if (c == '"' || c == '\\') {
      *at++ = '\\';
      *at++ = (char)c;
    } else if (c == '\n') {
      *at++ = '\\';
      *at++ = 'n';
    } else if (c < 0x20 || c >= 0x7f) {
      memcpy(at, "\\u00", 4);
      at[4] = digits[c >> 4];
      at[5] = digits[c & 15];
      at += 6;
    } else {
      *at++ = (char)c;
    }
  }
  *at++ = '"';
  out->used += (size_t)(at - start);
}

static void put(struct json* out, const char* text) {
  size_t size = strlen(text);
  memcpy(reserve(out, size), text, size);
  out->used += size;
}

static void element(struct json* out, const char* key) {
  if (out->comma) put(out, ",");
  out->comma = 1;
  if (key) {
    quote(out, key, strlen(key));
    put(out, ":");
  }
}

void json_open(struct json* out, const char* key, char bracket) {
  element(out, key);
  put(out, bracket == '{' ? "{" : "[");
  out->comma = 0;
}

void json_close(struct json* out, char bracket) {
  put(out, bracket == '}' ? "}" : "]");
  out->comma = 1;
}

void json_bytes(struct json* out, const char* key, const char* bytes, size_t size) {
  element(out, key);
  quote(out, bytes, size);
}

void json_text(struct json* out, const char* key, const char* text) {
  json_bytes(out, key, text, strlen(text));
}

void json_number(struct json* out, const char* key, long long value) {
  char text[32];
  snprintf(text, sizeof text, "%lld", value);
  element(out, key);
  put(out, text);
}

void json_hex(struct json* out, const char* key, const unsigned char* bytes, size_t size) {
  static const char digits[] = "0123456789abcdef";
  element(out, key);
  char* at = reserve(out, size * 2 + 2);
  *at++ = '"';
  for (size_t i = 0; i < size; ++i) {
    *at++ = digits[bytes[i] >> 4];
    *at++ = digits[bytes[i] & 15];
  }
  *at = '"';
  out->used += size * 2 + 2;
}

void json_null(struct json* out, const char* key) {
  element(out, key);
  put(out, "null");
}
