// How answers leave the guest.
//
// A request is one line on the serial port: "ID port|serial COMMAND [ARGUMENTS]". The answer goes
// to the virtio port (fast) or back on the serial port, in frames: "VITRINE ID LENGTH\n" and that
// many bytes, any number of times, then "VITRINE ID end STATUS\n". ID lets a host skip what another
// one left unread.
#pragma once

#include <stddef.h>

struct channel {
  int fd;
  char id[32];
  int broken;  // the host has gone: the rest of the answer is dropped
};

// The virtio port named vitrine.bulk, or -1.
int open_port(void);

void send_bytes(struct channel* to, const char* bytes, size_t size);
void send_end(struct channel* to, int status);
