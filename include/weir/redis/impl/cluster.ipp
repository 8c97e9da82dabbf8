#pragma once

#include <weir/redis/cluster.hpp>

#include <boost/asio/post.hpp>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

namespace weir::redis::detail {

inline constexpr int max_redirects = 5;
// So many are followed at once, further ones after these pauses: gossip takes its time.
inline constexpr int hasty_redirects = 2;
inline constexpr std::array<std::chrono::milliseconds, max_redirects - hasty_redirects> pauses_of_disagreement{
    std::chrono::milliseconds{20}, std::chrono::milliseconds{100}, std::chrono::milliseconds{500}};
// The table is renewed this often even where nobody was sent elsewhere.
inline constexpr std::chrono::seconds renewal_interval{60};
// How long a reason for renewing it waits for others, at most.
inline constexpr std::chrono::milliseconds renewal_jitter{20};
// The pause after a renewal that no node answered, at most.
inline constexpr std::chrono::milliseconds renewal_pause{200};
inline constexpr std::chrono::seconds slots_timeout{1};
// See the class. The redirections of a cluster that has grown since the table was told may name as many nodes.
inline constexpr std::size_t max_masters = 1024;
inline constexpr std::size_t most_nodes(std::size_t masters) noexcept { return 4 * masters + 16; }

inline std::size_t count_masters(std::vector<slot_range> const& ranges) {
    std::set<std::pair<std::string_view, std::uint16_t>> places;
    for (auto const& each : ranges)
        places.emplace(each.host, each.port);
    return places.size();
}

// CLUSTER SLOTS, asked of one node. Deletes itself when it is done.
class slots_request final : public operation {
public:
    slots_request(std::weak_ptr<cluster> owner, std::string host)
        : operation(&slots_request::finish)
        , asked_host(std::move(host))
        , owner_(std::move(owner)) {
        command = &what_;
        sink = &reply;
        internal = true;
    }

    std::string asked_host;
    flat_reply reply;

private:
    static void finish(operation* base, bool invoke) {
        std::unique_ptr<slots_request> const self(static_cast<slots_request*>(base));
        if (auto const owner = self->owner_.lock(); owner && invoke)
            owner->on_slots(*self);
    }

