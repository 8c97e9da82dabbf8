#pragma once

#include <weir/detail/lua_sources.hpp>
#include <weir/detail/random_id.hpp>
#include <weir/key.hpp>
#include <weir/lock/idempotency.hpp>

#include <algorithm>

namespace weir::lock {
namespace detail {

inline redis::script const& idempotency_begin_script() {
    static redis::script const code{"idempotency_begin", lua::idempotency_begin};
    return code;
}

inline redis::script const& idempotency_finish_script() {
    static redis::script const code{"idempotency_finish", lua::idempotency_finish};
    return code;
}

inline std::optional<idempotency_record> read_record(redis::flat_reply const& reply, std::string const& who) {
    using type = redis::flat_reply::type;
    using state = idempotency_record::state;
    auto const& nodes = reply.nodes();
    if (nodes.empty())
        return std::nullopt;
    if (nodes[0].type == type::string)
        return idempotency_record{state::answered, {}, std::string(reply.text(nodes[0]))};
    if (nodes[0].type == type::integer && nodes[0].value == 1)
        return idempotency_record{state::begun, who};
    if (nodes[0].type == type::integer && nodes[0].value == 2)
        return idempotency_record{state::another_request};
    if (nodes[0].type == type::array && nodes.size() == 3 && nodes[2].type == type::integer)
        return idempotency_record{
            state::in_flight, {}, {}, std::chrono::milliseconds{std::max<std::int64_t>(nodes[2].value, 0)}};
    return std::nullopt;
}

} // namespace detail

WEIR_DECL std::vector<redis::script const*> idempotency_scripts() {
    return {&detail::idempotency_begin_script(), &detail::idempotency_finish_script()};
}

WEIR_DECL std::string idempotency::key_of(std::string_view key) const {
    bool const cluster = client_->options().server.topology == redis::topology::cluster;
    std::string result;
    append_idempotency_key(result, prefix_, key, cluster ? key_layout::cluster : key_layout::standalone);
    return result;
}

WEIR_DECL void idempotency::begin(std::string const& who, std::string_view key, std::string_view print,
                                  std::chrono::milliseconds silence, begin_handler done) {
    struct exchange {
        std::string token;
        redis::command command;
        redis::flat_reply reply;
        begin_handler done;
    };
    auto made = std::make_unique<exchange>();
    made->token = who.empty() ? weir::detail::random_id() : who;
    made->done = std::move(done);
    made->command.evalsha(detail::idempotency_begin_script(), 1, 3).arg(key_of(key)).arg(made->token).arg(print);
    made->command.arg(std::max<std::int64_t>(silence.count(), 1));
    auto& kept = *made;
    client_->async_exec(kept.command, kept.reply, {.idempotent = true}, [made = std::move(made)](error_code ec) {
        auto const record = ec ? std::nullopt : detail::read_record(made->reply, made->token);
        if (!record && !ec)
            ec = errc::unexpected_reply;
        made->done(ec, record.value_or(idempotency_record{}));
    });
}

WEIR_DECL void idempotency::finish(std::string const& who, std::string_view key, std::string_view answer,
                                   std::chrono::milliseconds keep, finish_handler done) {
    struct exchange {
        redis::command command;
        redis::int_sink<1> reply{1};
        finish_handler done;
    };
    auto made = std::make_unique<exchange>();
    made->done = std::move(done);
    made->command.evalsha(detail::idempotency_finish_script(), 1, 3).arg(key_of(key)).arg(who).arg(keep.count());
    made->command.arg(answer);
    auto& kept = *made;
    client_->async_exec(kept.command, kept.reply, {}, [made = std::move(made)](error_code ec) {
        made->done(ec ? ec : made->reply[0] == 1 ? error_code{} : error_code{errc::lock_lost});
    });
}

} // namespace weir::lock
