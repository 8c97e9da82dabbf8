#pragma once

#include <weir/circuit/registry.hpp>

#include <boost/asio/basic_waitable_timer.hpp>

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <stdexcept>

namespace weir::circuit {
namespace detail {

struct change_listener {
    registry::listener call;
    bool gone = false;
};

class fleet_circuit;
using fleet_circuit_ptr = boost::intrusive_ptr<fleet_circuit>;

/// What the circuits of a registry share: who listens, how to reach Redis, and the timer.
class registry_state : public std::enable_shared_from_this<registry_state> {
public:
    WEIR_DECL registry_state(asio::io_context::executor_type executor, redis::client* client,
                             redis::subscriber* subscriber, registry_options options);

    WEIR_DECL breaker get(std::string_view name, settings how);
    WEIR_DECL void forget(std::string_view name) noexcept;
    WEIR_DECL fleet_circuit_ptr find(std::string_view name) const;
    WEIR_DECL std::vector<breaker> all() const;
    WEIR_DECL std::shared_ptr<change_listener> add(registry::listener what);
    WEIR_DECL void close() noexcept;
    WEIR_DECL bool redis_away() const noexcept;

    WEIR_DECL void tell(fleet_circuit& about, change const& what) noexcept;
    /// Wakes no later than at `when`.
    WEIR_DECL void wake_by(time_point when);

    redis::client* client() noexcept { return client_; }
    redis::subscriber* subscriber() noexcept { return subscriber_; }
    registry_options const& options() const noexcept { return options_; }
    WEIR_DECL script_calls calls_of(std::string const& name, settings const& how) const;

    /// How far the server's clock is ahead of ours, by its replies.
    WEIR_DECL void compare_clocks(std::chrono::microseconds server, std::chrono::nanoseconds round_trip) noexcept;
    WEIR_DECL void note_push(std::string const& circuit, std::chrono::microseconds published) const;

private:
    using timer =
        asio::basic_waitable_timer<boot_clock, asio::wait_traits<boot_clock>, asio::io_context::executor_type>;

    WEIR_DECL void wake();
    WEIR_DECL void arm(time_point when);
    WEIR_DECL static std::chrono::microseconds wall_clock() noexcept;

    asio::io_context::executor_type executor_;
    redis::client* client_;
    redis::subscriber* subscriber_;
    registry_options options_;
    std::mt19937_64 random_;
    timer timer_;
    time_point armed_for_ = time_point::max();
    time_point next_tick_{};
    std::vector<fleet_circuit_ptr> circuits_;
    std::map<std::string, fleet_circuit_ptr, std::less<>> by_name_;
    std::vector<std::shared_ptr<change_listener>> listeners_;
    std::optional<std::chrono::microseconds> clock_ahead_;
    bool closed_ = false;
};

/// A circuit of a registry. Outlives it where handles do.
class fleet_circuit final : public circuit_state, private redis::listener {
public:
    WEIR_DECL fleet_circuit(registry_state& owner, executor_type executor, std::string name, settings how,
                            std::uint64_t seed);

    void attend(time_point now) noexcept override { work(now, false); }
    WEIR_DECL void wait(std::shared_ptr<acquire_waiter> who, time_point now) override;
    WEIR_DECL void give_up(acquire_waiter const& who) override;
    WEIR_DECL void set(override_request const& what, set_handler done) override;

    WEIR_DECL void work(time_point now, bool tick) noexcept;
    /// The registry is gone.
    WEIR_DECL void leave() noexcept;
    time_point next_time() const noexcept { return calls_ ? member_.next_time() : member_.breaker().next_deadline(); }

private:
    struct exchange {
        fleet_circuit_ptr circuit;
        member::request request;
        redis::command command;
        script_reply reply;
        time_point sent;
    };
    struct setting {
        fleet_circuit_ptr circuit;
        set_handler done;
        redis::command command;
        script_reply reply;
    };

    WEIR_DECL void on_message(redis::message const& what) noexcept override;
    WEIR_DECL void on_gap() noexcept override;
    WEIR_DECL void send(member::request const& what, time_point now) noexcept;
    WEIR_DECL void on_reply(exchange& of, error_code ec);
    WEIR_DECL void settle_waiters(time_point now);
    WEIR_DECL override_result set_here(override_request const& what, time_point now);

