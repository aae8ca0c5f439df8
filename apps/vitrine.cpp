#include "cli/main.h"

int main(int argc, char** argv) { return vitrine::cli::run(argc, argv); }
