#pragma once

#include <weir/lock/quorum.hpp>

#include <boost/asio/basic_waitable_timer.hpp>

#include <memory>
#include <string>
#include <vector>

namespace weir::lock::detail {

/// One lock over several masters, from the attempt until it is given back.
///
/// | stage      | leaves it                                                                                     |
/// |------------|-----------------------------------------------------------------------------------------------|
/// | asking     | a majority granted -> committing; it cannot any more -> cleaning, and then asking or over       |
/// | committing | a majority knows of the fence -> held; cannot any more -> cleaning, and then asking or over      |
/// | held       | its handle goes -> cleaning                                                                     |
/// | cleaning   | all have answered, or their time is over -> asking or over                                      |
class quorum_lock final : public held, public cancellable {
public:
    WEIR_DECL quorum_lock(std::shared_ptr<quorum_state> owner, std::string_view name, lock_options const& how);
    WEIR_DECL ~quorum_lock() override;

    WEIR_DECL void start(std::shared_ptr<acquire_waiter> waiter);
    WEIR_DECL void cancel() override;
    WEIR_DECL void shut() noexcept;

    WEIR_DECL executor_type get_executor() const noexcept override;
    WEIR_DECL void leave(handler done) noexcept override;
    WEIR_DECL void extend(handler done) override;
    void publish(std::string, std::chrono::milliseconds, handler done) override { done(errc::invalid_argument); }

private:
    enum class stage : std::uint8_t { asking, committing, held, cleaning, over };
    using timer =
        asio::basic_waitable_timer<boot_clock, asio::wait_traits<boot_clock>, asio::io_context::executor_type>;

    /// What is known of one master.
    struct node {
        redis::client* client = nullptr;
        redis::command command, giving_command;
        redis::int_sink<3> reply;
        redis::int_sink<1> giving_reply{1};
        /// The fence that it gave; 0: it did not, as far as is known.
        std::uint64_t fence = 0;
        /// The highest fence that it is known to know of.
        std::uint64_t floor = 0;
        bool asked = false, refused = false, doubtful = false, clean = true;
        /// It owed an answer when the renewal began, and is asked when it has come.
        bool missed = false;
        /// Under way: a question, a release.
        bool busy = false, giving = false;
    };

    WEIR_DECL void ask_all(time_point now);
    WEIR_DECL void ask(std::size_t which);
    WEIR_DECL void note_answer(node& from, error_code ec);
    WEIR_DECL void on_answer(std::size_t which, error_code ec, unsigned round);
    WEIR_DECL void judge(time_point now);
    WEIR_DECL void commit(time_point now);
    WEIR_DECL void judge_commit(time_point now);
    WEIR_DECL void share_fence(std::size_t which);
    WEIR_DECL void on_shared(std::size_t which, error_code ec, unsigned round);
    WEIR_DECL void hold(time_point now);
    WEIR_DECL void fail(error_code why, time_point now);
    WEIR_DECL void finish(error_code ec, held_ptr lock);

    WEIR_DECL void renew(time_point now);
    WEIR_DECL void extend_at(std::size_t which);
    WEIR_DECL void catch_up(std::size_t which);
    WEIR_DECL void on_renewed(std::size_t which, error_code ec, unsigned round);
    WEIR_DECL void lose();

    WEIR_DECL void clean_up(time_point now);
    WEIR_DECL void clean(std::size_t which);
    WEIR_DECL void cleaned(time_point now);
    WEIR_DECL void over() noexcept;

    WEIR_DECL void arm(time_point when);
    WEIR_DECL void on_tick();
    WEIR_DECL std::size_t majority() const noexcept { return nodes_.size() / 2 + 1; }
    WEIR_DECL void send(std::size_t which, void (quorum_lock::*then)(std::size_t, error_code, unsigned));

    std::shared_ptr<quorum_state> owner_;
    lock_options const how_;
    script_calls const calls_;
    demand demand_;
    std::chrono::milliseconds node_timeout_;
    std::vector<node> nodes_;
    std::shared_ptr<acquire_waiter> waiter_;
    time_point until_{}, sent_{}, clean_until_{}, next_renewal_ = time_point::max();
    error_code why_;
    // What is of an earlier round comes too late.
    unsigned round_ = 0, failures_ = 0;
    /// Of this round: answers that are owed, who keeps the lock, who has lost it. Of all: who is being told the fence.
    std::size_t pending_ = 0, kept_ = 0, gone_ = 0, sharing_ = 0;
    std::vector<handler> extending_;
    handler given_;
    std::size_t released_ = 0;
    timer timer_;
    time_point armed_for_ = time_point::max();
    stage stage_ = stage::asking;
    bool ended_ = false, renewing_ = false;
};

using quorum_lock_ptr = boost::intrusive_ptr<quorum_lock>;

/// What the locks of a quorum share.
class quorum_state final : public std::enable_shared_from_this<quorum_state>, public lock_source {
public:
    WEIR_DECL quorum_state(std::vector<redis::client*> masters, quorum_options options);

    WEIR_DECL cancellable* start(std::string_view name, lock_options const& how, portion what,
                                 std::shared_ptr<acquire_waiter> waiter) override;
    asio::io_context::executor_type get_executor() const noexcept override { return masters_.front()->get_executor(); }
    WEIR_DECL void close() noexcept;

    std::vector<redis::client*> const& masters() const noexcept { return masters_; }
    quorum_options const& options() const noexcept { return options_; }
    bool closed() const noexcept { return closed_; }
    WEIR_DECL std::string next_token();
    WEIR_DECL std::uint64_t random() noexcept;
    std::size_t live() const noexcept { return live_.size(); }
    void forget(quorum_lock& lock) noexcept { std::erase(live_, &lock); }

    std::uint64_t known_fence = 0;

private:
    std::vector<redis::client*> masters_;
    quorum_options options_;
    std::string id_;
    std::uint64_t random_;
    std::vector<quorum_lock*> live_;
    bool closed_ = false;
};

} // namespace weir::lock::detail
