#pragma once

#include <weir/http/incoming.hpp>

#include <utility>

namespace weir::http {

WEIR_DECL std::optional<std::string> by_address(incoming const& what) { return what.client.key; }

WEIR_DECL std::optional<std::string> by_path(incoming const& what) { return what.target.key; }

WEIR_DECL std::optional<std::string> together(incoming const&) { return std::nullopt; }

WEIR_DECL key_function by_field(std::string name) {
    return [name = std::move(name)](incoming const& what) -> std::optional<std::string> {
        auto const [first, last] = what.request.equal_range(name);
        if (first == last || std::next(first) != last || first->value().empty())
            return std::nullopt;
        return std::string{first->value()};
    };
}

WEIR_DECL key_function by_field_or_address(std::string name) {
    return [field = by_field(std::move(name))](incoming const& what) {
        auto found = field(what);
        return found ? found : by_address(what);
    };
}

WEIR_DECL std::optional<incoming> incoming_reader::read(boost::beast::http::request_header<> const& request,
                                                        asio::ip::address const& peer, refusal& why) {
    auto const target = request.target();
    if (!canonicalize({target.data(), target.size()}, target_, why))
        return std::nullopt;
    forwarding_.clear();
    for (auto const& each : request) {
        auto const name = each.name_string(), value = each.value();
        forwarding_.push_back({{name.data(), name.size()}, {value.data(), value.size()}, each.name(), false});
    }
    find_client(peer, forwarding_, trusted_, client_);
    return incoming{request, client_, target_};
}

} // namespace weir::http
