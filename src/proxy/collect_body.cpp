#include "proxy/collect_body.hpp"

#include <cstring>

namespace weir::proxy {

awaitable<bool> invite_body(client_stream& client, http::request_head const& request) {
    if (!request.expect_continue)
        co_return true;
    gather_list out;
    out.add("HTTP/1.1 100 Continue\r\n\r\n");
    error_code ec;
    if (!client.write_now(out, ec))
        ec = co_await client.write(out);
    co_return !ec;
}

awaitable<collect_end> collect_rest(client_stream& client, exchange& x, buffer_pool& blocks, body_reader& reader,
                                    std::chrono::nanoseconds timeout, std::string_view& body, http::refusal& why) {
    if (!x.up)
        x.up = blocks.take();
    auto have = body.size();
    if (have > buffer_pool::block_size)
        co_return collect_end::too_large;
    if (have != 0)
        std::memcpy(x.up.data(), body.data(), have);
    while (!reader.finished()) {
        if (have == buffer_pool::block_size)
            co_return collect_end::too_large;
        client.limit(timeout);
        std::size_t n = 0;
        char* const at = x.up.data() + have;
        auto const ec = co_await client.read_some({at, reader.wanted(buffer_pool::block_size - have)}, n);
        client.unlimited();
        if (ec)
            co_return client.expired() ? collect_end::too_slow : collect_end::gone;
        auto const piece = reader.take(at, n);
        if (piece.why.status != 0) {
            why = piece.why;
            co_return collect_end::malformed;
        }
        if (!piece.data.empty())
            std::memmove(at, piece.data.data(), piece.data.size());
        have += piece.data.size();
        x.bytes_in += piece.data.size();
        x.surplus = {at + piece.consumed, n - piece.consumed};
    }
    body = {x.up.data(), have};
    co_return collect_end::complete;
}

} // namespace weir::proxy
