#pragma once

#include "proxy/connection.hpp"
#include "proxy/forwarder.hpp"

namespace weir::proxy {

/// A connection whose requests are admitted or refused, and forwarded to the upstream of their route.
class proxied_connection final : public connection {
public:
    using connection::connection;

private:
    awaitable<bool> serve() override;
    awaitable<bool> forward_locked();
    awaitable<bool> forward();
    awaitable<forward_outcome> begin_once(forwarder& way, std::string& replay);
    awaitable<void> give_back_lock();
    awaitable<bool> give_again(std::string_view copy, std::string_view mark, forwarder const& way);
    awaitable<bool> ask_circuit(guard& of);
    awaitable<bool> conclude(forwarder& way, forward_outcome outcome);
    awaitable<bool> fall_back(forwarder& way, upstream& from, forward_outcome why);
    awaitable<bool> answer_instead(config::fallback_answer const& with, bool keep);
    std::uint64_t balance_key(config::upstream const& of) const noexcept;
    verdict check();

    /// The methods of the path that was asked for with another one.
    std::string allow_;
};

} // namespace weir::proxy
