#pragma once

#include <weir/rate_limit/charge.hpp>
#include <weir/rate_limit/rule_state.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace weir::test {

/// What a rule and a key have been charged, by the definition of the algorithm alone: nothing shared, nothing clever.
class reference_model {
public:
    virtual ~reference_model() = default;
    /// Whether `cost` more may be charged at `now`.
    virtual bool admits(std::chrono::microseconds now, std::uint64_t cost, std::uint64_t holder) = 0;
    virtual void charge(std::chrono::microseconds now, std::uint64_t cost, std::uint64_t holder) = 0;
    /// Whether a refusal at `now` is too much, given how late the algorithm may be.
    virtual bool must_admit(std::chrono::microseconds now, std::uint64_t cost, std::uint64_t holder) {
        return admits(now, cost, holder);
    }
};

std::unique_ptr<reference_model> make_reference_model(rule_terms const& terms);

/// The rules in memory, decided all or nothing as lua/rate_check.lua must, and held against their reference models.
class rate_twin {
public:
    struct said {
        bool admitted = true;
        std::vector<rate_answer> rules;
    };

    /// Decides, and charges where all admit; fails the test where more is admitted than the models allow.
    said run(std::chrono::microseconds now, std::vector<charge> const& charges, std::uint64_t holder = 0);

    /// The leases of a holder end.
    void release(std::vector<charge> const& charges, std::uint64_t holder);

private:
    struct entry {
        rule_state state;
        std::unique_ptr<reference_model> model;
    };
    entry& find(charge const& c);

    std::map<std::string, entry> entries_;
};

/// The reply of lua/rate_check.lua as the twin says it: penalties folded into their rules, and of an admission without
/// details what remains alone.
void expect_same(rate_twin::said const& expected, std::vector<charge> const& charges,
                 std::vector<std::int64_t> const& reply, bool with_receipt);

} // namespace weir::test