    registry_state* owner_;
    std::optional<script_calls> calls_;
    std::deque<std::shared_ptr<acquire_waiter>> waiters_;
    bool working_ = false;
    redis::subscription subscription_;
};

// ---- one circuit

WEIR_DECL fleet_circuit::fleet_circuit(registry_state& owner, executor_type executor, std::string name, settings how,
                                       std::uint64_t seed)
    : circuit_state(std::move(executor), std::move(name), std::move(how), owner.options().timing, seed)
    , owner_(&owner) {
    if (owner.client())
        calls_.emplace(owner.calls_of(name_, breaker().how()));
    else
        member_.alone();
    if (owner.client() && owner.subscriber())
        subscription_ = owner.subscriber()->subscribe(calls_->key(), *this);
}

WEIR_DECL void fleet_circuit::leave() noexcept {
    fleet_circuit_ptr const self(this);
    owner_ = nullptr;
    subscription_.reset();
    calls_.reset();
    member_.alone();
    auto const now = boot_clock::now();
    breaker().detach(now);
    for (auto const& each : std::exchange(waiters_, {}))
        each->complete(errc::circuit_open, {});
}

/// Changes are told, and what they give to say is said, until there is nothing more. A listener may call back in.
WEIR_DECL void fleet_circuit::work(time_point now, bool tick) noexcept {
    if (std::exchange(working_, true))
        return;
    fleet_circuit_ptr const self(this);
    breaker().on_time(now);
    do {
        while (auto const change = breaker().next_change()) {
            if (change->from != change->to)
                ++transitions_[static_cast<std::size_t>(change->from)][static_cast<std::size_t>(change->to)];
            if (owner_)
                owner_->tell(*this, *change);
        }
        while (calls_) {
            auto const request = member_.next(now, tick);
            if (!request)
                break;
            send(*request, now);
        }
        settle_waiters(now);
    } while (breaker().has_changes());
    working_ = false;
    if (owner_)
        owner_->wake_by(next_time());
}

WEIR_DECL void fleet_circuit::send(member::request const& what, time_point now) noexcept {
    try {
        auto made = std::make_unique<exchange>();
        made->circuit = this;
        made->request = what;
        made->sent = now;
        if (what.what == member::ask::report)
            calls_->encode(made->command, what.who, what.counts);
        else
            calls_->encode(made->command, what.who, what.probe);
        made->request.counts.last_error = {}; // written; its text need not last
        auto& held = *made;
        // Totals and results count once, however often they come; a lease that nobody knows of is lost for a while.
        redis::exec_options const how{.idempotent = what.what != member::ask::lease};
        owner_->client()->async_exec(held.command, held.reply, how,
                                     [made = std::move(made)](error_code ec) { made->circuit->on_reply(*made, ec); });
    } catch (std::bad_alloc const&) {
        member_.failed(what, false, now);
    }
}

WEIR_DECL void fleet_circuit::on_reply(exchange& of, error_code ec) {
    if (!owner_)
        return;
    auto const now = boot_clock::now();
    auto const answer = ec ? std::nullopt : read_reply(of.reply);
    if (!answer) {
        bool const sure = ec == errc::not_connected || ec == kind::authentication || ec == errc::connection_lost;
        member_.failed(of.request, sure, now);
    } else {
        owner_->compare_clocks(answer->at, now - of.sent);
        if (auto const lease = member_.answered(of.request, *answer, now)) {
            if (waiters_.empty()) {
                breaker().lend(lease->epoch, lease->id, lease->until);
            } else {
                auto const who = std::move(waiters_.front());
                waiters_.pop_front();
                auto const leave = breaker().claim(lease->epoch, lease->id);
                who->complete(leave ? error_code{} : error_code{errc::circuit_open}, leave);
            }
        }
    }
    attend(now);
}

WEIR_DECL void fleet_circuit::on_message(redis::message const& what) noexcept {
    auto const message = read_message(what.payload);
    if (!message || !owner_)
        return;
    auto const now = boot_clock::now();
    owner_->note_push(name_, message->at);
    member_.heard(*message, now);
    attend(now);
}

WEIR_DECL void fleet_circuit::on_gap() noexcept {
    member_.missed();
    attend(boot_clock::now());
}

// ---- those who wait for a lease

WEIR_DECL void fleet_circuit::wait(std::shared_ptr<acquire_waiter> who, time_point now) {
    waiters_.push_back(std::move(who));
    attend(now);
}

WEIR_DECL void fleet_circuit::give_up(acquire_waiter const& who) {
    auto const found =
        std::find_if(waiters_.begin(), waiters_.end(), [&](auto const& each) { return each.get() == &who; });
    if (found == waiters_.end())
        return;
    auto const held = *found;
    waiters_.erase(found);
    held->complete(errc::cancelled, {});
}

/// Who waits for more leases than are asked for waits in vain, but perhaps he needs none any more.
WEIR_DECL void fleet_circuit::settle_waiters(time_point now) {
    while (waiters_.size() > (calls_ ? member_.leases_pending() : 0)) {
        auto const who = std::move(waiters_.front());
        waiters_.pop_front();
        auto const leave = breaker().acquire(now);
        who->complete(leave ? error_code{} : error_code{errc::circuit_open}, leave);
    }
}

// ---- by hand

WEIR_DECL void fleet_circuit::set(override_request const& what, set_handler done) {
    auto const now = boot_clock::now();
    if (!calls_) {
        auto const result = set_here(what, now);
        done({}, result);
        return attend(now);
    }
    auto made = std::make_unique<setting>();
    made->circuit = this;
    made->done = std::move(done);
    calls_->encode(made->command, what);
    auto& held = *made;
    owner_->client()->async_exec(held.command, held.reply, {}, [made = std::move(made)](error_code ec) {
        auto const answer = ec ? std::nullopt : read_reply(made->reply);
        if (!answer)
            return made->done(ec ? ec : error_code{errc::unexpected_reply}, override_result::illegal);
        auto& self = *made->circuit;
        auto const at = boot_clock::now();
        self.member_.heard({answer->view, self.breaker().epoch(), answer->at}, at);
        made->done({}, static_cast<override_result>(answer->extra));
        self.attend(at);
    });
}

WEIR_DECL override_result fleet_circuit::set_here(override_request const& what, time_point now) {
    auto const before = breaker().now();
    if (!what.to) {
        if (!is_override(before))
            return override_result::was_so;
        breaker().automatic(now);
        return override_result::done;
    }
    if (*what.to == before && !is_override(before))
        return override_result::was_so;
    auto const lasts = what.lasts.count() > 0 ? std::chrono::nanoseconds{what.lasts} : std::chrono::nanoseconds{-1};
    return breaker().set(*what.to, lasts, now) ? override_result::done : override_result::illegal;
}

// ---- all of them

inline std::string random_instance(std::mt19937_64& random) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (auto value = random(); text.size() < 12; value >>= 4)
        text += digits[value & 15];
    return text;
}

WEIR_DECL registry_state::registry_state(asio::io_context::executor_type executor, redis::client* client,
                                         redis::subscriber* subscriber, registry_options options)
    : executor_(executor)
    , client_(client)
    , subscriber_(subscriber)
    , options_(std::move(options))
    , random_((std::uint64_t{std::random_device{}()} << 32) | std::random_device{}())
    , timer_(executor) {
    if (options_.instance.empty())
        options_.instance = random_instance(random_);
    if (options_.instance.find(';') != std::string::npos || options_.instance.size() > 200)
        throw std::invalid_argument("the name of an instance must be without ';' and at most 200 bytes long");
}

WEIR_DECL script_calls registry_state::calls_of(std::string const& name, settings const& how) const {
    auto const layout =
        client_->options().server.topology == redis::topology::cluster ? key_layout::cluster : key_layout::standalone;
    // Three intervals, so that each instance has surely reported once.
    return {options_.key_prefix, name, layout, how, 3 * options_.timing.report_interval, options_.instance};
}

WEIR_DECL breaker registry_state::get(std::string_view name, settings how) {
    if (auto const known = find(name)) {
        if (known->breaker().how() != how)
            throw std::invalid_argument("circuit " + std::string(name) + " is in use with other settings");
        return breaker(known);
    }
    validate(how, name);
    fleet_circuit_ptr const made(new fleet_circuit(*this, executor_, std::string(name), std::move(how), random_()));
    by_name_.emplace(std::string(name), made);
    circuits_.push_back(made);
    auto const now = boot_clock::now();
    if (circuits_.size() == 1) // instances tick at times of their own
        next_tick_ = now + options_.timing.report_interval / 1000 * static_cast<std::int64_t>(random_() % 1000);
    wake_by(next_tick_);
    return breaker(made);
}

WEIR_DECL fleet_circuit_ptr registry_state::find(std::string_view name) const {
    auto const found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : found->second;
}

WEIR_DECL void registry_state::forget(std::string_view name) noexcept {
    auto const found = by_name_.find(name);
    if (found == by_name_.end())
        return;
    auto const known = found->second;
    by_name_.erase(found);
    std::erase(circuits_, known);
    known->leave();
}

WEIR_DECL std::vector<breaker> registry_state::all() const {
    std::vector<breaker> result;
    for (auto const& [name, each] : by_name_)
        result.push_back(breaker(each));
    return result;
}

WEIR_DECL void registry_state::close() noexcept {
    if (std::exchange(closed_, true))
        return;
    try {
        timer_.cancel();
    } catch (boost::system::system_error const&) { // cancelling fails only where nothing waits
    }
    listeners_.clear();
    by_name_.clear();
    for (auto const& each : std::exchange(circuits_, {}))
        each->leave();
}

WEIR_DECL bool registry_state::redis_away() const noexcept {
    return std::none_of(circuits_.begin(), circuits_.end(),
                        [](auto const& each) { return each->breaker().attached(); });
}

WEIR_DECL std::shared_ptr<change_listener> registry_state::add(registry::listener what) {
    auto made = std::make_shared<change_listener>(change_listener{std::move(what)});
    listeners_.push_back(made);
    return made;
}

WEIR_DECL void registry_state::tell(fleet_circuit& about, change const& what) noexcept {
    std::erase_if(listeners_, [](auto const& each) { return each->gone; });
    // Those that come meanwhile are not told of this.
    auto const many = listeners_.size();
    for (std::size_t i = 0; i < many && i < listeners_.size(); ++i) {
        auto const each = listeners_[i];
        if (each->gone)
            continue;
        try {
            each->call(breaker(&about), what);
        } catch (...) { // a listener that throws harms nobody
        }
    }
}

WEIR_DECL void registry_state::wake_by(time_point when) {
    if (!closed_ && when < armed_for_)
        arm(when);
}

WEIR_DECL void registry_state::arm(time_point when) {
    // Not sooner than in a millisecond: what is overdue waits for an answer, not for the timer.
    when = std::max(when, boot_clock::now() + std::chrono::milliseconds{1});
    armed_for_ = when;
    timer_.expires_at(when);
    timer_.async_wait([self = weak_from_this(), when](error_code ec) {
        auto const owner = self.lock();
        // One that was due when the timer was set anew is nobody's.
        if (!ec && owner && !owner->closed_ && owner->armed_for_ == when)
            owner->wake();
    });
}

WEIR_DECL void registry_state::wake() {
    auto const now = boot_clock::now();
    bool const tick = now >= next_tick_;
    if (tick)
        next_tick_ = now + options_.timing.report_interval;
    armed_for_ = time_point::min(); // those that work need not set the timer
    auto next = next_tick_;
    for (std::size_t i = 0; i < circuits_.size(); ++i) { // a listener may add some
        auto const each = circuits_[i];
        each->work(now, tick);
        next = std::min(next, each->next_time());
    }
    if (!closed_)
        arm(next);
}

WEIR_DECL std::chrono::microseconds registry_state::wall_clock() noexcept {
    return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch());
}

