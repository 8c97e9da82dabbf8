#pragma once

#include <weir/key.hpp>
#include <weir/lock/script.hpp>
#include <weir/redis/reply.hpp>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// A lock as Redis keeps it, for people: what the command line and the admin API say of it.
namespace weir::admin {

/// Who holds a lock, or waits for it.
struct lock_party {
    lock::member who;
    /// By the server's clock, in microseconds: when his time is over; of one who waits, when he came.
    std::int64_t at = 0;
};

struct lock_record {
    std::vector<lock_party> holders, waiters;
};

/// How the keys of locks are made of their names, which they spell as `append_key_part` does.
class lock_keys {
public:
    lock_keys(std::string_view prefix, key_layout layout);

    /// What all of them begin with.
    std::string const& begin() const noexcept { return begin_; }
    /// The name in a key of that beginning, of who holds a lock or waits for it; empty where it tells neither.
    std::string_view name_in(std::string_view key) const noexcept;
    /// Where it is said who holds the lock of that name.
    std::string holders_of(std::string_view name) const { return begin_ + std::string(name) + end_; }
    /// Where it is said who waits for it.
    std::string waiters_of(std::string_view name) const { return holders_of(name) + "#queue"; }

private:
    std::string begin_, end_;
};

/// The members in the answers to ZRANGE WITHSCORES. Of those who hold it, only whose time is not over at `now`.
std::vector<lock_party> read_lock_holders(redis::flat_reply const& reply, std::int64_t now);
std::vector<lock_party> read_lock_waiters(redis::flat_reply const& reply);

/// All of it; `now` is the server's time in microseconds.
nlohmann::ordered_json lock_json(std::string const& name, lock_record const& of, std::int64_t now);

} // namespace weir::admin
