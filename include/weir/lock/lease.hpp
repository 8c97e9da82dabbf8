#pragma once

#include <weir/error.hpp>
#include <weir/lock/lease_clock.hpp>

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace weir::lock {
namespace detail {

/// What a lease is a handle of. Counted without atomics: all on one thread.
class held : public boost::intrusive_ref_counter<held, boost::sp_adl_block::thread_unsafe_counter> {
public:
    using executor_type = asio::io_context::executor_type;
    using handler = std::function<void(error_code)>;

    held(std::string name, lease_clock const& clock)
        : name_(std::move(name))
        , clock_(clock) {}
    held(held const&) = delete;
    held& operator=(held const&) = delete;
    virtual ~held() = default;

    virtual executor_type get_executor() const noexcept = 0;
    /// One handle less; the last gives the lock back, and tells `done`, which may be empty. Never throws.
    virtual void leave(handler done) noexcept = 0;
    virtual void extend(handler done) = 0;
    /// As `lease::detach`, for all its handles.
    virtual std::string detach() noexcept { return {}; }
    /// Stores a result beside the lock.
    virtual void publish(std::string result, std::chrono::milliseconds keep, handler done) = 0;

    std::string const& name() const noexcept { return name_; }
    lease_clock const& clock() const noexcept { return clock_; }
    std::uint64_t fence() const noexcept { return fence_; }
    bool told() const noexcept { return told_; }

    /// Called once where the lease is lost; at once where it already is.
    void when_lost(std::function<void()> call) {
        if (told_)
            return call();
        lost_calls_.push_back(std::move(call));
    }

protected:
    std::string const name_;
    lease_clock clock_;
    std::uint64_t fence_ = 0;
    bool told_ = false;
    std::vector<std::function<void()>> lost_calls_;
};

using held_ptr = boost::intrusive_ptr<held>;

} // namespace detail

/// A lock that is held, for as long as its time is renewed. Gives the lock back where it goes.
///
/// It is renewed every third of its time until it goes or is lost. It is lost where Redis says that it is nobody's or
/// another's, or where no renewal was heard of until shortly before its end: `on_lost` is then called, and what the
/// lock protects must stop. That a holder who was stopped, or whose clock stands still, cannot do that, no lock can
/// help: what must not be done twice has to compare fences.
///
/// May outlive its manager, and is then lost.
/// Thread safety: `valid`, `ends`, `fence` and `name` from any thread; all else only on the thread of the io_context.
class lease {
public:
    /// Of nothing; never valid.
    lease() = default;
    explicit lease(detail::held_ptr held) noexcept
        : held_(std::move(held)) {}
    lease(lease&& other) noexcept = default;
    lease& operator=(lease&& other) noexcept {
        if (this != &other) {
            release();
            held_ = std::move(other.held_);
        }
        return *this;
    }
    /// As `release`.
    ~lease() { release(); }

    /// Whether a lock was taken, and not given back; not whether it is still valid.
    explicit operator bool() const noexcept { return held_ != nullptr; }
    /// Whether the lock is surely still held. Asks nobody: a comparison with a clock that counts suspension, too.
    bool valid() const noexcept { return held_ && held_->clock().valid(boot_clock::now()); }
    /// When it will no longer be, unless renewed.
    time_point ends() const noexcept { return held_ ? held_->clock().ends() : time_point{}; }
    /// Grows with each grant of the lock, for ever: whoever is written to under the lock keeps the highest that he saw,
    /// and refuses what comes with a lower one. 0: no lock.
    std::uint64_t fence() const noexcept { return held_ ? held_->fence() : 0; }
    /// Precondition: a lock was taken.
    std::string const& name() const noexcept { return held_->name(); }
    /// Whether the loss was told. Then the lock is lost, or its end so near that work must stop.
    bool lost() const noexcept { return held_ && held_->told(); }

    /// Calls `call` once when the lease is lost, on the io_context's thread, unless it is given back before; at once
    /// where it is lost already. What it throws goes to `io_context::run`.
    void on_lost(std::function<void()> call) {
        if (held_)
            held_->when_lost(std::move(call));
    }

    /// Gives the lock back without waiting for the answer, tried again until its time is over. Never throws.
    void release() noexcept {
        if (auto const held = std::exchange(held_, nullptr))
            held->leave({});
    }

    /// Lets go of the lock without giving it back, and of its renewal: it lasts for the time that it was taken or last
    /// renewed for, unless it is renewed or given back by the text that is returned, with `script_calls`: for those who
    /// hold a lock over several requests or processes. Empty: it is lost, or over several masters, and was given back.
    /// Never throws but for want of memory. Precondition: nobody else has a handle of it.
    std::string detach() {
        auto text = held_ ? held_->detach() : std::string();
        release();
        return text;
    }

    /// Gives the lock back and completes `void(error_code)` with what came of it: no error, it was still held;
    /// `errc::lock_lost`, it was not; others of the client, it will be given back when Redis is reached, or its time is
    /// over. Not to be cancelled. Precondition: a lock was taken.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code)) Token>
    auto async_release(Token&& token) {
        return initiate(
            std::exchange(held_, nullptr),
            [](detail::held& of, detail::held::handler done) { of.leave(std::move(done)); },
            std::forward<Token>(token));
    }

    /// Renews it now. Completes `void(error_code)`; `errc::lock_lost`: it is not held any more. Any other error says
    /// nothing, and renewal goes on by itself. Not to be cancelled. Precondition: a lock was taken.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code)) Token>
    auto async_extend(Token&& token) {
        return initiate(
            held_, [](detail::held& of, detail::held::handler done) { of.extend(std::move(done)); },
            std::forward<Token>(token));
    }

    /// Stores `result` beside the lock for `keep`, 1 ms or longer, where `manager::async_result` finds it; in the place
    /// of an earlier one. Completes `void(error_code)`; `errc::lock_lost`: it is not held any more, and nothing was
    /// stored; `invalid_argument`: a lock over several masters has no such place. Not to be cancelled. Precondition: a
    /// lock was taken.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code)) Token>
    auto async_publish(std::string result, std::chrono::milliseconds keep, Token&& token) {
        return initiate(
            held_,
            [result = std::move(result), keep](detail::held& of, detail::held::handler done) mutable {
                of.publish(std::move(result), keep, std::move(done));
            },
            std::forward<Token>(token));
    }

private:
    template <class Call, class Token>
    static auto initiate(detail::held_ptr held, Call call, Token&& token) {
        return asio::async_initiate<Token, void(error_code)>(
            [](auto&& handler, detail::held_ptr const& of, Call what) {
                using handler_type = std::decay_t<decltype(handler)>;
                auto const executor = asio::get_associated_executor(handler, of->get_executor());
                auto const kept = std::make_shared<handler_type>(std::forward<decltype(handler)>(handler));
                auto const done = [kept, executor](error_code ec) {
                    asio::post(executor, [kept, ec] { std::move (*kept)(ec); });
                };
                what(*of, done);
            },
            token, std::move(held), std::move(call));
    }

    detail::held_ptr held_;
};

} // namespace weir::lock
