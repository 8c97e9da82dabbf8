#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

struct redisContext;
struct redisReply;

namespace weir::test {

/// A connection to a redis-server through hiredis, so that what is tested does not test itself. Throws
/// std::runtime_error where the server cannot be reached or ends the connection.
class raw_redis {
public:
    explicit raw_redis(std::string const& socket_path);

    struct reply_deleter {
        void operator()(redisReply* r) const noexcept;
    };
    using reply = std::unique_ptr<redisReply, reply_deleter>;

    /// Adds a command to what is sent with the next read; the replies come in the same order.
    void append(std::span<std::string_view const> words);
    /// The same, of one that is encoded already.
    void append_encoded(std::string_view bytes);
    /// Sends without waiting for an answer.
    void flush();
    reply next();

    /// One command and its answer as text: `(nil)` for none, a line an element of an array, the message of an error.
    std::string command(std::span<std::string_view const> words);

private:
    struct closer {
        void operator()(redisContext* c) const noexcept;
    };
    std::unique_ptr<redisContext, closer> context_;
};

std::string text_of(redisReply const& reply);

} // namespace weir::test
