#pragma once

#include <weir/redis/reply.hpp>

#include <memory>

struct redisReader;

namespace weir::redis {

/// The replies of one connection, parsed by hiredis' reader straight into sinks. RESP2 only.
///
/// Feed bytes in whatever pieces they come, at most `max_slice` at a time, and call `next` until it wants more. After
/// `broken` the parser is of no further use: drop the connection. Thread safety: unsafe.
class parser {
public:
    enum class event {
        /// All that was fed is consumed, and the reply under way, if any, is incomplete.
        need_more,
        /// A reply is complete and in the sink.
        reply,
        /// An error reply is complete: `error_text()` has its words; the sink was not called.
        error_reply,
        /// The bytes are not RESP2, arrays are nested deeper than 8, or the reply exceeds the limit: `error_text()`.
        broken,
    };

    /// What the reader takes at once without moving its buffer about more than its bytes are worth.
    static constexpr std::size_t max_slice = 4096;

    /// `max_reply_bytes`: how long one reply may be on the wire.
    WEIR_DECL explicit parser(std::size_t max_reply_bytes);
    parser(parser const&) = delete;
    parser& operator=(parser const&) = delete;
    WEIR_DECL ~parser();

    /// Precondition: `next` returned `need_more`, or nothing was fed yet.
    WEIR_DECL void feed(std::string_view slice);

    /// Goes on with the reply under way, into `sink`, or into nothing where it is null. The sink may change to null
    /// in the middle of a reply, when nobody waits for the rest.
    WEIR_DECL event next(reply_sink* sink);

    std::string const& error_text() const noexcept { return error_text_; }

private:
    struct callbacks;
    struct free_reader {
        WEIR_DECL void operator()(redisReader* reader) const noexcept;
    };

    std::unique_ptr<redisReader, free_reader> reader_;
    std::size_t max_reply_bytes_;
    // Counted over the life of the connection.
    std::uint64_t fed_ = 0;
    std::uint64_t reply_start_ = 0;
    reply_sink* sink_ = nullptr;
    bool is_error_ = false;
    std::string error_text_;
};

} // namespace weir::redis

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/parser.ipp>
#endif
