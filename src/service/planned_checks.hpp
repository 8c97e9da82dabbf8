#pragma once

#include "config/config.hpp"
#include "proxy/admission.hpp"
#include "proxy/ids.hpp"
#include "proxy/insight.hpp"
#include "proxy/io.hpp"
#include "service/check_body.hpp"

#include <weir/http/canonical_target.hpp>
#include <weir/rate_limit/limiter.hpp>

#include <boost/asio/async_result.hpp>

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace weir::service {

/// One check, ready to be asked.
struct planned_check {
    /// Indices into `config::limits`, one a charge.
    std::vector<std::size_t> limits;
    std::vector<charge> charges;
    http::canonical_target path;
    request_options options;
    weir::decision decision;
    weir::settlement settlement;
    error_code error;
};

/// The checks of one POST, from its body to its answer. Reuse the object: it keeps its capacity.
///
/// Thread safety: distinct objects: safe; shared objects: unsafe.
class planned_checks {
public:
    /// Reads the body and finds what each check charges. False with `issues()` where something is wrong. A reservation
    /// without a request id is given one. The configuration must outlive the object.
    bool read(std::string_view body, question what, config::config const& config, proxy::id_source& ids);

    /// What is wrong with the body.
    std::vector<body_issue> const& issues() const noexcept { return issues_; }

    /// Asks all checks in the same turn of the loop, so that they share a trip to Redis. Completes `void()` when all
    /// are decided; it must live until then.
    template <class Token>
    auto async_ask(limiter& rules, Token&& token) {
        return asio::async_initiate<Token, void()>(
            [this](auto&& handler, limiter* through) {
                using state = under_way<std::decay_t<decltype(handler)>>;
                auto const all = std::make_shared<state>(state{count_, std::forward<decltype(handler)>(handler)});
                for (auto& each : checks()) {
                    auto decided = [all, &each](error_code ec) {
                        each.error = ec;
                        if (--all->left == 0)
                            std::move(all->handler)();
                    };
                    if (what_ == question::settle)
                        through->async_settle(each.charges, each.options, each.settlement, std::move(decided));
                    else if (what_ == question::extend)
                        through->async_extend(each.charges, each.options, each.decision, std::move(decided));
                    else
                        through->async_check(each.charges, each.options, each.decision, std::move(decided));
                }
            },
            token, &rules);
    }

    std::span<planned_check> checks() noexcept { return {checks_.data(), count_}; }
    std::span<planned_check const> checks() const noexcept { return {checks_.data(), count_}; }

    /// Counts what was decided, reserved and settled.
    void count(proxy::admission& in) const;

    /// Keeps what was refused, for those who ask why. `x`: the request that asked.
    void remember(proxy::refusal_log& in, proxy::exchange const& x, std::string_view client) const;

    /// Why a body that is no array has no answer: the status to refuse it with. 0: it has one.
    unsigned failure() const noexcept;

    /// Appends what was decided: an object, or an array of them where the body was one.
    void append_answer(std::string& out) const;

private:
    template <class Handler>
    struct under_way {
        std::size_t left;
        Handler handler;
    };

    void plan(config::config const& config, std::size_t item);
    std::uint64_t cost_of(config::limit const& limit, check_item const& asked) const noexcept;
    void append_decision(std::string& out, planned_check const& check) const;
    void append_settlement(std::string& out, planned_check const& check) const;
    bool choose_limits(config::config const& config, std::size_t item);

    question what_ = question::check;
    check_body body_;
    std::vector<body_issue> issues_;
    /// More than are in use, perhaps.
    std::vector<planned_check> checks_;
    std::size_t count_ = 0;
};

} // namespace weir::service
