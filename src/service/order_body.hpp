#pragma once

#include "service/check_body.hpp"

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::service {

/// A body that is one object, and what is wrong with it.
class order_body {
public:
    /// Complains where the text is none. `issues` must outlive the object.
    order_body(std::string_view text, std::vector<body_issue>& issues);

    /// Whether it is an object; if not, that was said.
    explicit operator bool() const noexcept { return body_.is_object(); }
    nlohmann::json const& members() const noexcept { return body_; }

    /// Nothing was complained of.
    bool well() const noexcept { return issues_.empty(); }
    /// `member` empty: the body as a whole.
    void complain(std::string const& member, std::string detail);
    /// Null where it is missing, which is complained of.
    nlohmann::json const* demand(std::string const& member);
    /// Milliseconds, a whole number.
    void read_time(std::string const& member, nlohmann::json const& value, std::chrono::milliseconds& into,
                   std::int64_t least, std::int64_t most);

private:
    nlohmann::json const body_;
    std::vector<body_issue>& issues_;
};

} // namespace weir::service
