#pragma once

#include <weir/lock/detail/held_lock.hpp>
#include <weir/lock/manager.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

namespace weir::lock::detail {

/// What the locks of a manager share. Owned by shared pointers, of which each lock holds one.
class manager_state final : public std::enable_shared_from_this<manager_state>,
                            public lock_source,
                            private redis::listener {
public:
    WEIR_DECL manager_state(redis::client& client, manager_options options);

    WEIR_DECL void listen(redis::subscriber& news);
    WEIR_DECL cancellable* start(std::string_view name, lock_options const& how, portion what,
                                 std::shared_ptr<acquire_waiter> waiter) override;
    WEIR_DECL void read_result(std::string_view name, std::function<void(error_code, std::optional<published>)> done);
    WEIR_DECL void break_open(std::string_view name, std::function<void(error_code, std::int64_t)> done);
    WEIR_DECL void settle(bool extends, std::string_view name, holding const& of,
                          std::function<void(error_code, bool)> done);
    WEIR_DECL void close() noexcept;

    bool closed() const noexcept { return closed_; }
    redis::client& client() noexcept { return *client_; }
    /// Where waiting for replicas holds up nobody else.
    WEIR_DECL redis::client& durable_client();
    asio::io_context::executor_type get_executor() const noexcept override { return executor_; }
    manager_options const& options() const noexcept { return options_; }
    std::string const& id() const noexcept { return id_; }
    WEIR_DECL key_layout layout() const noexcept;

    std::uint64_t known_fence() const noexcept { return known_fence_; }
    void note_fence(std::uint64_t seen) noexcept { known_fence_ = std::max(known_fence_, seen); }

    /// Another handle of what this owner holds, or null.
    WEIR_DECL held_lock* held_by(std::string_view name, lock_options const& how, portion what);
    WEIR_DECL void own(held_lock& lock);
    WEIR_DECL void disown(held_lock& lock) noexcept;
    WEIR_DECL void forget(held_lock& lock) noexcept;

    manager_statistics& counts() noexcept { return counts_; }

private:
    WEIR_DECL void on_message(redis::message const& what) noexcept override;
    WEIR_DECL void on_gap() noexcept override;
    WEIR_DECL std::string next_token();
    WEIR_DECL held_lock_ptr find(std::string_view token) const;

    asio::io_context::executor_type executor_;
    redis::client* client_;
    manager_options options_;
    std::string id_;
    std::uint64_t random_;
    std::uint64_t known_fence_ = 0;
    // By the second half of their tokens.
    std::unordered_map<std::uint64_t, held_lock*> live_;
    std::map<std::pair<std::string, void const*>, held_lock*> owned_;
    std::optional<redis::client> durable_;
    redis::subscription subscription_;
    manager_statistics counts_;
    bool closed_ = false;
};

/// 16 lower-case hexadecimal digits.
inline void append_hex(std::string& out, std::uint64_t value) {
    for (int shift = 60; shift >= 0; shift -= 4)
        out += "0123456789abcdef"[value >> shift & 15];
}

} // namespace weir::lock::detail
