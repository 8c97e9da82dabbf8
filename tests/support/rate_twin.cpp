#include "support/rate_twin.hpp"

#include "support/exact_log.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace weir::test {
namespace {

using std::chrono::microseconds;

__extension__ using wide = __int128;

class exact_sliding_window : public reference_model {
public:
    explicit exact_sliding_window(rule_terms const& t)
        : terms_(t) {}

    bool admits(microseconds now, std::uint64_t cost, std::uint64_t) override {
        return log_.used(now, terms_.window) + cost <= terms_.limit;
    }
    bool must_admit(microseconds now, std::uint64_t cost, std::uint64_t) override {
        auto const late = shape_of(terms_.limit, terms_.window);
        auto const by = late.log() ? microseconds{0} : late.unit;
        log_.forget(now, terms_.window + by);
        return log_.used(now, terms_.window + by) + cost <= terms_.limit;
    }
    void charge(microseconds now, std::uint64_t cost, std::uint64_t) override { log_.charge(now, cost); }

private:
    rule_terms terms_;
    exact_log log_;
};

/// In units of 1 / limit microseconds times tokens: exact whatever the numbers.
class exact_token_bucket : public reference_model {
public:
    explicit exact_token_bucket(rule_terms const& t)
        : terms_(t) {}

    bool admits(microseconds now, std::uint64_t cost, std::uint64_t) override {
        flow(now);
        return owed_ + wide{cost} * terms_.window.count() <= wide{terms_.burst} * terms_.window.count();
    }
    void charge(microseconds now, std::uint64_t cost, std::uint64_t) override {
        flow(now);
        owed_ += wide{cost} * terms_.window.count();
    }

private:
    void flow(microseconds now) {
        owed_ = std::max<wide>(0, owed_ - wide{(now - when_).count()} * static_cast<wide>(terms_.limit));
        when_ = now;
    }

    rule_terms terms_;
    wide owed_ = 0;
    microseconds when_{0};
};

class exact_fixed_window : public reference_model {
public:
    explicit exact_fixed_window(rule_terms const& t)
        : terms_(t) {}

    bool admits(microseconds now, std::uint64_t cost, std::uint64_t) override {
        return used_[now / terms_.window] + cost <= terms_.limit;
    }
    void charge(microseconds now, std::uint64_t cost, std::uint64_t) override { used_[now / terms_.window] += cost; }

private:
    rule_terms terms_;
    std::map<std::int64_t, std::uint64_t> used_;
};

class exact_leases : public reference_model {
public:
    explicit exact_leases(rule_terms const& t)
        : terms_(t) {}

    bool admits(microseconds now, std::uint64_t cost, std::uint64_t holder) override {
        std::uint64_t held = 0;
        for (auto const& [who, lease] : leases_)
            if (who != holder && lease.first > now)
                held += lease.second;
        return held + cost <= terms_.limit;
    }
    void charge(microseconds now, std::uint64_t cost, std::uint64_t holder) override {
        if (cost == 0)
            leases_.erase(holder);
        else
            leases_[holder] = {now + terms_.window, cost};
    }

private:
    rule_terms terms_;
    std::map<std::uint64_t, std::pair<microseconds, std::uint64_t>> leases_;
};

} // namespace

std::unique_ptr<reference_model> make_reference_model(rule_terms const& t) {
    switch (t.algorithm) {
    case algorithm::sliding_window:
        break;
    case algorithm::token_bucket:
        return std::make_unique<exact_token_bucket>(t);
    case algorithm::fixed_window:
        return std::make_unique<exact_fixed_window>(t);
    case algorithm::concurrency:
        return std::make_unique<exact_leases>(t);
    }
    return std::make_unique<exact_sliding_window>(t);
}

rate_twin::entry& rate_twin::find(charge const& c) {
    auto const name = c.rule->name + '\n' + (c.user.is_any() ? "*" : "=" + std::string{c.user.text()}) + '\n' +
                      (c.endpoint.is_any() ? "*" : "=" + std::string{c.endpoint.text()});
    auto& found = entries_[name];
    if (!found.model)
        found.model = make_reference_model(terms_of(*c.rule, c.user.text()));
    return found;
}

rate_twin::said rate_twin::run(microseconds now, std::vector<charge> const& charges, std::uint64_t holder) {
    said result;
    for (auto const& c : charges) {
        auto& one = find(c);
        auto const terms = terms_of(*c.rule, c.user.text());
        result.rules.push_back(one.state.ask(now, terms, c.cost, holder));
        auto const& answer = result.rules.back();
        auto const need = std::max<std::uint64_t>(c.cost, 1);
        if (answer.admitted) {
            EXPECT_TRUE(one.model->admits(now, need, holder)) << c.rule->name << ": over-admission";
        } else if (c.rule->penalty.after == 0) {
            EXPECT_FALSE(one.model->must_admit(now, need, holder)) << c.rule->name << ": refused too much";
        }
        result.admitted = result.admitted && (answer.admitted || c.rule->shadow);
    }
    for (std::size_t i = 0; i < charges.size(); ++i) {
        auto const& c = charges[i];
        auto& one = find(c);
        auto& answer = result.rules[i];
        if (c.cost == 0)
            continue;
        if (!result.admitted) {
            one.state.refuse(now, terms_of(*c.rule, c.user.text()), c.rule->penalty, answer);
        } else if (answer.admitted) {
            one.state.charge(now, c.cost, holder);
            one.model->charge(now, c.cost, holder);
            answer.remaining -= c.cost;
        }
    }
    return result;
}

void rate_twin::release(std::vector<charge> const& charges, std::uint64_t holder) {
    for (auto const& c : charges) {
        if (c.rule->algorithm != algorithm::concurrency)
            continue;
        find(c).state.release(holder);
        find(c).model->charge(microseconds{0}, 0, holder);
    }
}

void expect_same(rate_twin::said const& expected, std::vector<charge> const& charges,
                 std::vector<std::int64_t> const& reply, bool with_receipt) {
    std::size_t said = 0;
    for (auto const& c : charges)
        said += c.rule->penalty.after > 0 ? 2 : 1;
    bool const brief = !with_receipt && reply.size() == said;
    std::size_t at = brief ? 0 : with_receipt ? 2 : 1;
    ASSERT_EQ(reply.size(), brief ? said : at + 3 * said) << testing::PrintToString(reply);
    ASSERT_EQ(brief || reply[0] == 1, expected.admitted) << testing::PrintToString(reply);
    for (std::size_t i = 0; i < charges.size(); ++i) {
        auto const& answer = expected.rules[i];
        bool const penalty = charges[i].rule->penalty.after > 0;
        auto const own = at + (penalty ? brief ? 1 : 3 : 0);
        ASSERT_EQ(reply[own], static_cast<std::int64_t>(answer.remaining)) << "remaining of rule " << i;
        if (brief) {
            at = own + 1;
            continue;
        }
        auto retry = reply[own + 1], reset = reply[own + 2];
        if (penalty) {
            retry = retry < 0 ? retry : std::max(retry, reply[at + 1]);
            reset = std::max(reset, reply[at + 2]);
        }
        ASSERT_EQ(retry, answer.retry_after.count()) << "retry after of rule " << i << testing::PrintToString(reply);
        ASSERT_EQ(reset, answer.reset_after.count()) << "reset after of rule " << i << testing::PrintToString(reply);
        at = own + 3;
    }
}

} // namespace weir::test
