#include "service/order_body.hpp"

#include "config/json_tree.hpp"

namespace weir::service {

using nlohmann::json;

namespace {

constexpr std::size_t most_issues = 16;

} // namespace

order_body::order_body(std::string_view text, std::vector<body_issue>& issues)
    : body_(json::parse(text, nullptr, false))
    , issues_(issues) {
    if (body_.is_discarded())
        complain({}, "not JSON");
    else if (!body_.is_object())
        complain({}, "must be an object");
}

void order_body::complain(std::string const& member, std::string detail) {
    if (issues_.size() < most_issues)
        issues_.push_back({member.empty() ? std::string() : config::pointer_step(member), std::move(detail)});
}

json const* order_body::demand(std::string const& member) {
    auto const found = body_.find(member);
    if (found != body_.end())
        return &*found;
    complain({}, "the member \"" + member + "\" is missing");
    return nullptr;
}

void order_body::read_time(std::string const& member, json const& value, std::chrono::milliseconds& into,
                           std::int64_t least, std::int64_t most) {
    bool const whole = value.is_number_integer() &&
                       (value.is_number_unsigned() ? value.get<std::uint64_t>() <= std::uint64_t(most) : true);
    auto const number = whole ? value.get<std::int64_t>() : -1;
    if (!whole || number < least || number > most)
        return complain(member, "must be a whole number from " + std::to_string(least) + " to " + std::to_string(most));
    into = std::chrono::milliseconds{number};
}

} // namespace weir::service
