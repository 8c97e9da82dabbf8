#include "config/file.hpp"

#include "config/values.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>

namespace weir::config {

std::string read_file(std::string const& path, std::size_t most) {
    std::ifstream file(path, std::ios::binary);
    if (!file)
        throw value_error("cannot be opened: " + std::string(std::strerror(errno)));
    std::string text;
    char block[65536];
    while (file.read(block, sizeof block) || file.gcount() > 0) {
        text.append(block, static_cast<std::size_t>(file.gcount()));
        if (text.size() > most)
            throw value_error("larger than " + std::to_string(most >> 20) + " MiB");
    }
    if (file.bad() || !file.eof())
        throw value_error("cannot be read: " + std::string(std::strerror(errno)));
    return text;
}

} // namespace weir::config