    std::weak_ptr<cluster> owner_;
    redis::command what_{"CLUSTER", "SLOTS"};
};

WEIR_DECL cluster::cluster(asio::io_context& context, client_options options)
    : connection_group(context, std::move(options))
    , renewal_(context) {}

WEIR_DECL cluster::~cluster() {
    for (auto const& each : nodes_)
        if (each && each->link)
            each->link->disown();
}

WEIR_DECL void cluster::start() {
    connect_seeds();
    renew_after(std::chrono::milliseconds{0});
}

WEIR_DECL void cluster::flush() {
    for (auto const& each : nodes_)
        if (each)
            each->link->flush();
}

// The nodes themselves stay: operations still name them while they end.
WEIR_DECL void cluster::shut() {
    for (auto const& each : nodes_)
        if (each) {
            each->link->disown();
            each->link->close();
        }
    renewal_.cancel();
}

WEIR_DECL std::optional<address> cluster::present_address() const {
    for (auto const& each : nodes_)
        if (each && each->link->is_open())
            return each->link->options().server;
    return std::nullopt;
}

WEIR_DECL std::vector<key_server> cluster::key_servers() const {
    std::vector<key_server> found;
    std::vector<bool> seen(nodes_.size());
    if (!loaded_)
        return found;
    for (std::size_t slot = 0; slot < owner_of_.size(); ++slot) {
        auto const owner = owner_of_[slot];
        if (owner == nobody || seen[owner])
            continue;
        seen[owner] = true;
        auto const& [host, port] = nodes_[owner]->where;
        found.push_back({host + ':' + std::to_string(port), static_cast<std::uint16_t>(slot)});
    }
    return found;
}

WEIR_DECL client_statistics cluster::stats() const {
    auto sum = stats_of_the_past();
    for (auto const& each : nodes_)
        if (each)
            sum += each->link->stats();
    return sum;
}

// ---- operations

WEIR_DECL void cluster::route(operation& what, clock::time_point now) {
    what.holder = nullptr;
    if (!loaded_) {
        hurry(now);
        return park(what, now);
    }
    if (closed() || !what.command->complete())
        return park(what, now);
    if (!what.command->has_slot()) {
        auto const any = any_open_node();
        return any == nobody ? park(what, now) : send(what, *nodes_[any]->link, now);
    }
    auto const slot = what.command->slot();
    if (!slot)
        return refuse(what, errc::cross_slot);
    if (auto const owner = owner_of_[*slot]; owner != nobody)
        return send(what, *nodes_[owner]->link, now);
    renew_after(renewal_jitter);
    refuse(what, errc::cluster_down);
}

WEIR_DECL void cluster::on_redirect(connection& from, operation& what, errc why, std::string_view text) {
    auto const now = clock::now();
    what.asking = false;
    if (closed() || ++what.redirects > max_redirects)
        return refuse(what, why);
    auto const& speaker = *nodes_[index_of(from)];
    if (why == errc::redirected) {
        if (auto const where = read_redirection(text, speaker.where.first))
            return follow(*where, what, now);
        // To a node that does not know its own name: the table may.
        renew_after(renewal_jitter);
        return park(what, now);
    }
    // The node is a replica, or away. If the table that says it is neither is newer than that, there is no better one.
    if (why == errc::not_connected && loaded_ && speaker.failed && speaker.failed_at < loaded_at_)
        return refuse(what, errc::not_connected);
    renew_after(renewal_jitter);
    park(what, now);
}

WEIR_DECL void cluster::follow(redirection const& where, operation& what, clock::time_point now) {
    if (!may_reach({where.host, where.port})) {
        renew_after(renewal_jitter);
        return park(what, now);
    }
    auto const to = node_at({where.host, where.port});
    if (where.ask) {
        what.asking = true;
    } else {
        owner_of_[where.slot] = static_cast<std::uint16_t>(to);
        nodes_[to]->listed = true;
        renew_after(renewal_jitter);
        // Nodes that send it to each other have yet to agree.
        if (what.redirects > hasty_redirects) {
            what.holder = nodes_[to]->link.get();
            auto const pause = pauses_of_disagreement.at(what.redirects - hasty_redirects - 1);
            return nodes_[to]->link->route_later(what, now, now + pause);
        }
    }
    send(what, *nodes_[to]->link, now);
}

// ---- nodes

WEIR_DECL std::size_t cluster::node_at(place const& where) {
    auto free = nodes_.size();
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
        if (nodes_[i] && nodes_[i]->where == where)
            return i;
        if (!nodes_[i])
            free = i;
    }
    if (free == nodes_.size())
        nodes_.emplace_back();
    auto made = std::make_unique<node>();
    made->where = where;
    made->link = connect_to(options_for(where));
    nodes_[free] = std::move(made);
    return free;
}

// Whether a redirection may lead there: to a node that is known, or to one more.
WEIR_DECL bool cluster::may_reach(place const& where) const {
    std::size_t kept = 0;
    for (auto const& each : nodes_) {
        if (each && each->where == where)
            return true;
        kept += each != nullptr;
    }
    return kept < most_nodes(masters_);
}

WEIR_DECL std::size_t cluster::index_of(connection const& which) const noexcept {
    auto const found = std::find_if(nodes_.begin(), nodes_.end(),
                                    [&](auto const& each) { return each && each->link.get() == &which; });
    return static_cast<std::size_t>(found - nodes_.begin());
}

WEIR_DECL std::size_t cluster::any_open_node() noexcept {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
        auto const at = ++next_node_ % nodes_.size();
        if (nodes_[at] && nodes_[at]->link->is_open())
            return at;
    }
    return nobody;
}

WEIR_DECL void cluster::hurry(clock::time_point now) {
    for (auto const& each : nodes_)
        if (each)
            each->link->hurry(now);
}

WEIR_DECL void cluster::connect_seeds() {
    node_at({options_.server.host, options_.server.port});
    for (auto const& each : options_.server.nodes)
        node_at(each);
}

WEIR_DECL void cluster::on_open(connection& which) {
    nodes_[index_of(which)]->failed = false;
    if (!loaded_)
        renew();
    judge();
}

WEIR_DECL void cluster::on_failed(connection& which) {
    auto& failed = *nodes_[index_of(which)];
    failed.failed = true;
    failed.failed_at = clock::now();
    last_error_ = which.last_error();
    last_error_text_ = which.last_error_text();
    renew_after(renewal_pause);
    judge();
}

