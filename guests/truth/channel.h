// How answers leave the guest.
//
// A request is one line on the serial port: "ID port|serial COMMAND [ARGUMENTS]". ID is any word
// without spaces whose part after the last dot is the number of bytes that follow "ID ": a line
// that arrived in part, because its host was killed, is ignored. The answer goes to the virtio port
// (fast) or back on the serial port, in frames: "VITRINE ID LENGTH\n" and that many bytes, any
// number of times, then "VITRINE ID end STATUS\n". By ID a host skips what another one left unread.
#pragma once

#include <stddef.h>

struct channel {
  int fd;
  int request_fd;  // readable: another host asks, so the one of this answer has gone (QEMU serves
                   // one at a time)
  char id[48];
  int broken;  // the host has gone: the rest of the answer is dropped
};

// The virtio port named vitrine.bulk, or -1.
int open_port(void);

void send_bytes(struct channel* to, const char* bytes, size_t size);
void send_end(struct channel* to, int status);
