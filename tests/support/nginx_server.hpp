#pragma once

#include "support/program.hpp"
#include "support/redis_server.hpp"

#include <cstdint>
#include <string>

namespace weir::test {

/// A real nginx in a directory of its own, which it logs nothing in; ended with the object.
class nginx_server {
public:
    /// `http` stands inside the block of that name. Returns when nginx listens.
    explicit nginx_server(std::string const& http);

private:
    temporary_directory directory_;
    program running_;
};

} // namespace weir::test
