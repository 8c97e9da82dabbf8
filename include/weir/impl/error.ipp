#pragma once

#include <weir/error.hpp>

#include <array>
#include <utility>

namespace weir {
namespace detail {

struct error_text {
    errc code;
    std::string_view word;
    const char* message;
};

inline constexpr std::array error_texts{
    error_text{errc::not_connected, "not_connected", "not connected to Redis"},
    error_text{errc::queue_full, "queue_full", "too many operations wait for Redis"},
    error_text{errc::timed_out_unsent, "timed_out_unsent", "the deadline passed before the command was sent"},
    error_text{errc::cancelled_unsent, "cancelled_unsent", "cancelled before the command was sent"},
    error_text{errc::client_closed, "client_closed", "the Redis client is closed"},
    error_text{errc::timed_out, "timed_out", "the deadline passed before Redis answered"},
    error_text{errc::cancelled, "cancelled", "cancelled before Redis answered"},
    error_text{errc::connection_lost, "connection_lost", "the connection was lost before Redis answered"},
    error_text{errc::no_auth, "no_auth", "Redis wants a password (NOAUTH)"},
    error_text{errc::wrong_password, "wrong_password", "Redis refused the user or password (WRONGPASS)"},
    error_text{errc::no_permission, "no_permission", "the Redis user lacks the permission (NOPERM)"},
    error_text{errc::out_of_memory, "out_of_memory", "Redis is out of memory (OOM)"},
    error_text{errc::read_only, "read_only", "this Redis is a read-only replica (READONLY)"},
    error_text{errc::loading, "loading", "Redis is loading its data set (LOADING)"},
    error_text{errc::busy, "busy", "Redis is busy running a script (BUSY)"},
    error_text{errc::master_down, "master_down", "the replica has lost its master (MASTERDOWN)"},
    error_text{errc::cluster_down, "cluster_down", "the Redis cluster is down (CLUSTERDOWN)"},
    error_text{errc::redirected, "redirected", "the key lives on another Redis node"},
    error_text{errc::cross_slot, "cross_slot", "the keys live in different cluster slots (CROSSSLOT)"},
    error_text{errc::disk_error, "disk_error", "Redis cannot write its snapshot to disk (MISCONF)"},
    error_text{errc::no_replicas, "no_replicas", "Redis has too few replicas (NOREPLICAS)"},
    error_text{errc::no_script, "no_script", "Redis lost the script (NOSCRIPT)"},
    error_text{errc::wrong_type, "wrong_type", "the key holds another kind of value (WRONGTYPE)"},
    error_text{errc::max_clients, "max_clients", "Redis has reached its maximum number of clients"},
    error_text{errc::request_id_reused, "request_id_reused", "the request id stands for another request"},
    error_text{errc::server_error, "server_error", "Redis answered with an error"},
    error_text{errc::unexpected_reply, "unexpected_reply", "the reply from Redis has an unexpected shape"},
    error_text{errc::protocol_error, "protocol_error", "the reply from Redis is not RESP"},
    error_text{errc::invalid_argument, "invalid_argument", "an argument is out of range"},
    error_text{errc::invalid_url, "invalid_url", "not the URL of a Redis server"},
    error_text{errc::circuit_open, "circuit_open", "the circuit is open"},
    error_text{errc::bulkhead_full, "bulkhead_full", "too many calls are in flight"},
    error_text{errc::throttled, "throttled", "shed by the adaptive throttle"},
    error_text{errc::tls_failed, "tls_failed", "the TLS handshake with Redis failed"},
    error_text{errc::unknown_request, "unknown_request", "no request of this id is open"},
    error_text{errc::already_settled, "already_settled", "the request of this id is settled"},
    error_text{errc::lock_busy, "lock_busy", "somebody else holds the lock"},
    error_text{errc::lock_lost, "lock_lost", "the lock is not held any more"},
    error_text{errc::lock_not_durable, "lock_not_durable", "too few servers vouch for the lock"},
};

inline const error_text* find_error_text(int value) noexcept {
    for (auto const& text : error_texts)
        if (static_cast<int>(text.code) == value)
            return &text;
    return nullptr;
}

inline bool is_of_kind(errc code, kind value) noexcept {
    switch (value) {
    case kind::not_sent:
        return (code >= errc::not_connected && code <= errc::client_closed) || code == errc::tls_failed;
    case kind::outcome_unknown:
        return code >= errc::timed_out && code <= errc::connection_lost;
    case kind::refused:
        return code >= errc::no_auth && code <= errc::server_error;
    case kind::authentication:
        return (code >= errc::no_auth && code <= errc::no_permission) || code == errc::tls_failed;
    case kind::broken:
        return code == errc::unexpected_reply || code == errc::protocol_error;
    case kind::rejected:
        return (code >= errc::circuit_open && code <= errc::throttled) ||
               (code >= errc::lock_busy && code <= errc::lock_not_durable);
    }
    return false;
}

class error_category_impl final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "weir"; }

