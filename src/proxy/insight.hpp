#pragma once

#include "config/config.hpp"

#include <weir/clock.hpp>
#include <weir/metrics/heavy_hitters.hpp>
#include <weir/rate_limit/charge.hpp>
#include <weir/rate_limit/decision.hpp>

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// What a worker remembers for those who operate it: which keys are hot, and why requests were refused lately. Bounded,
/// whatever clients send, and by names, so that it outlives a configuration. Belongs to the worker's thread; who else
/// wants to know asks `server::ask`.
namespace weir::proxy {

/// The longest text of a client that is remembered, in bytes; more is cut off.
inline constexpr std::size_t max_remembered_text = 256;

/// One key of one limit.
struct hot_key {
    std::string rule;
    std::string user;
    std::string endpoint;
};

/// How often limits were asked, by key, in the last one to two spans.
class hot_keys {
public:
    using sketch = metrics::heavy_hitters<hot_key>;

    /// After how long the older half is dropped.
    static constexpr std::chrono::seconds span{60};
    /// Keys that are counted in each half.
    static constexpr std::size_t capacity = 512;

    explicit hot_keys(boot_clock::time_point now)
        : begun_(now)
        , since_(now) {}

    void add(charge const& asked, bool refused);
    /// To be called now and then: begins the next half when it is time.
    void tick(boot_clock::time_point now);

    sketch const& present() const noexcept { return present_; }
    sketch const& before() const noexcept { return before_; }
    /// Since when all that counts.
    boot_clock::time_point since() const noexcept { return since_; }

private:
    sketch present_{capacity}, before_{capacity};
    boot_clock::time_point begun_, since_;
};

/// What one limit said to a request that was refused.
struct refusing_rule {
    std::string name;
    weir::algorithm algorithm = weir::algorithm::sliding_window;
    bool shadow = false;
    std::string user, endpoint;
    std::uint64_t cost = 0;
    /// Its `rule` is null: the configuration may have been another's.
    rule_decision said;
};

/// One request that got no answer from an upstream.
struct refusal_record {
    std::chrono::system_clock::time_point at;
    std::string request_id;
    std::string client;
    std::string method;
    std::string path;
    std::string detail;
    unsigned status = 0;
    std::string route;
    /// Why Redis did not decide; no error if it did, or was not asked.
    error_code error;
    /// The first `rules_asked` say something.
    std::vector<refusing_rule> rules;
    std::size_t rules_asked = 0;
};

/// The latest refusals, the oldest overwritten.
class refusal_log {
public:
    static constexpr std::size_t capacity = 512;

    /// What is known of a request that is refused.
    struct refused_request {
        std::string_view request_id, client, method, path, route, detail;
        unsigned status = 0;
    };
    /// `made`: what the limits said to `asked`, rule by rule; without rules where none was asked.
    void add(refused_request const& what, decision const& made, std::span<charge const> asked);

    /// Calls `visit(refusal_record)` for each, the newest first, until it returns false.
    template <class Visit>
    void for_each(Visit&& visit) const {
        for (std::size_t i = 0; i < records_.size(); ++i)
            if (!visit(records_[(next_ + records_.size() - 1 - i) % records_.size()]))
                return;
    }

private:
    std::vector<refusal_record> records_;
    std::size_t next_ = 0;
};

struct insight {
    hot_keys hot{boot_clock::now()};
    refusal_log refusals;
};

} // namespace weir::proxy
