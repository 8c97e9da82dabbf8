#include "support/raw_redis.hpp"

#include <hiredis/hiredis.h>
#include <sys/time.h>

#include <csignal>
#include <ctime>
#include <stdexcept>
#include <vector>

namespace weir::test {
namespace {

/// hiredis would end the test by SIGPIPE where the server has ended the connection. The signal is held back, not
/// ignored: the client under test must do without.
class no_broken_pipe {
public:
    no_broken_pipe() {
        ::sigemptyset(&pipe_);
        ::sigaddset(&pipe_, SIGPIPE);
        ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
    }
    no_broken_pipe(no_broken_pipe const&) = delete;
    no_broken_pipe& operator=(no_broken_pipe const&) = delete;
    ~no_broken_pipe() {
        timespec const at_once{};
        while (::sigtimedwait(&pipe_, nullptr, &at_once) > 0) {
        }
        ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }

private:
    sigset_t pipe_, before_;
};

} // namespace

std::string text_of(redisReply const& reply) {
    switch (reply.type) {
    case REDIS_REPLY_INTEGER:
        return std::to_string(reply.integer);
    case REDIS_REPLY_NIL:
        return "(nil)";
    case REDIS_REPLY_ARRAY: {
        std::string lines;
        for (std::size_t i = 0; i < reply.elements; ++i)
            lines += text_of(*reply.element[i]) + '\n';
        return lines;
    }
    default:
        return {reply.str, static_cast<std::size_t>(reply.len)};
    }
}

void raw_redis::closer::operator()(redisContext* c) const noexcept { ::redisFree(c); }
void raw_redis::reply_deleter::operator()(redisReply* r) const noexcept { ::freeReplyObject(r); }

raw_redis::raw_redis(std::string const& socket_path)
    : context_(::redisConnectUnix(socket_path.c_str())) {
    if (!context_ || context_->err)
        throw std::runtime_error("connect to " + socket_path + ": " + (context_ ? context_->errstr : "out of memory"));
}

void raw_redis::append(std::span<std::string_view const> words) {
    std::vector<const char*> texts;
    std::vector<std::size_t> sizes;
    for (auto const& word : words) {
        texts.push_back(word.data());
        sizes.push_back(word.size());
    }
    ::redisAppendCommandArgv(context_.get(), static_cast<int>(texts.size()), texts.data(), sizes.data());
}

void raw_redis::append_encoded(std::string_view bytes) {
    ::redisAppendFormattedCommand(context_.get(), bytes.data(), bytes.size());
}

void raw_redis::flush() {
    no_broken_pipe const held_back;
    for (int done = 0; !done;)
        if (::redisBufferWrite(context_.get(), &done) != REDIS_OK)
            throw std::runtime_error(std::string("Redis: ") + context_->errstr);
}

raw_redis::reply raw_redis::next() {
    no_broken_pipe const held_back;
    void* got = nullptr;
    if (::redisGetReply(context_.get(), &got) != REDIS_OK)
        throw std::runtime_error(std::string("Redis: ") + context_->errstr);
    return reply{static_cast<redisReply*>(got)};
}

std::string raw_redis::command(std::span<std::string_view const> words) {
    append(words);
    return text_of(*next());
}

} // namespace weir::test