    std::string message(int value) const override {
        auto const* text = find_error_text(value);
        return text ? text->message : "unknown weir error";
    }
};

class kind_category_impl final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "weir.kind"; }

    std::string message(int value) const override {
        switch (static_cast<kind>(value)) {
        case kind::not_sent:
            return "not sent";
        case kind::outcome_unknown:
            return "outcome unknown";
        case kind::refused:
            return "refused by Redis";
        case kind::authentication:
            return "authentication failed";
        case kind::broken:
            return "reply not understood";
        case kind::rejected:
            return "rejected before it was sent";
        }
        return "unknown kind";
    }

    bool equivalent(const error_code& code, int condition) const noexcept override {
        return code.category() == weir::error_category() &&
               is_of_kind(static_cast<errc>(code.value()), static_cast<kind>(condition));
    }
};

} // namespace detail

WEIR_DECL const boost::system::error_category& error_category() noexcept {
    static const detail::error_category_impl instance;
    return instance;
}

WEIR_DECL const boost::system::error_category& kind_category() noexcept {
    static const detail::kind_category_impl instance;
    return instance;
}

WEIR_DECL std::string_view to_string(errc code) noexcept {
    auto const* text = detail::find_error_text(static_cast<int>(code));
    return text ? text->word : std::string_view{"unknown"};
}

WEIR_DECL errc error_of_reply(std::string_view text) noexcept {
    static constexpr std::array<std::pair<std::string_view, errc>, 21> prefixes{{
        {"NOSCRIPT ", errc::no_script},
        {"NOAUTH ", errc::no_auth},
        {"WRONGPASS ", errc::wrong_password},
        {"ERR invalid password", errc::wrong_password},
        {"ERR AUTH <password> called without", errc::wrong_password},
        {"ERR Client sent AUTH, but no password", errc::wrong_password},
        {"NOPERM ", errc::no_permission},
        {"OOM ", errc::out_of_memory},
        {"READONLY ", errc::read_only},
        {"LOADING ", errc::loading},
        {"BUSY ", errc::busy},
        {"MASTERDOWN ", errc::master_down},
        {"CLUSTERDOWN ", errc::cluster_down},
        {"MOVED ", errc::redirected},
        {"ASK ", errc::redirected},
        {"CROSSSLOT ", errc::cross_slot},
        {"MISCONF ", errc::disk_error},
        {"NOREPLICAS ", errc::no_replicas},
        {"WRONGTYPE ", errc::wrong_type},
        {"IDREUSED ", errc::request_id_reused},
        {"ERR max number of clients", errc::max_clients},
    }};
    for (auto const& [prefix, code] : prefixes)
        if (text.starts_with(prefix))
            return code;
    return text.starts_with("TRYAGAIN ") ? errc::redirected : errc::server_error;
}

} // namespace weir
