#include "fvm/supervisor/supervisor_main.h"

int main(int argc, char** argv) { return vitrine::fvm::run_supervisor(argc, argv); }
