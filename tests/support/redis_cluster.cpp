#include "support/redis_cluster.hpp"

#include "support/with_free_ports.hpp"

#include <weir/redis/hash_slot.hpp>

#include <algorithm>
#include <chrono>
#include <set>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace weir::test {
namespace {

/// Asks until `done`; a condition of other processes, which tell nobody when it holds.
template <class Done>
void wait_until(char const* what, Done const& done) {
    auto const end = std::chrono::steady_clock::now() + std::chrono::seconds{30};
    while (!done()) {
        if (std::chrono::steady_clock::now() > end)
            throw std::runtime_error(std::string("the cluster never came to this: ") + what);
        std::this_thread::sleep_for(std::chrono::milliseconds{10});
    }
}

bool runs(redis_server& node) {
    try {
        return node.run({"PING"}) == "PONG";
    } catch (std::runtime_error const&) {
        return false;
    }
}

/// A master as a node knows it: a line of CLUSTER NODES.
struct membership {
    std::string id;
    std::uint64_t epoch = 0;
    std::vector<std::pair<int, int>> ranges; // of slots, both ends of each included

    bool owns(int slot) const {
        return std::any_of(ranges.begin(), ranges.end(),
                           [&](auto const& each) { return slot >= each.first && slot <= each.second; });
    }
    bool operator==(membership const&) const = default;
};

/// All masters that a node believes alive, in the order of their names.
std::vector<membership> masters_known_to(redis_server& node) {
    std::vector<membership> all;
    std::istringstream lines(node.run({"CLUSTER", "NODES"}));
    for (std::string line; std::getline(lines, line);) {
        membership one;
        std::istringstream words(line);
        std::string where, flags, master, sent, received, link;
        words >> one.id >> where >> flags >> master >> sent >> received >> one.epoch >> link;
        if (flags.find("master") == std::string::npos || flags.find("fail") != std::string::npos)
            continue;
        for (std::string range; words >> range;) {
            if (range.front() == '[') // under way from or to another
                continue;
            auto const dash = range.find('-');
            auto const first = std::stoi(range);
            one.ranges.emplace_back(first, dash == std::string::npos ? first : std::stoi(range.substr(dash + 1)));
        }
        all.push_back(std::move(one));
    }
    std::sort(all.begin(), all.end(), [](auto const& a, auto const& b) { return a.id < b.id; });
    return all;
}

bool epochs_differ(std::vector<membership> const& masters) {
    std::set<std::uint64_t> all;
    for (auto const& each : masters)
        all.insert(each.epoch);
    return all.size() == masters.size();
}

} // namespace

redis_cluster::redis_cluster(options how)
    : options_(how) {
    auto const masters = how.masters;
    for (std::size_t i = 0; i < 2 * masters; ++i)
        start_node();
    for (std::size_t i = 1; i < size(); ++i)
        introduce(i);
    for (std::size_t i = 0; i < masters; ++i)
        nodes_[i]->run({"CLUSTER", "ADDSLOTSRANGE", std::to_string(i * redis::slot_count / masters),
                        std::to_string((i + 1) * redis::slot_count / masters - 1)});
    for (std::size_t i = 0; i < masters; ++i)
        wait_until("a replica knows its master", [&] {
            return nodes_[masters + i]->run({"CLUSTER", "REPLICATE", ids_[i]}) == "OK";
        });
    for (std::size_t i = masters; i < size(); ++i)
        wait_until("a replica has a copy", [&] {
            return nodes_[i]->run({"INFO", "replication"}).find("master_link_status:up") != std::string::npos;
        });
    wait_until_agreed();
}

redis_server& redis_cluster::start_node() {
    with_free_ports([this] {
        redis_server::options how{.tcp = true,
                                  .password = {},
                                  .arguments = {"--cluster-enabled", "yes", "--cluster-node-timeout",
                                                std::to_string(options_.node_timeout.count()), "--cluster-config-file",
                                                "nodes.conf", "--cluster-port", std::to_string(free_port()),
                                                "--cluster-require-full-coverage", "no", "--repl-diskless-sync-delay",
                                                "0", "--cluster-replica-validity-factor", "0"}};
        auto const tls_port = options_.tls ? free_port() : std::uint16_t{0};
        if (options_.tls) {
            auto const more = options_.tls->arguments(tls_port);
            how.arguments.insert(how.arguments.end(), more.begin(), more.end());
            how.arguments.insert(how.arguments.end(), {"--tls-cluster", "yes", "--tls-replication", "yes"});
        }
        nodes_.push_back(std::make_unique<redis_server>(how));
        ports_.push_back(options_.tls ? tls_port : nodes_.back()->port());
    });
    ids_.push_back(nodes_.back()->run({"CLUSTER", "MYID"}));
    return *nodes_.back();
}

