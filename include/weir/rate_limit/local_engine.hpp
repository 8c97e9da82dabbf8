#pragma once

#include <weir/rate_limit/check_script.hpp>
#include <weir/rate_limit/rule_state.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace weir {

/// The limiter of a process that has lost its Redis: the same windows, in memory, for the rules that ask for it with
/// `on_redis_failure::local`.
///
/// One engine serves all threads of a process, so that a limit is not multiplied by them; limits are divided by
/// `instances`, so that it is not multiplied by processes either. Bounded: past `max_windows` the one idle longest is
/// forgotten, whatever keys an attacker invents. Thread safety: distinct and shared objects are safe.
class local_engine {
public:
    struct options {
        /// Processes that share the limits; each gets its share, 1 at least. 1 or more.
        unsigned instances = 1;
        /// Windows kept at most, one a rule and key; 1 or more.
        std::size_t max_windows = 100'000;
    };

    WEIR_DECL explicit local_engine(options settings);
    local_engine()
        : local_engine(options{}) {}

    /// Answers in `out.rules` those rules of a request whose outcome there is `error_local`; all other rules are left
    /// alone. Charges only if they all admit and `others_admit`. `now` counts from any fixed moment.
    WEIR_DECL void decide(check_request const& request, std::chrono::microseconds now, bool others_admit,
                          decision& out);

    /// Ends the leases that the request's id has in its rules of `concurrency`.
    WEIR_DECL void release(check_request const& request);

    /// What was admitted here for one rule and key since it was last taken: Redis has yet to hear of it.
    struct debt {
        std::string key;
        /// As `check_request::pack_forced` says it.
        std::string packed;
        /// When it counts no more.
        std::chrono::microseconds counts_until{0};
    };
    /// Takes what is owed and still counts at `now`: the most recently used first, each once among all who ask.
    WEIR_DECL std::vector<debt> take_debts(std::chrono::microseconds now);

    /// By how many processes the limits are divided from now on; 1 or more.
    void set_instances(unsigned instances) noexcept { instances_.store(instances, std::memory_order_relaxed); }
    unsigned instances() const noexcept { return instances_.load(std::memory_order_relaxed); }
    /// Tells this process from the others that share its limits: random, the same for all who share the engine.
    std::string const& instance_id() const noexcept { return id_; }

    /// Forgets what a rule has counted under a key.
    WEIR_DECL void reset(rule const& r, std::string_view key);

    WEIR_DECL std::size_t size() const;

private:
    struct entry {
        std::string name;
        rule_state state;
        /// Units admitted of which Redis has not heard, until when they count, and what charges them.
        std::uint64_t owed = 0;
        std::chrono::microseconds counts_until{0};
        std::string key, packed;
    };
    using entries = std::list<entry>;

    WEIR_DECL static void spell(std::string& out, rule const& r, std::string_view key);
    WEIR_DECL entry& find(rule const& r, std::string_view key);
    WEIR_DECL bool ask(check_request const& request, std::size_t index, std::chrono::microseconds now,
                       rule_decision& to);
    WEIR_DECL void charge(check_request const& request, std::size_t index, std::chrono::microseconds now,
                          rule_decision& to);
    WEIR_DECL void refuse(check_request const& request, std::size_t index, std::chrono::microseconds now,
                          rule_decision& to);
    WEIR_DECL rule_terms share(rule_terms terms) const noexcept;

    options const options_;
    std::atomic<unsigned> instances_;
    std::string const id_;
    mutable std::mutex mutex_;
    /// The most recently used first.
    entries entries_;
    std::unordered_map<std::string_view, entries::iterator> index_;
    std::string name_;
    /// The latest time seen: threads read their clocks before they take the lock.
    std::chrono::microseconds now_{0};
};

} // namespace weir

#if defined(WEIR_HEADER_ONLY)
#include <weir/rate_limit/impl/local_engine.ipp>
#endif