// Whether those who wait for a connection have it, or never will.
WEIR_DECL void cluster::judge() {
    bool all_known = true, any_open = false;
    for (auto const& each : nodes_) {
        if (!each)
            continue;
        any_open = any_open || each->link->is_open();
        all_known = all_known && (each->failed || each->link->is_open());
    }
    if (!all_known)
        return;
    if (loaded_ && any_open) {
        if (!std::exchange(ready_, true))
            pipeline_.open();
    } else if (!any_open) {
        // With no node in reach, what waits learns so at once, until one is.
        ready_ = loaded_ = false;
        out_of_reach(last_error_ == errc{} ? errc::not_connected : last_error_);
        connect_seeds();
    }
    schedule();
}

// ---- the table

WEIR_DECL void cluster::renew_after(std::chrono::milliseconds most) {
    if (closed())
        return;
    auto const pause = std::uniform_int_distribution<std::int64_t>{0, most.count()}(random_);
    auto const when = clock::now() + std::chrono::milliseconds{pause};
    if (when >= renewal_at_)
        return;
    renewal_at_ = when;
    renewal_.set(when,
                 [self = std::static_pointer_cast<cluster>(shared_from_this())](clock::time_point) { self->renew(); });
}

WEIR_DECL void cluster::renew() {
    renewal_at_ = clock::time_point::max();
    if (closed())
        return;
    if (asking_) {
        ask_again_ = true;
        return;
    }
    auto const asked = any_open_node();
    if (asked == nobody)
        return; // on_open() comes back to it
    asking_ = true;
    auto self = std::static_pointer_cast<cluster>(shared_from_this());
    auto request = std::make_unique<slots_request>(std::move(self), nodes_[asked]->where.first);
    auto const now = clock::now();
    request->deadline = now + slots_timeout;
    nodes_[asked]->link->route(*request.release(), now);
}

WEIR_DECL void cluster::on_slots(slots_request const& answer) {
    asking_ = false;
    if (closed())
        return;
    bool const again = std::exchange(ask_again_, false);
    auto const ranges = answer.result ? std::nullopt : read_cluster_slots(answer.reply, answer.asked_host);
    auto const masters = ranges ? count_masters(*ranges) : 0;
    if (masters > 0 && masters <= max_masters) {
        refusals_ = 0;
        masters_ = masters;
        load(*ranges);
        return again ? renew_after(renewal_jitter) : renew_after(renewal_interval);
    }
    if (!answer.result || answer.result == errc::server_error) {
        last_error_ = errc::cluster_down;
        last_error_text_ = options_.server.display() +
                           (masters > 0 ? ": it names " + std::to_string(masters) + " masters, more than are believed"
                                        : ": it is no cluster, or has no slots yet");
        if (!loaded_)
            out_of_reach(errc::cluster_down);
    }
    // Another node may know more.
    if (++refusals_ % std::max<std::size_t>(nodes_.size(), 1) != 0)
        renew();
    else
        renew_after(renewal_pause);
}

WEIR_DECL void cluster::load(std::vector<slot_range> const& ranges) {
    for (auto const& each : nodes_)
        if (each)
            each->listed = false;
    std::fill(owner_of_.begin(), owner_of_.end(), nobody);
    for (auto const& each : ranges) {
        auto const owner = node_at({each.host, each.port});
        nodes_[owner]->listed = true;
        std::fill(owner_of_.begin() + each.first, owner_of_.begin() + each.last + 1, static_cast<std::uint16_t>(owner));
    }
    loaded_ = true;
    loaded_at_ = clock::now();
    drop_unlisted();
    send_parked(loaded_at_);
    judge();
}

// Nodes that own nothing go when nothing is under way on them.
WEIR_DECL void cluster::drop_unlisted() {
    bool busy = false;
    for (auto& each : nodes_) {
        if (!each || each->listed)
            continue;
        park_queued_of(*each->link, loaded_at_);
        // What is in flight before it is open is its handshake.
        if (each->link->is_open() && each->link->stats().in_flight != 0) {
            busy = true;
            continue;
        }
        retire(each->link);
        each.reset();
    }
    if (busy)
        renew_after(renewal_pause);
}

} // namespace weir::redis::detail
