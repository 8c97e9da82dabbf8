#pragma once

#include <weir/lock/attempt.hpp>
#include <weir/lock/lease.hpp>
#include <weir/lock/manager.hpp>
#include <weir/redis/client.hpp>

#include <boost/asio/basic_waitable_timer.hpp>

#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace weir::lock::detail {

/// One lock of a manager, from the attempt until it is given back: the shell around `attempt` and `lease_clock`.
///
/// | stage      | leaves it                                                                                     |
/// |------------|-----------------------------------------------------------------------------------------------|
/// | attempting | granted -> confirming or held; ended -> cleaning, once what is under way is answered            |
/// | confirming | replicas have it -> held; they have not, or it ended -> cleaning                                |
/// | held       | its last handle goes -> cleaning                                                                |
/// | cleaning   | Redis has answered, or its time is over there anyway -> over                                    |
///
/// Kept alive by its leases, its timer and its requests.
class held_lock final : public held, public cancellable {
public:
    WEIR_DECL held_lock(std::shared_ptr<manager_state> owner, std::string_view name, lock_options const& how,
                        demand wanted);
    WEIR_DECL ~held_lock() override;

    WEIR_DECL void start(std::shared_ptr<acquire_waiter> waiter);
    WEIR_DECL void cancel() override;
    /// It is to ask: that it was handed the lock may have been missed.
    WEIR_DECL void woken();
    WEIR_DECL void handed(lock_message const& what);
    WEIR_DECL void taken_away();
    /// The manager closes.
    WEIR_DECL void shut() noexcept;
    /// One handle more, where the lock is held and surely still.
    WEIR_DECL bool enter(portion what) noexcept;

    WEIR_DECL executor_type get_executor() const noexcept override;
    WEIR_DECL void leave(handler done) noexcept override;
    WEIR_DECL std::string detach() noexcept override;
    WEIR_DECL void extend(handler done) override;
    WEIR_DECL void publish(std::string result, std::chrono::milliseconds keep, handler done) override;

    std::string const& token() const noexcept { return demand_.token; }
    void const* owner() const noexcept { return how_.owner; }
    bool attempting() const noexcept { return stage_ == stage::attempting; }

private:
    enum class stage : std::uint8_t { attempting, confirming, held, cleaning, over };
    using timer =
        asio::basic_waitable_timer<boot_clock, asio::wait_traits<boot_clock>, asio::io_context::executor_type>;

    WEIR_DECL void act(attempt::step what, time_point now);
    WEIR_DECL void ask(time_point now);
    WEIR_DECL void on_answer(error_code ec);
    WEIR_DECL void obtained(time_point now);
    WEIR_DECL void confirm();
    WEIR_DECL void on_confirmed(error_code ec);
    WEIR_DECL bool confirmed(error_code ec) const noexcept;
    WEIR_DECL void hold(time_point now);
    WEIR_DECL void finish(error_code ec, held_ptr lock);

    WEIR_DECL void renew(time_point now);
    WEIR_DECL void on_renewed(error_code ec);
    WEIR_DECL void on_renewal_confirmed(error_code ec);
    WEIR_DECL void renewed(error_code ec, time_point now);
    WEIR_DECL void lose(time_point now);

    WEIR_DECL void clean_up(time_point now);
    WEIR_DECL void on_cleaned(error_code ec);
    WEIR_DECL void over() noexcept;

    WEIR_DECL void keep_time(time_point now);
    WEIR_DECL void arm(time_point when);
    WEIR_DECL void on_tick();
    WEIR_DECL redis::client& client();
    WEIR_DECL std::chrono::milliseconds remember() const noexcept;

    std::shared_ptr<manager_state> owner_;
    lock_options const how_;
    script_calls const calls_;
    demand const demand_;
    attempt attempt_;
    std::shared_ptr<acquire_waiter> waiter_;
    time_point began_{}, held_since_{};

    // Asks, waits for replicas, renews: one at a time.
    redis::command command_;
    redis::int_sink<3> reply_;
    // By which connection Redis answered that it is held, or renewed, and how many replicas know.
    std::uint64_t granted_by_ = 0, confirmed_by_ = 0;
    time_point renewal_sent_{}, next_renewal_ = time_point::max();
    unsigned failures_ = 0;
    std::vector<handler> extending_;

    redis::command giving_command_;
    redis::int_sink<1> giving_reply_{1};
    handler given_;
    time_point clean_until_{};

    timer timer_;
    time_point armed_for_ = time_point::max();
    unsigned handles_ = 0;
    stage stage_ = stage::attempting;
    bool renewing_ = false, renew_again_ = false, giving_ = false;
    // Handed over, and not yet renewed.
    bool unconfirmed_ = false;
    // Redis said so: nothing is left to give back.
    bool gone_ = false;
};

using held_lock_ptr = boost::intrusive_ptr<held_lock>;

} // namespace weir::lock::detail
