#pragma once

#include <weir/clock.hpp>

#include <boost/intrusive/list.hpp>

#include <chrono>
#include <cstdint>
#include <vector>

namespace weir::proxy {

/// Coarse deadlines for many sockets: one timer advances the wheel, and setting a deadline is two stores.
///
/// An entry stays in the slot it was armed for when its deadline moves later, and moves on when that slot comes up;
/// it is relinked at once only when the deadline moves earlier. So the deadlines that every request sets and clears
/// cost nothing but their own memory. Fires between zero and two ticks late, never early.
///
/// Time is an argument. Thread safety: distinct objects: safe; shared objects: unsafe.
class deadline_wheel {
    using hook = boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

public:
    static constexpr std::chrono::milliseconds tick{100};

    /// What has a deadline. Leaves the wheel by itself when it is destroyed.
    class entry : public hook {
    public:
        /// Takes the deadline away.
        void never() noexcept { due_ = none; }
        bool armed() const noexcept { return due_ != none; }

    protected:
        entry() = default;
        entry(entry const&) = delete;
        entry& operator=(entry const&) = delete;
        ~entry() = default;

        /// Called once when the deadline has passed; it is cleared before. May destroy any entry, this one included.
        virtual void on_deadline() = 0;

    private:
        friend class deadline_wheel;
        static constexpr std::uint64_t none = ~std::uint64_t{0};

        std::uint64_t due_ = none;
        std::uint64_t slot_ = none;
    };

    explicit deadline_wheel(boot_clock::time_point now);
    deadline_wheel(deadline_wheel const&) = delete;
    deadline_wheel& operator=(deadline_wheel const&) = delete;

    /// Sets or moves the deadline of `e` to `after` from now, where now is what move_to() was last told.
    void expires_after(entry& e, std::chrono::nanoseconds after);

    /// Now is `now`. Calls nothing: what is found done before fire() may still move its deadline.
    void move_to(boot_clock::time_point now);
    /// Calls on_deadline() of every entry whose deadline lies at or before now.
    void fire();

private:
    using slot =
        boost::intrusive::list<entry, boost::intrusive::base_hook<hook>, boost::intrusive::constant_time_size<false>>;
    static constexpr std::size_t slot_count = 1024;

    void link(entry& e);

    boot_clock::time_point start_;
    std::uint64_t now_ = 0;
    std::vector<slot> slots_{slot_count};
    /// Of the slots that now has passed.
    slot passed_;
};

} // namespace weir::proxy
