#pragma once

#include "proxy/body_reader.hpp"
#include "proxy/buffer_pool.hpp"
#include "proxy/client_stream.hpp"
#include "proxy/exchange.hpp"

#include <chrono>
#include <string_view>

namespace weir::proxy {

/// How collecting a body ended.
enum class collect_end {
    complete,
    /// More than a block holds.
    too_large,
    /// The client paused for longer than it may.
    too_slow,
    /// The client has left.
    gone,
    /// The framing is broken.
    malformed,
};

/// Sends the `100 Continue` that a client waits for before its body, if it does. False when it has left.
awaitable<bool> invite_body(client_stream& client, http::request_head const& request);

/// Reads the rest of a body of which `body` was at hand, until it is complete: `body` then is all of it, inside `x.up`,
/// which is taken from `blocks`; what came behind it is `x.surplus`. `why` is set when it is malformed.
awaitable<collect_end> collect_rest(client_stream& client, exchange& x, buffer_pool& blocks, body_reader& reader,
                                    std::chrono::nanoseconds timeout, std::string_view& body, http::refusal& why);

} // namespace weir::proxy
