#include "proxy/flight_gate.hpp"

#include "proxy/exchange.hpp"

#include <weir/detail/hex.hpp>
#include <weir/detail/sha256.hpp>
#include <weir/http/detail/bytes.hpp>
#include <weir/lock/read_write.hpp>
#include <weir/lock/script.hpp>
#include <weir/redis/client.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>

#include <algorithm>
#include <array>

namespace weir::proxy {
namespace {

using beast_field = boost::beast::http::field;
using http::detail::equals_ignoring_case;

/// How soon another goes in the place of one whose weir died.
constexpr std::chrono::seconds ttl{10};
/// For how long those who wait may read an answer: they are told of it at once.
constexpr std::chrono::seconds kept_for{2};
/// What stands for an answer that is not shared. No copy is like it.
constexpr std::string_view not_shared = "-";

/// By these a request asks for another answer, or another part of it, whatever the route says.
constexpr std::array always_telling{
    beast_field::range,    beast_field::if_match,          beast_field::if_none_match,
    beast_field::if_range, beast_field::if_modified_since, beast_field::if_unmodified_since,
};
/// By these an upstream knows users apart.
constexpr std::array<std::string_view, 2> of_one_user{"authorization", "cookie"};

/// Calls `take` with each member of a list such as `Vary: a, b`.
template <class Take>
void for_each_member(std::string_view list, Take const& take) {
    std::string_view member;
    for (bool more = true; http::detail::next_element(list, member, more);)
        take(member);
}

/// Whether a field of Cache-Control, in any of its lines, has that directive, with or without a value.
bool has_directive(std::span<http::field const> fields, std::string_view directive) {
    bool found = false;
    for (auto const& each : fields)
        if (each.id == beast_field::cache_control)
            for_each_member(each.value, [&](std::string_view member) {
                found = found || equals_ignoring_case(member.substr(0, member.find('=')), directive);
            });
    return found;
}

} // namespace

std::string_view to_string(flight_hold::part what) noexcept {
    switch (what) {
    case flight_hold::part::leads:
        return "led";
    case flight_hold::part::shares:
        return "shared";
    case flight_hold::part::alone:
        break;
    }
    return "alone";
}

void flight_hold::judge(http::response_head const& answer) {
    may_share_ = !has_directive(answer.fields(), "no-store") &&
                 !(how_.between_users && has_directive(answer.fields(), "private"));
    auto const is_in_key = [&](std::string_view name) {
        auto const same = [&](std::string_view known) { return equals_ignoring_case(name, known); };
        return std::any_of(how_.vary.begin(), how_.vary.end(), same) ||
               (!how_.between_users && std::any_of(of_one_user.begin(), of_one_user.end(), same));
    };
    for (auto const& each : answer.fields()) {
        if (each.id == beast_field::set_cookie)
            may_share_ = false;
        if (each.id == beast_field::vary)
            for_each_member(each.value, [&](std::string_view name) {
                may_share_ = may_share_ && (name.empty() || is_in_key(name));
            });
    }
}

bool flight_gate::concerns(exchange const& x) noexcept {
    using boost::beast::http::verb;
    auto const& request = x.request;
    return (request.verb == verb::get || request.verb == verb::head) &&
           (request.framing == http::body_framing::none || request.content_length == 0) &&
           request.framing != http::body_framing::chunked && request.find(beast_field::upgrade).empty() &&
           !has_directive(request.fields(), "no-cache") && !has_directive(request.fields(), "no-store");
}

/// Two requests have one name where they ask for the same.
std::string flight_gate::name_of(exchange const& x) const {
    auto const& route = config_.routes[x.route];
    auto const& how = *route.single_flight;
    std::string text(x.request.method);
    text.append(" ").append(x.request.host).append(x.target.path);
    if (x.target.has_query)
        text.append("?").append(x.target.query);
    if (!how.between_users)
        text.append("\nuser ").append(x.user);
    for (auto const& each : x.request.fields()) {
        auto const same = [&](std::string_view known) { return equals_ignoring_case(each.name, known); };
        bool const tells = std::find(always_telling.begin(), always_telling.end(), each.id) != always_telling.end() ||
                           std::any_of(how.vary.begin(), how.vary.end(), same) ||
                           (!how.between_users && std::any_of(of_one_user.begin(), of_one_user.end(), same));
        if (!tells)
            continue;
        text += '\n';
        for (char const c : each.name)
            text += http::detail::to_lower(c);
        text.append(": ").append(each.value);
    }
    auto const digest = detail::sha256(text);
    // No lock of the configuration has a name with a tilde.
    std::string name = "~flight/" + route.name + '/';
    detail::append_hex(name, std::span{digest}.first(16));
    return name;
}

awaitable<flight_gate::verdict> flight_gate::join(exchange& x, client_stream& client, std::string& answer) {
    auto const& how = *config_.routes[x.route].single_flight;
    x.flight = std::make_unique<flight_hold>(how, name_of(x));
    auto& flight = *x.flight;
    auto const until = boot_clock::now() + how.wait;
    lock::lock_options options;
    options.ttl = ttl;
    for (;;) {
        options.wait = std::chrono::milliseconds{0};
        auto [busy, lead] = co_await locks_.async_lock(flight.name_, lock::read_write::writer, options, use_result);
        if (!busy) {
            flight.lease_ = std::move(lead);
            flight.now_ = flight_hold::part::leads;
            co_return verdict::send;
        }
        auto const left = std::chrono::ceil<std::chrono::milliseconds>(until - boot_clock::now());
        if (busy != errc::lock_busy || left.count() <= 0) // it is spared the wait, not the answer
            co_return verdict::send;
        // What was made before it asked is not for it.
        auto [unread, before] = co_await locks_.async_result(flight.name_, use_result);
        options.wait = left;
        client.watch(flight);
        auto [ec, turn] = co_await locks_.async_lock(flight.name_, lock::read_write::reader, options,
                                                     asio::bind_cancellation_slot(flight.slot(), use_result));
        client.stop_watching();
        if (client.gone())
            co_return verdict::gone;
        if (ec || unread)
            co_return verdict::send;
        turn.release();
        auto [failed, made] = co_await locks_.async_result(flight.name_, use_result);
        if (failed)
            co_return verdict::send;
        if (!made || (before && made->fence <= before->fence))
            continue; // whoever led has failed
        if (made->value == not_shared)
            co_return verdict::send;
        flight.now_ = flight_hold::part::shares;
        answer = std::move(made->value);
        co_return verdict::share;
    }
}

void flight_gate::complete(exchange& x) {
    auto& flight = *x.flight;
    if (flight.now_ != flight_hold::part::leads || !flight.lease_)
        return;
    struct ending {
        lock::lease lease;
        std::string answer;
        redis::command command;
        redis::int_sink<1> reply{1};
    };
    auto made = std::make_unique<ending>();
    made->lease = std::move(flight.lease_);
    bool const shared = flight.may_share_ && !flight.copy_.too_much();
    made->answer = shared ? flight.copy_.text() : std::string(not_shared);
    // Where nobody waits, nothing is stored; who comes now goes next.
    auto const layout =
        redis_.options().server.topology == redis::topology::cluster ? key_layout::cluster : key_layout::standalone;
    lock::script_calls const keys(config_.redis.key_prefix, flight.name_, layout);
    made->command.start(2).arg("EXISTS").key(keys.queue_key());
    auto& kept = *made;
    redis_.async_exec(kept.command, kept.reply, {.idempotent = true}, [made = std::move(made)](error_code ec) {
        if (!ec && made->reply[0] == 1) // on one connection: stored, then given back
            made->lease.async_publish(std::move(made->answer), kept_for, [](error_code) {});
        made->lease.release();
    });
}

void flight_gate::end(exchange& x) { x.flight->lease_.release(); }

} // namespace weir::proxy
