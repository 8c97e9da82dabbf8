#include "proxy/once_gate.hpp"

#include "proxy/exchange.hpp"
#include "proxy/services.hpp"

#include <weir/detail/sha256.hpp>
#include <weir/http/detail/bytes.hpp>

#include <algorithm>

namespace weir::proxy {
namespace {

constexpr std::string_view key_field = "idempotency-key";
constexpr std::size_t longest_key = 255;

/// For how long who executes a request may be silent; it is renewed three times as often.
constexpr std::chrono::seconds silence{30};

/// What stands for an answer that is not kept. No copy is like it.
constexpr std::string_view not_kept = "-";

/// Answers that say: not now. What they refuse was not executed, and may be sent again.
constexpr bool is_worth_keeping(unsigned status) noexcept {
    return status != 408 && status != 425 && status != 429 && status != 502 && status != 503 && status != 504;
}

/// The text in quotes (RFC 8941 3.3.3), or all of it where there are none, as many clients send it; empty where it is
/// neither.
std::string_view unquoted(std::string_view value) noexcept {
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
        value = value.substr(1, value.size() - 2);
        if (value.find('\\') != value.npos)
            return {};
    }
    bool const plain = std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c < 127 && c != '"'; });
    return plain && value.size() <= longest_key ? value : std::string_view{};
}

/// What makes it this request and no other.
std::string print_of(exchange const& x, std::string_view body) {
    std::string text(x.request.method);
    text.append(" ").append(x.target.path);
    if (x.target.has_query)
        text.append("?").append(x.target.query);
    text.append("\n").append(x.request.find(boost::beast::http::field::content_type)).append("\n").append(body);
    auto const digest = detail::sha256(text);
    return {reinterpret_cast<char const*>(digest.data()), digest.size()};
}

} // namespace

std::string_view to_string(once_hold::outcome what) noexcept {
    using outcome = once_hold::outcome;
    switch (what) {
    case outcome::executing:
        return "executing";
    case outcome::kept:
        return "kept";
    case outcome::not_kept:
        return "not_kept";
    case outcome::replayed:
        return "replayed";
    case outcome::unrecorded:
        return "unrecorded";
    case outcome::ended:
        break;
    }
    return "ended";
}

void once_hold::on_deadline() { gate_.renew(*this); }

once_gate::once_gate(config::config const& config, redis::client& redis, deadline_wheel& wheel, std::size_t& finishing)
    : config_(config)
    , records_(redis, config.redis.key_prefix)
    , wheel_(wheel)
    , finishing_(finishing) {}

bool once_gate::read_key(exchange& x, std::string_view& key) {
    bool twice = false;
    auto const* const field = x.request.find_only(key_field, twice);
    if (field != nullptr)
        key = unquoted(field->value);
    if (!twice && (field == nullptr || !key.empty()))
        return true;
    x.status = 400;
    x.detail = twice ? "Idempotency-Key stands twice"
                     : "Idempotency-Key must be a text in quotes, of 1 to 255 printable ASCII characters without \" "
                       "and \\";
    return false;
}

awaitable<once_gate::verdict> once_gate::begin(exchange& x, std::string_view key, std::string_view body,
                                               std::string& replay) {
    auto const& how = *config_.routes[x.route].idempotency;
    // No user has a line feed in his name that could make him another with another key.
    auto name = std::string(x.user) + '\n' + std::string(key);
    x.once = std::make_unique<once_hold>(*this, how, std::move(name), print_of(x, body));
    auto& once = *x.once;
    auto [ec, found] = co_await records_.async_begin(once.key_, once.print_, silence, use_result);
    if (!ec)
        co_return explain(x, found, replay);
    if (how.pass_without_redis) {
        once.now_ = once_hold::outcome::unrecorded;
        co_return verdict::execute;
    }
    once.now_ = once_hold::outcome::ended;
    x.status = 503;
    x.detail = "whether this request was executed before cannot be told at the moment: " + ec.message();
    co_return verdict::refused;
}

once_gate::verdict once_gate::explain(exchange& x, lock::idempotency_record const& found, std::string& replay) {
    using state = lock::idempotency_record::state;
    auto& once = *x.once;
    if (found.now == state::begun) {
        once.record_ = found;
        wheel_.expires_after(once, silence / 3);
        return verdict::execute;
    }
    once.now_ = once_hold::outcome::ended;
    x.status = 409;
    if (found.now == state::answered && found.answer != not_kept) {
        once.now_ = once_hold::outcome::replayed;
        replay = found.answer;
        return verdict::replay;
    }
    if (found.now == state::answered) {
        x.detail = "the request with this Idempotency-Key was executed; its answer was not kept, for its length or "
                   "because it was a stream";
    } else if (found.now == state::in_flight) {
        x.detail = "the request with this Idempotency-Key is being executed";
        x.limit_fields.append("Retry-After: 1\r\n");
    } else {
        x.status = 422;
        x.detail = "this Idempotency-Key was used for another request";
    }
    return verdict::refused;
}

awaitable<void> once_gate::complete(exchange& x) {
    auto& once = *x.once;
    if (once.now_ != once_hold::outcome::executing || !is_worth_keeping(once.copy_.status()))
        co_return;
    auto const keep = config_.routes[x.route].idempotency->keep;
    bool const none = once.copy_.too_much();
    once.never();
    auto const text = none ? std::string(not_kept) : once.copy_.text();
    auto const [ec] = co_await records_.async_finish(once.record_, once.key_, text, keep, use_result);
    // What Redis may not have, is in flight until its silence is over: better a 409 than another execution.
    once.now_ = ec ? once_hold::outcome::ended : none ? once_hold::outcome::not_kept : once_hold::outcome::kept;
}

void once_gate::end(exchange& x) {
    auto& once = *x.once;
    once.never();
    if (once.now_ != once_hold::outcome::executing)
        return;
    once.now_ = once_hold::outcome::ended;
    ++finishing_;
    records_.async_abandon(once.record_, once.key_,
                           [&count = finishing_, pin = services_ptr(owner_)](error_code) { --count; });
}

void once_gate::renew(once_hold& of) {
    wheel_.expires_after(of, silence / 3);
    // Whatever becomes of it, the request goes on: what it answers counts only if nobody took over.
    records_.async_renew(of.record_, of.key_, of.print_, silence,
                         [pin = services_ptr(owner_)](error_code, lock::idempotency_record const&) {});
}

} // namespace weir::proxy
