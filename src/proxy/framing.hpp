#pragma once

#include "proxy/head_writer.hpp"
#include "proxy/io.hpp"

#include <array>
#include <charconv>
#include <string_view>

namespace weir::proxy {

/// Adds one piece of a body to `out` in its outgoing framing. `chunk_line` must live until `out` is written.
inline void add_framed(gather_list& out, outgoing_body body, std::string_view data, bool last,
                       std::array<char, 24>& chunk_line) {
    if (body.framing != http::body_framing::chunked)
        return out.add(data);
    if (!data.empty()) {
        char* end = std::to_chars(chunk_line.data(), chunk_line.data() + 16, data.size(), 16).ptr;
        *end++ = '\r';
        *end++ = '\n';
        out.add({chunk_line.data(), static_cast<std::size_t>(end - chunk_line.data())});
        out.add(data);
        out.add(last ? "\r\n0\r\n\r\n" : "\r\n");
    } else if (last) {
        out.add("0\r\n\r\n");
    }
}

} // namespace weir::proxy
