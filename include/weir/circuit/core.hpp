#pragma once

#include <weir/circuit/detail/random.hpp>
#include <weir/circuit/settings.hpp>
#include <weir/circuit/state.hpp>
#include <weir/circuit/window.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

namespace weir::circuit {

/// Leave for one call, given by `core::acquire` and handed back with its result.
struct ticket {
    /// Which life of the circuit gave it, and so which results it may have; 0: the call is refused.
    std::uint64_t generation = 0;
    /// The fleet's probe that it is, if any.
    std::uint64_t lease = 0;

    explicit operator bool() const noexcept { return generation != 0; }
};

/// A ticket that has left its instance, so that any instance of the fleet can be told what came of the call. Plain
/// values, to be written down as one likes.
struct detached_permit {
    /// The circuit that gave it, of all instances: a number chosen at random.
    std::uint64_t origin = 0;
    /// As of its ticket; 0: there is none.
    std::uint64_t generation = 0;
    std::uint64_t lease = 0;
    /// The fleet's, as it was known there; 0: unknown.
    std::uint64_t epoch = 0;
    state granted_in = state::closed;
    /// Whether that state was the fleet's.
    bool fleet = false;

    explicit operator bool() const noexcept { return generation != 0; }
    friend bool operator==(detached_permit const&, detached_permit const&) = default;
};

/// A fleet's circuit, as Redis told it.
struct fleet_view {
    /// Grows with each change; 0: nothing was ever told.
    std::uint64_t epoch = 0;
    state now = state::closed;
    reason why = reason::none;
    /// Until the state ends by itself; negative: it does not.
    std::chrono::microseconds remaining{-1};
    /// While half open: the percentage of the traffic that passes; 0: probes alone.
    std::uint8_t share = 0;
};

/// Something that happened to a circuit. Where `from` and `to` are the same, `metrics_only`, a threshold was reached
/// that would have tripped it.
struct change {
    state from = state::closed;
    state to = state::closed;
    reason why = reason::none;
    /// Whether it is the fleet's, or that of this instance alone.
    bool fleet = false;
    /// The fleet's epoch that is known here.
    std::uint64_t epoch = 0;
    /// This instance's window at that moment.
    tally counts;
};

/// What came of a fleet's probe, for Redis.
struct probe_result {
    std::uint64_t epoch = 0;
    std::uint64_t lease = 0;
    /// False: it was given back without a result.
    bool judged = false;
    bool failed = false;
    bool slow = false;
};

/// A circuit breaker without clock and I/O: events and times in; leave for calls, changes and what Redis is to be told
/// out.
///
/// It is a whole breaker of its own, with the fleet's circuit laid over it: where the fleet's is known and not closed,
/// the fleet's holds; else its own, which trips on what this instance sees.
///
/// | own state            | event                                                        | next                     |
/// |----------------------|--------------------------------------------------------------|--------------------------|
/// | closed               | a result, with which a threshold is reached                  | open                     |
/// | open                 | the wait is over (by time, or by the first call after it)    | half_open                |
/// | half_open            | `probes_needed` results: rate reached / below                | open / ramp or closed    |
/// | half_open            | its deadline: results judge as above; none                   | open, as long as before  |
/// | half_open on a ramp  | a rate reached / the step is over and below                  | open / next step, closed |
/// | any                  | `set`, by hand: all but closed -> half_open                  | what was set             |
/// | forced_open          | its end / `automatic`                                        | half_open                |
/// | disabled, metrics_only | its end / `automatic`                                      | closed                   |
///
/// Whatever changes starts a new generation, and results of tickets of an earlier one change nothing. Nothing here
/// allocates after construction. Time must not step back by more than a window.
/// Distinct objects: safe; shared objects: unsafe.
class core {
public:
    /// `seed` chooses jitter and the draws of a ramp. Throws as `validate`.
    WEIR_DECL core(settings how, std::uint64_t seed);

    /// Leave for a call that begins at `now`, or a refusal, which is counted. Each ticket must be handed back once, by
    /// `record` or `release`.
    ticket acquire(time_point now) noexcept {
        if (passes_) [[likely]]
            return {generation_, 0};
        return acquire_slowly(now);
    }

