#pragma once

#include <weir/error.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weir::redis {

/// What takes the reply of one command while it is parsed; derive from it, or use one of those below.
///
/// The calls for one reply are: `begin`, then its elements in the order of the wire, each with its `depth` (0 the reply
/// itself, 1 the elements of its array, and so on to 8), then `finish`. An error reply is `begin`, `on_error` with
/// depth 0, and no `finish`: the operation then completes with the `errc` of the error. A reply abandoned by a
/// cancellation or a deadline ends without `finish`. Texts are valid during the call alone.
/// Thread safety: called on the client's thread alone.
class reply_sink {
public:
    virtual void begin() = 0;
    virtual void on_integer(std::int64_t value, int depth) = 0;
    /// A bulk string or a status.
    virtual void on_string(std::string_view text, int depth) = 0;
    /// An array of `size` elements, which follow with `depth + 1`.
    virtual void on_array(std::size_t size, int depth) = 0;
    virtual void on_nil(int depth) = 0;
    /// An error, as the server words it, without the leading `-`.
    virtual void on_error(std::string_view text, int depth) = 0;
    /// Judges the whole: `errc::unexpected_reply` where it has not the shape that the caller expects. What it returns
    /// is what the operation completes with.
    virtual error_code finish() = 0;

protected:
    reply_sink() = default;
    reply_sink(reply_sink const&) = default;
    reply_sink& operator=(reply_sink const&) = default;
    ~reply_sink() = default;
};

/// Takes a reply of integers into memory of its own, on the stack.
class int_sink_base : public reply_sink {
public:
    /// How many integers came: 1 for a lone integer.
    std::size_t size() const noexcept { return size_; }
    /// Precondition: `i` < `size()`.
    std::int64_t operator[](std::size_t i) const noexcept { return values_[i]; }
    std::span<std::int64_t const> integers() const noexcept { return {values_, size_}; }

    WEIR_DECL void begin() final;
    WEIR_DECL void on_integer(std::int64_t value, int depth) final;
    WEIR_DECL void on_string(std::string_view text, int depth) final;
    WEIR_DECL void on_array(std::size_t size, int depth) final;
    WEIR_DECL void on_nil(int depth) final;
    WEIR_DECL void on_error(std::string_view text, int depth) final;
    WEIR_DECL error_code finish() final;

protected:
    int_sink_base(std::int64_t* values, std::size_t capacity, std::size_t exact) noexcept
        : values_(values)
        , capacity_(capacity)
        , exact_(exact) {}
    int_sink_base(int_sink_base const&) = delete;
    int_sink_base& operator=(int_sink_base const&) = delete;
    ~int_sink_base() = default;

private:
    std::int64_t* values_;
    std::size_t capacity_;
    std::size_t exact_;
    std::size_t size_ = 0;
    bool wrong_ = false;
};

namespace detail {
// A base, so that it is there before int_sink_base points into it.
template <std::size_t N>
struct int_storage {
    std::array<std::int64_t, N> values{};
};
} // namespace detail

/// One integer, or an array of up to `N` integers; anything else is `errc::unexpected_reply`.
template <std::size_t N>
// NOLINTNEXTLINE(cppcoreguidelines-virtual-class-destructor): final
class int_sink final : private detail::int_storage<N>, public int_sink_base {
public:
    /// Where `exact` is given, any other number of integers is `errc::unexpected_reply`.
    explicit int_sink(std::size_t exact = 0) noexcept
        : int_sink_base(detail::int_storage<N>::values.data(), N, exact) {}
};

/// Drops whatever comes; an error reply still fails the operation.
class ignore_sink final : public reply_sink { // NOLINT(cppcoreguidelines-virtual-class-destructor): final
public:
    void begin() override {}
    void on_integer(std::int64_t, int) override {}
    void on_string(std::string_view, int) override {}
    void on_array(std::size_t, int) override {}
    void on_nil(int) override {}
    void on_error(std::string_view, int) override {}
    error_code finish() override { return {}; }
};

/// One bulk string, one status, or nil; anything else is `errc::unexpected_reply`. Keeps its memory between replies.
class string_sink final : public reply_sink { // NOLINT(cppcoreguidelines-virtual-class-destructor): final
public:
    /// False where the reply was nil.
    bool has_value() const noexcept { return has_value_; }
    std::string const& value() const noexcept { return value_; }
    /// The server's words where the operation failed with an error reply; empty otherwise.
    std::string const& error_text() const noexcept { return error_text_; }

    WEIR_DECL void begin() override;
    WEIR_DECL void on_integer(std::int64_t value, int depth) override;
    WEIR_DECL void on_string(std::string_view text, int depth) override;
    WEIR_DECL void on_array(std::size_t size, int depth) override;
    WEIR_DECL void on_nil(int depth) override;
    WEIR_DECL void on_error(std::string_view text, int depth) override;
    WEIR_DECL error_code finish() override;

private:
    std::string value_;
    std::string error_text_;
    bool has_value_ = false;
    bool wrong_ = false;
};

/// Any reply: its elements in the order of the wire (an array before its elements), their texts in one block. Keeps
/// its memory between replies, so that a reused one allocates nothing in the steady state.
class flat_reply final : public reply_sink { // NOLINT(cppcoreguidelines-virtual-class-destructor): final
public:
    enum class type : std::uint8_t { nil, integer, string, array, error };

    struct node {
        flat_reply::type type;
        std::uint8_t depth;
        /// The integer's value; the array's number of elements; the text's offset in the block.
        std::int64_t value;
        std::size_t length;
    };

    std::vector<node> const& nodes() const noexcept { return nodes_; }
    /// The text of a string or error; empty for other nodes. Valid until the next reply.
    WEIR_DECL std::string_view text(node const& of) const noexcept;

    WEIR_DECL void begin() override;
    WEIR_DECL void on_integer(std::int64_t value, int depth) override;
    WEIR_DECL void on_string(std::string_view text, int depth) override;
    WEIR_DECL void on_array(std::size_t size, int depth) override;
    WEIR_DECL void on_nil(int depth) override;
    WEIR_DECL void on_error(std::string_view text, int depth) override;
    error_code finish() override { return {}; }

private:
    WEIR_DECL void add_text(type what, std::string_view text, int depth);

    std::vector<node> nodes_;
    std::string texts_;
};

} // namespace weir::redis

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/reply.ipp>
#endif
