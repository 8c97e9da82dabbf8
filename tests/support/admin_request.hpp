#pragma once

#include <string>
#include <string_view>

namespace weir::test {

inline constexpr std::string_view admin_token = "0123456789abcdef";

/// A request to the admin API with that token.
inline std::string admin_request(std::string_view target, std::string_view method = "GET", std::string_view body = {},
                                 std::string_view token = admin_token) {
    std::string text(method);
    text.append(" ").append(target).append(" HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ").append(token);
    text.append("\r\nContent-Length: ").append(std::to_string(body.size())).append("\r\n\r\n").append(body);
    return text;
}

} // namespace weir::test
