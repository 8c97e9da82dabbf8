#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <type_traits>
#include <utility>
#include <vector>

namespace weir::test {

/// One end of a connection between a test and a process that it forked. Not for several threads.
class process_link {
public:
    explicit process_link(int socket) noexcept
        : socket_(socket) {}
    process_link(process_link&& other) noexcept
        : socket_(std::exchange(other.socket_, -1)) {}
    process_link& operator=(process_link&&) = delete;
    ~process_link();

    /// Throws std::runtime_error where the other end is gone; get() also where it ends before it wrote as much.
    template <class Value>
    void put(Value const& value) {
        static_assert(std::is_trivially_copyable_v<Value>);
        write(&value, sizeof value);
    }
    template <class Value>
    void put(std::vector<Value> const& values) {
        static_assert(std::is_trivially_copyable_v<Value>);
        put(values.size());
        write(values.data(), values.size() * sizeof(Value));
    }
    template <class Value>
    Value get() {
        static_assert(std::is_trivially_copyable_v<Value>);
        Value value;
        read(&value, sizeof value);
        return value;
    }
    template <class Value>
    std::vector<Value> get_all() {
        std::vector<Value> values(get<std::size_t>());
        read(values.data(), values.size() * sizeof(Value));
        return values;
    }

private:
    void write(void const* bytes, std::size_t size);
    void read(void* bytes, std::size_t size);

    int socket_;
};

/// A copy of this process that runs `body` and ends: by 0, or by 1 where it throws or an expectation failed there.
/// To be started while this process has no other thread.
class forked_process {
public:
    explicit forked_process(std::function<void(process_link&)> const& body);
    forked_process(forked_process&& other) noexcept
        : link_(std::move(other.link_))
        , pid_(std::exchange(other.pid_, -1)) {}
    forked_process& operator=(forked_process&&) = delete;
    /// Kills it where it still runs.
    ~forked_process();

    process_link& link() noexcept { return link_; }
    /// Waits for its end; whether all was well with it.
    bool wait();

private:
    using started = std::pair<process_link, pid_t>;
    static started start(std::function<void(process_link&)> const& body);
    explicit forked_process(started what)
        : link_(std::move(what.first))
        , pid_(what.second) {}

    process_link link_;
    pid_t pid_;
};

} // namespace weir::test
