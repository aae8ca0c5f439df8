#pragma once

// The guest's first process: prepares the machine, starts the actors, then the truth printer.
int init_main(void);

// Steps, each in a file of its own. They report on the console and carry on: a kernel that lacks
// a feature still gives a guest.
void load_modules(void);
void make_mounts(void);
void make_interfaces(void);