WEIR_DECL void registry_state::compare_clocks(std::chrono::microseconds server,
                                              std::chrono::nanoseconds round_trip) noexcept {
    auto const half = std::chrono::duration_cast<std::chrono::microseconds>(round_trip) / 2;
    clock_ahead_ = server - (wall_clock() - half);
}

WEIR_DECL void registry_state::note_push(std::string const& circuit, std::chrono::microseconds published) const {
    if (clock_ahead_ && options_.on_push)
        options_.on_push(circuit, std::max(wall_clock() + *clock_ahead_ - published, std::chrono::microseconds{0}));
}

} // namespace detail

WEIR_DECL void listening::reset() noexcept {
    if (auto const what = std::exchange(what_, nullptr))
        what->gone = true;
}

WEIR_DECL registry::registry(asio::io_context& context, registry_options options)
    : state_(std::make_shared<detail::registry_state>(context.get_executor(), nullptr, nullptr, std::move(options))) {}

WEIR_DECL registry::registry(redis::client& client, registry_options options)
    : state_(std::make_shared<detail::registry_state>(client.get_executor(), &client, nullptr, std::move(options))) {}

WEIR_DECL registry::registry(redis::client& client, redis::subscriber& subscriber, registry_options options)
    : state_(
          std::make_shared<detail::registry_state>(client.get_executor(), &client, &subscriber, std::move(options))) {}

WEIR_DECL registry::~registry() { close(); }

WEIR_DECL breaker registry::get(std::string_view name, settings how) { return state_->get(name, std::move(how)); }

WEIR_DECL void registry::forget(std::string_view name) noexcept { state_->forget(name); }

WEIR_DECL std::optional<breaker> registry::find(std::string_view name) const {
    if (auto const known = state_->find(name))
        return breaker(known);
    return std::nullopt;
}

WEIR_DECL std::vector<breaker> registry::all() const { return state_->all(); }

WEIR_DECL listening registry::on_change(listener what) {
    listening result;
    result.what_ = state_->add(std::move(what));
    return result;
}

WEIR_DECL std::string const& registry::instance() const noexcept { return state_->options().instance; }

WEIR_DECL bool registry::redis_away() const noexcept { return state_->redis_away(); }

WEIR_DECL void registry::close() noexcept { state_->close(); }

} // namespace weir::circuit
