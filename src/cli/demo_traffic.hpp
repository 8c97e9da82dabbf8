#pragma once

#include <boost/asio/ip/tcp.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// The clients of the demonstration: real sockets, several users at once, some of whom cheat.
namespace weir::cli {

using demo_clock = std::chrono::steady_clock;

/// One user and how he behaves.
struct demo_user {
    std::string name;
    std::string story;
    /// Sends `X-User-Id: name`; otherwise his address is all there is to know of him.
    bool says_who = true;
    /// Invents another X-Forwarded-For for each request.
    bool forges_address = false;
    /// When refused, waits as long as Retry-After says.
    bool waits_when_refused = false;
    int connections = 1;
    std::chrono::milliseconds pause{0};
    /// Requested in turn; spellings of one path.
    std::vector<std::string> targets{"/v1/chat"};
};

/// What came of his requests.
struct demo_tally {
    struct admission {
        demo_clock::time_point sent, answered;
    };
    std::uint64_t sent = 0;
    std::uint64_t refused = 0;
    /// Neither let through nor refused for the limit.
    std::uint64_t other = 0;
    /// Refusals without Retry-After or RateLimit.
    std::uint64_t silent_refusals = 0;
    /// Refused although he had waited as long as he was told.
    std::uint64_t refused_after_waiting = 0;
    std::uint64_t waits = 0;
    std::vector<admission> admitted;
    /// Seconds of Retry-After, the least and the most seen.
    std::optional<unsigned> least_wait, most_wait;
    /// Why he was refused, in the proxy's words.
    std::string reason;

    /// Whether the limit was certainly broken: more than `limit` let through within `window`, even if the first was
    /// decided when it was sent and the last when it was answered.
    bool over(std::size_t limit, std::chrono::milliseconds window) const;
};

/// Sends the traffic of all users at once for `duration`; one tally a user. Throws boost::system::system_error where
/// the proxy breaks a connection off.
std::vector<demo_tally> send_demo_traffic(boost::asio::ip::tcp::endpoint proxy, std::vector<demo_user> const& users,
                                          std::chrono::milliseconds duration);

} // namespace weir::cli
