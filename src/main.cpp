#include "cli/version.hpp"

#include <cstdio>

int main() { std::puts(weir::cli::version_text().c_str()); }