    /// The call of the ticket ended so, after `took`.
    void record(ticket const& of, outcome what, std::chrono::nanoseconds took, time_point now) noexcept {
        if (of.generation != generation_)
            return;
        if (what == outcome::ignored)
            return release(of);
        bool const failed = what != outcome::success, own_side = what == outcome::local_failure;
        bool const slow = took > slow_after_;
        if (visible_ == state::closed) [[likely]] {
            if (count(failed, slow, own_side, now) != reason::none)
                trip(now);
        } else {
            record_slowly(of, failed, slow, own_side, now);
        }
    }

    /// The call of the ticket has no result, or was not made.
    WEIR_DECL void release(ticket const& of) noexcept;

    /// The ticket for other instances; `origin` is the owner's to set. Nothing where the circuit has changed since it
    /// was given. Its result goes to `record` of any instance.
    WEIR_DECL detached_permit detach(ticket const& of) const noexcept;
    /// The call of a permit ended so. `own`: this very core has detached it, which makes the generation count; else it
    /// belongs here by the fleet's epoch and the state. Returns false where it belongs to another life of the circuit,
    /// and then changes nothing. A probe's is kept where its epoch is not known here yet, and `awaits_news` then holds.
    WEIR_DECL bool record(detached_permit const& of, bool own, outcome what, std::chrono::nanoseconds took,
                          time_point now) noexcept;

    /// Does what is due by itself. To be called at `next_deadline`, earlier or later does no harm.
    WEIR_DECL void on_time(time_point now) noexcept;
    /// `time_point::max()`: nothing is due by itself.
    WEIR_DECL time_point next_deadline() const noexcept;

    /// Takes over what Redis said. An epoch lower than one known is ignored; returns whether it was taken.
    WEIR_DECL bool adopt(fleet_view const& told, time_point now) noexcept;
    /// Redis is away: goes on alone with what was known.
    WEIR_DECL void detach(time_point now) noexcept;
    /// Leave for the call that waited for this lease of a fleet's probe; refused, and given back, where it is too late.
    WEIR_DECL ticket claim(std::uint64_t epoch, std::uint64_t lease) noexcept;
    /// A lease for the next call; unused it is worthless from `until` on.
    WEIR_DECL void lend(std::uint64_t epoch, std::uint64_t lease, time_point until) noexcept;

    /// Sets the own state by hand, until `lasts` is over (negative: until told otherwise; of `open` and `half_open`
    /// the settings say how long). Returns false where that is illegal: half open after closed.
    WEIR_DECL bool set(state to, std::chrono::nanoseconds lasts, time_point now) noexcept;
    /// Ends what was set by hand.
    WEIR_DECL void automatic(time_point now) noexcept;

    state now() const noexcept { return visible_; }
    /// Whether the state is the fleet's.
    bool fleet() const noexcept { return attached_ && fleet_.now != state::closed; }
    bool attached() const noexcept { return attached_; }
    /// The fleet's, as known here; 0: unknown.
    std::uint64_t epoch() const noexcept { return epoch_; }
    state fleet_state() const noexcept { return fleet_.now; }
    std::uint64_t generation() const noexcept { return generation_; }
    /// How long a refused call should wait; 0: not known, soon.
    WEIR_DECL std::chrono::nanoseconds retry_after(time_point now) const noexcept;
    /// When the visible state ends by itself.
    time_point until() const noexcept { return seen().until; }
    std::uint8_t share() const noexcept { return seen().share; }
    std::uint64_t refused() const noexcept { return refused_; }
    settings const& how() const noexcept { return how_; }

    /// This instance's window as of `now`: all of it, and what the fleet is told.
    tally const& counts(time_point now) noexcept {
        window_.advance(now);
        return window_.all();
    }
    tally const& shared_counts(time_point now) noexcept {
        window_.advance(now);
        return window_.shared();
    }
    /// Whether results in a row are failures, as many as trip, without those of our own side.
    bool shared_run() const noexcept {
        return how_.consecutive_failures > 0 && shared_run_ >= how_.consecutive_failures;
    }
    /// Whether the last result left a rate at or above its threshold, whatever the minimum: the fleet should know soon.
    bool danger() const noexcept { return danger_; }
    /// Whether a call was refused for want of a lease since the last one was lent.
    bool wants_lease() const noexcept { return wants_lease_; }

