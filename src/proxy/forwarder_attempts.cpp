#include "proxy/forwarder.hpp"

#include <algorithm>

// One attempt after another: which target, what the circuits are told of it, and whether there is another.
namespace weir::proxy {
namespace {

/// What an answer says of who gave it.
circuit::outcome outcome_of(unsigned status) noexcept {
    return status >= 500 ? circuit::outcome::failure : circuit::outcome::success;
}

/// For "why it tripped".
std::string_view text_of(unsigned status) noexcept {
    switch (status) {
    case 500:
        return "answered 500";
    case 502:
        return "answered 502";
    case 503:
        return "answered 503";
    case 504:
        return "answered 504";
    default:
        return "answered 5xx";
    }
}

bool was_unsent(metrics::upstream_error kind) noexcept {
    using metrics::upstream_error;
    return kind == upstream_error::resolve || kind == upstream_error::connect ||
           kind == upstream_error::connect_timeout || kind == upstream_error::tls;
}

} // namespace

void forwarder::begin_attempts(boot_clock::time_point now) {
    run_began_ = attempt_began_ = now;
    attempts_ = 1;
    tried_ = 0;
    target_ = balancer::none;
    broken_off_ = {};
    if (settings().retries.attempts > 1)
        to_->retries.request(now);
    set_alarm();
}

void forwarder::set_alarm() {
    using nanoseconds = std::chrono::nanoseconds;
    nanoseconds const per_try = settings().per_try_timeout, total = settings().total_timeout;
    if (per_try == nanoseconds{0} && total == nanoseconds{0})
        return;
    auto const left = total - (attempt_began_ - run_began_);
    alarm_is_total_ = total != nanoseconds{0} && (per_try == nanoseconds{0} || left <= per_try);
    services_.wheel.expires_after(alarm_, alarm_is_total_ ? left : per_try);
}

void forwarder::on_alarm() {
    if (alarm_is_total_)
        break_off({result::refuse, 504, "the upstream took too long to answer, all attempts together (timeouts.total)",
                   metrics::upstream_error::total_timeout});
    else
        break_off({result::refuse, 504, "the upstream took too long to answer one attempt (timeouts.per_try)",
                   metrics::upstream_error::per_try_timeout});
}

forward_outcome forwarder::choose_target() {
    guard* refused_by = nullptr;
    for (auto tried = tried_;;) {
        auto const t = to_->balance.choose(key_, tried, attempt_began_);
        if (t == balancer::none)
            break;
        if (!to_->target_circuits.empty()) {
            auto& circuit = to_->target_circuits[t];
            x_.target_leave.begin(circuit, circuit.breaker().try_acquire(attempt_began_));
            if (!x_.target_leave.granted()) {
                x_.target_leave.drop();
                circuit.count_refusal();
                if (refused_by == nullptr || circuit.breaker().retry_after() < refused_by->breaker().retry_after())
                    refused_by = &circuit;
                tried |= target_set{1} << t;
                continue;
            }
        }
        target_ = t;
        to_->balance.begin(t);
        x_.upstream_target = pool().target(t).text;
        return {};
    }
    if (refused_by == nullptr) // every target was tried
        return {result::refuse, 502, "the upstream cannot be reached", {}};
    return {result::refuse, 503, {}, {}, false, refused_by};
}

void forwarder::judge_head() {
    auto const status = x_.response.status;
    auto const took = x_.first_byte - attempt_began_;
    for (auto* leave : {&x_.leave, &x_.target_leave})
        if (leave->held())
            leave->answered(services_.wheel, outcome_of(status), took, text_of(status));
}

circuit::outcome forwarder::verdict_on(forward_outcome const& how) const noexcept {
    using circuit::outcome;
    if (how.what == result::done || how.what == result::again)
        return outcome_of(x_.response.status);
    if (!how.kind) // it was the client who left, or was refused
        return outcome::ignored;
    return how.kind == metrics::upstream_error::resolve || how.own_side ? outcome::local_failure : outcome::failure;
}

void forwarder::finish_attempt(forward_outcome const& how) {
    if (how.kind)
        to_->counts.errors[*how.kind].increment();
    if (x_.leave.held() || x_.target_leave.held() || settings().targets.size() > 1)
        judge(how);
    else if (target_ != balancer::none)
        to_->balance.abandoned(target_);
}

void forwarder::judge(forward_outcome const& how) {
    using circuit::outcome;
    auto const now = boot_clock::now();
    auto const what = verdict_on(how);
    if (target_ != balancer::none) {
        if (what == outcome::success)
            to_->balance.succeeded(target_, now);
        else if (what == outcome::failure)
            to_->counts.ejections.increment(to_->balance.failed(target_, now) ? 1 : 0);
        else
            to_->balance.abandoned(target_);
    }
    // Of a request that was never answered, the time it took says nothing that its failure does not.
    auto const took =
        x_.first_byte != boot_clock::time_point{} ? x_.first_byte - attempt_began_ : boot_clock::duration{};
    auto const error = how.reason.empty() ? text_of(x_.response.status) : how.reason;
    if (x_.target_leave.held())
        x_.target_leave.end(what, took, now, error);
    if (!x_.leave.held())
        return;
    // What is the trouble of one target is left to that one's circuit.
    bool const narrow = what == outcome::failure && target_ != balancer::none && !to_->target_circuits.empty() &&
                        to_->balance.alone_in_trouble(target_);
    x_.leave.end(narrow ? outcome::ignored : what, took, now, error);
}

bool forwarder::prepare_another(forward_outcome const& after) {
    if (!choose_another(after))
        return false;
    attempt_began_ = boot_clock::now();
    target_ = balancer::none;
    x_.detail.clear();
    x_.first_byte = {};
    head_received_ = upload_broken_ = nothing_sent_ = false;
    broken_off_ = {};
    set_alarm();
    if (!to_->circuit)
        return true;
    x_.leave.begin(*to_->circuit, to_->circuit->breaker().try_acquire(attempt_began_));
    if (!x_.leave.granted())
        x_.leave.drop();
    return x_.leave.held();
}

bool forwarder::choose_another(forward_outcome const& after) {
    if (target_ == balancer::none || (after.what != result::refuse && after.what != result::again))
        return false;
    tried_ |= target_set{1} << target_;
    bool const left = tried_ != to_->balance.all();
    if (after.what == result::again) {
        if (!left)
            tried_ = 0;
        return true; // granted when the answer was thrown away
    }
    if (!after.kind || client_.gone() || x_.lock_lost())
        return false;
    if (was_unsent(*after.kind))
        return left && !after.own_side;
    bool const repeatable =
        after.kind == metrics::upstream_error::closed_early || after.kind == metrics::upstream_error::per_try_timeout;
    if (!repeatable || !may_repeat())
        return false;
    if (!left)
        tried_ = 0;
    return true;
}

/// Whether what was sent may be sent again; if so, that is charged.
bool forwarder::may_repeat() {
    if (attempts_ >= settings().retries.attempts || streaming_ || !is_idempotent(x_.request.verb) ||
        !to_->retries.try_retry(boot_clock::now()))
        return false;
    ++attempts_;
    return true;
}

bool forwarder::wants_another(unsigned status) {
    auto const& unwanted = settings().retries.statuses;
    return status >= 500 && std::find(unwanted.begin(), unwanted.end(), status) != unwanted.end() && may_repeat();
}

} // namespace weir::proxy