void redis_cluster::introduce(std::size_t index) {
    // The own line of CLUSTER NODES: id host:port@bus ...
    std::istringstream lines(nodes_[index]->run({"CLUSTER", "NODES"}));
    std::string id, where;
    lines >> id >> where;
    auto const bus = where.substr(where.find('@') + 1);
    nodes_[0]->run({"CLUSTER", "MEET", "127.0.0.1", std::to_string(ports_[index]), bus});
}

std::size_t redis_cluster::add_node() {
    start_node();
    auto const index = size() - 1;
    introduce(index);
    wait_until("all know the new node", [&] {
        return std::all_of(nodes_.begin(), nodes_.end(), [&](auto const& each) {
            return !runs(*each) || each->run({"CLUSTER", "NODES"}).find(ids_[index]) != std::string::npos;
        });
    });
    wait_until_agreed();
    return index;
}

void redis_cluster::remove_node(std::size_t index) {
    for (std::size_t i = 0; i < size(); ++i)
        if (i != index && runs(*nodes_[i]))
            nodes_[i]->run({"CLUSTER", "FORGET", ids_[index]});
    nodes_[index]->stop();
}

void redis_cluster::run_everywhere(std::initializer_list<std::string_view> command) {
    for (auto const& each : nodes_)
        if (runs(*each))
            if (auto const said = each->run(command); said != "OK")
                throw std::runtime_error(std::string(command.begin()[0]) + ": " + said);
}

void redis_cluster::wait_until_agreed() {
    // Who forgets the epoch of a new owner and is given the slot back too early has no reason to raise its own, and
    // loses the slot again to the first old word of the other: so all have to know the epochs, each its own.
    wait_until("all nodes agree", [&] {
        std::vector<membership> agreed;
        for (auto const& each : nodes_) {
            if (!runs(*each))
                continue;
            if (each->run({"CLUSTER", "INFO"}).find("cluster_state:ok") == std::string::npos)
                return false;
            auto const said = masters_known_to(*each);
            if (!agreed.empty() && said != agreed)
                return false;
            agreed = said;
        }
        return epochs_differ(agreed);
    });
}

std::size_t redis_cluster::owner(std::uint16_t slot) {
    for (std::size_t i = 0; i < size(); ++i) {
        if (!runs(*nodes_[i]))
            continue;
        for (auto const& each : masters_known_to(*nodes_[i]))
            if (each.id == ids_[i] && each.owns(slot))
                return i;
    }
    throw std::runtime_error("nobody owns slot " + std::to_string(slot));
}

std::int64_t redis_cluster::integer(std::string_view key, std::initializer_list<std::string_view> command) {
    auto const said = nodes_[owner(redis::hash_slot(key))]->run(command);
    return said == "(nil)" ? 0 : std::stoll(said);
}

void redis_cluster::begin_move(std::uint16_t slot, std::size_t to) {
    auto const from = owner(slot);
    auto const number = std::to_string(slot);
    nodes_[to]->run({"CLUSTER", "SETSLOT", number, "IMPORTING", ids_[from]});
    nodes_[from]->run({"CLUSTER", "SETSLOT", number, "MIGRATING", ids_[to]});
}

void redis_cluster::move_keys(std::uint16_t slot, std::size_t to, std::size_t at_most) {
    auto& from = *nodes_[owner(slot)];
    auto const port = std::to_string(ports_[to]);
    for (; at_most > 0; --at_most) {
        auto const keys = from.run({"CLUSTER", "GETKEYSINSLOT", std::to_string(slot), "1"});
        if (keys.empty())
            return;
        auto const key = keys.substr(0, keys.size() - 1);
        if (auto const said = from.run({"MIGRATE", "127.0.0.1", port, key, "0", "5000"});
            said != "OK" && said != "NOKEY")
            throw std::runtime_error("MIGRATE: " + said);
    }
}

void redis_cluster::end_move(std::uint16_t slot, std::size_t to) {
    nodes_[to]->run({"CLUSTER", "SETSLOT", std::to_string(slot), "NODE", ids_[to]});
    for (std::size_t i = 0; i < options_.masters; ++i)
        if (i != to)
            nodes_[i]->run({"CLUSTER", "SETSLOT", std::to_string(slot), "NODE", ids_[to]});
    wait_until_agreed();
}

} // namespace weir::test
