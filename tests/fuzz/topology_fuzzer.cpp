// What nodes of a cluster and sentinels say of who is where, from a server that has gone mad: whatever comes, what is
// read of it can be used as it is, and reading it twice gives the same.
#include <weir/redis/cluster_map.hpp>
#include <weir/redis/hash_slot.hpp>
#include <weir/redis/parser.hpp>
#include <weir/redis/sentinel_replies.hpp>

#include <cstdint>
#include <cstdlib>

namespace {

using namespace weir::redis;

void require(bool holds) {
    if (!holds)
        std::abort();
}

void follow(std::string_view text) {
    auto const to = read_redirection(text, "asked");
    if (!to)
        return;
    require(to->slot < slot_count && to->port != 0 && !to->host.empty() && to->host != "?");
    // Written anew, it is read as the same.
    auto const again = read_redirection((to->ask ? "ASK " : "MOVED ") + std::to_string(to->slot) + ' ' + to->host +
                                            ':' + std::to_string(to->port),
                                        "asked");
    require(again && again->ask == to->ask && again->slot == to->slot && again->host == to->host &&
            again->port == to->port);
}

void read_all(flat_reply const& reply) {
    if (auto const ranges = read_cluster_slots(reply, "asked"))
        for (auto const& each : *ranges)
            require(each.first <= each.last && each.last < slot_count && each.port != 0 && !each.host.empty() &&
                    each.host != "?");
    if (auto const master = read_master_address(reply))
        require(!master->first.empty() && master->second != 0);
    for (auto const& [host, port] : read_sentinels(reply))
        require(!host.empty() && port != 0);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    std::string_view const text(reinterpret_cast<char const*>(data), size);
    follow(text);
    is_switch_of(text, text.substr(0, size / 2));
    parser from(1u << 16);
    flat_reply reply;
    for (std::size_t at = 0; at < size; at += parser::max_slice) {
        from.feed(text.substr(at, parser::max_slice));
        for (auto what = from.next(&reply); what != parser::event::need_more; what = from.next(&reply)) {
            if (what == parser::event::broken)
                return 0;
            if (what == parser::event::reply)
                read_all(reply);
            else
                follow(from.error_text());
        }
    }
    return 0;
}