    bool has_changes() const noexcept { return change_count_ != 0; }
    /// The oldest change not yet taken; nothing where there is none.
    WEIR_DECL std::optional<change> next_change() noexcept;
    /// Whether results of probes were brought whose epoch Redis has not told here yet.
    bool awaits_news() const noexcept { return !early_results_.empty(); }
    bool has_probe_results() const noexcept { return !probe_results_.empty(); }
    WEIR_DECL std::optional<probe_result> next_probe_result() noexcept;

    std::uint64_t random() noexcept { return detail::next_random(seed_); }

private:
    struct phase {
        state now = state::closed;
        reason why = reason::none;
        time_point until = time_point::max();
        std::uint8_t share = 0;
    };

    phase const& seen() const noexcept { return fleet() ? fleet_ : own_; }

    // Counts a result in the window; the reason for which it trips with it, or none.
    reason count(bool failed, bool slow, bool own_side, time_point now) noexcept {
        if (!window_.record(failed, slow, own_side, now))
            return reason::none;
        run_ = failed ? run_ + 1 : 0;
        if (!own_side)
            shared_run_ = failed ? shared_run_ + 1 : 0;
        auto const& all = window_.all();
        auto why = reason::none;
        if (reaches(all.failures, all.calls, failure_rate_))
            why = reason::failure_rate;
        else if (reaches(all.slow, all.calls, slow_rate_))
            why = reason::slow_rate;
        else if (run_ >= consecutive_)
            why = reason::consecutive_failures;
        danger_ = why != reason::none;
        return all.calls >= minimum_ ? why : reason::none;
    }

    WEIR_DECL ticket acquire_slowly(time_point now) noexcept;
    WEIR_DECL void record_slowly(ticket const& of, bool failed, bool slow, bool own_side, time_point now) noexcept;
    WEIR_DECL bool is_of_this_life(detached_permit const& of) const noexcept;
    WEIR_DECL bool keep_for_later(detached_permit const& of, outcome what, bool slow) noexcept;
    WEIR_DECL void take_early_results() noexcept;
    WEIR_DECL void note_threshold(reason why) noexcept;
    WEIR_DECL void trip(time_point now) noexcept;
    WEIR_DECL void open(reason why, time_point now) noexcept;
    WEIR_DECL void close(reason why, time_point now) noexcept;
    WEIR_DECL void half_open(reason why, std::uint8_t share, time_point now) noexcept;
    WEIR_DECL void judge_probes(time_point now) noexcept;
    WEIR_DECL void judge_step(time_point now) noexcept;
    WEIR_DECL void climb(time_point now) noexcept;
    WEIR_DECL void settle(reason why) noexcept;
    WEIR_DECL void push(change const& what) noexcept;
    WEIR_DECL void fresh_window() noexcept;

    // What the way of a call touches lies together.
    bool passes_ = true;
    state visible_ = state::closed;
    bool danger_ = false;
    bool attached_ = false;
    bool wants_lease_ = false;
    std::uint8_t fired_ = 0;
    std::uint8_t change_count_ = 0;
    std::uint64_t generation_ = 1;
    std::chrono::nanoseconds slow_after_;
    std::uint64_t failure_rate_, slow_rate_, minimum_;
    std::uint64_t run_ = 0, shared_run_ = 0;
    std::uint64_t consecutive_;
    window window_;

    phase own_;
    phase fleet_;
    std::uint64_t epoch_ = 0;
    std::uint64_t refused_ = 0;
    // Of the own half-open state.
    std::uint32_t in_flight_ = 0;
    tally probes_;
    time_point step_began_{};
    // How often it has opened without being healthy in between, and since when it is closed.
    std::uint32_t openings_ = 0;
    time_point closed_at_{};
    std::uint64_t lease_ = 0;
    time_point lease_until_{};
    std::uint64_t seed_;
    settings how_;
    std::array<change, 8> changes_;
    std::vector<probe_result> probe_results_;
    std::vector<probe_result> early_results_;
};

/// `when + wait`, or the end of time where that is later.
constexpr time_point later(time_point when, std::chrono::nanoseconds wait) noexcept {
    return wait > time_point::max() - when ? time_point::max() : when + wait;
}

} // namespace weir::circuit

#if defined(WEIR_HEADER_ONLY)
#include <weir/circuit/impl/core.ipp>
#endif
