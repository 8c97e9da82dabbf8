#include "proxy/admission.hpp"

#include <weir/http/limit_answer.hpp>

#include <charconv>
#include <tuple>

namespace weir::proxy {
namespace {

http::rate_limit_style style_of(config::rate_limit_headers chosen) noexcept {
    switch (chosen) {
    case config::rate_limit_headers::draft11:
        return http::rate_limit_style::draft11;
    case config::rate_limit_headers::legacy:
        return http::rate_limit_style::legacy;
    case config::rate_limit_headers::both:
        return http::rate_limit_style::both;
    case config::rate_limit_headers::none:
        break;
    }
    return http::rate_limit_style::none;
}

std::string_view value_of(exchange const& x, std::string_view name) noexcept {
    auto const* field = x.request.find(name);
    return field ? field->value : std::string_view{};
}

} // namespace

awaitable<bool> admission::decide(exchange& x, http::client_address const& client, bool served) {
    auto const& limits = config_.routes[x.route].limits;
    if (limits.empty())
        co_return true;
    auto const started = boot_clock::now();
    std::size_t n = 0;
    bool leased = false;
    for (auto const index : limits) {
        auto const& limit = config_.limits[index];
        leased = leased || limit.rule.lease.count() > 0;
        x.charges[n] = {&limit.rule, user_of(limit, x, client, x.users[n]), endpoint_of(limit, x), cost_of(limit, x)};
        ++n;
    }
    request_options how;
    x.keep = std::chrono::seconds{1}; // beyond the longest of its leases
    if (served && reserve(x))
        how.request_id = x.reservation;
    how.keep = x.keep;
    auto const asked = std::span{x.charges}.first(n);
    error_code ec;
    // Units are mostly at hand: then nothing need be suspended.
    if (!leased || !how.request_id.empty() || !limiter_.try_check(asked, x.decision))
        std::tie(ec) = co_await limiter_.async_check(asked, how, x.decision, in_place);
    x.admission_time = boot_clock::now() - started;
    counts_.admission.observe(x.admission_time);
    if (ec) { // the configuration promises valid charges, and nobody cancels: refuse rather than let pass unseen
        x.status = 503;
        x.detail = "the limits could not be asked: " + ec.message();
        co_return false;
    }
    count(limits, asked, x.decision);
    if (!x.decision.refused_by_list()) // else nothing was asked of the other limits
        http::append_rate_limit_fields(x.limit_fields, x.decision, style_of(config_.headers));
    if (x.decision.allowed) {
        hold(x);
    } else {
        x.status = http::refusal_status(x.decision);
        x.detail = http::refusal_detail(x.decision);
    }
    co_return x.decision.allowed;
}

key_part admission::user_of(config::limit const& limit, exchange const& x, http::client_address const& client,
                            std::string& composed) const {
    auto const text_of = [&](config::per_part const& part) -> std::string_view {
        if (part.from == config::per_part::type::user)
            return x.user;
        if (part.from == config::per_part::type::header)
            if (auto const value = value_of(x, part.header); !value.empty())
                return value;
        if (part.from == config::per_part::type::attribute)
            for (auto const& [name, value] : x.attributes)
                if (name == part.header)
                    return value;
        return client.key;
    };
    using type = config::per_part::type;
    if (limit.per.size() == 1)
        return limit.per.front().from == type::everyone ? key_part::any() : key_part{text_of(limit.per.front())};
    composed.clear();
    for (auto const& part : limit.per) {
        if (part.from == type::everyone)
            continue;
        // No field value and no verified text holds a line feed, so that no two different lists of parts join to one
        // text.
        if (!composed.empty())
            composed += '\n';
        composed += text_of(part);
    }
    return composed.empty() ? key_part::any() : key_part{composed};
}

key_part admission::endpoint_of(config::limit const& limit, exchange const& x) const noexcept {
    switch (limit.endpoint) {
    case config::endpoint_scope::route:
        return key_part{config_.routes[x.route].name};
    case config::endpoint_scope::path:
        return key_part{x.target.key};
    case config::endpoint_scope::any:
        break;
    }
    return key_part::any();
}

std::uint64_t admission::cost_of(config::limit const& limit, exchange const& x) noexcept {
    if (limit.cost_header.empty())
        return limit.cost;
    auto const text = value_of(x, limit.cost_header);
    std::uint64_t cost = 0;
    auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), cost);
    // A client that says 0, or nothing that is a number, does not ride for free.
    bool const valid = ec == std::errc{} && end == text.data() + text.size() && cost >= 1 && cost <= max_cost;
    return valid ? cost : limit.cost;
}

void admission::count(std::span<std::size_t const> limits, std::span<charge const> charges, decision const& made) {
    for (std::size_t i = 0; i < made.rules.size(); ++i) {
        auto const& one = made.rules[i];
        if (!one.asked && !one.listed)
            continue;
        counts_.rules[limits[i]].decisions[one.outcome].increment();
        hot_.add(charges[i], !one.allowed);
    }
}

} // namespace weir::proxy
