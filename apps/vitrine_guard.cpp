#include "fvm/guard/guard_main.h"

int main(int argc, char** argv) { return vitrine::fvm::run_guard(argc, argv); }
