// The parts of a snapshot; each writes its keys into the open object.
#pragma once

#include "json.h"

void put_processes(struct json* out);
void put_networks(struct json* out);
void put_kernel(struct json* out);
void put_clocks(struct json* out, const char* key);
