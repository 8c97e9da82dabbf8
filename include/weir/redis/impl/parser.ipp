#pragma once

#include <weir/redis/parser.hpp>

#include <hiredis/read.h>

#include <new>

namespace weir::redis {

// What hiredis calls for each element. A null result would be "out of memory" for ever, so that any non-null pointer
// stands for "taken"; the elements themselves are in the sink.
struct parser::callbacks {
    static parser& self(redisReadTask const* task) { return *static_cast<parser*>(task->privdata); }

    // hiredis keeps its stack of nested arrays in one C array.
    static int depth(parser const& in, redisReadTask const* task) {
        return static_cast<int>(task - in.reader_->rstack);
    }

    // A sink may run out of memory; an exception must not travel through C.
    template <class Call>
    static void* deliver(redisReadTask const* task, Call&& call) noexcept {
        auto& to = self(task);
        if (!to.sink_)
            return &to;
        try {
            auto const level = depth(to, task);
            if (level == 0)
                to.sink_->begin();
            call(*to.sink_, level);
            return &to;
        } catch (...) {
            return nullptr;
        }
    }

    static void* on_string(redisReadTask const* task, char* text, std::size_t size) noexcept {
        auto& to = self(task);
        std::string_view const view{text, size};
        if (task->type != REDIS_REPLY_ERROR)
            return deliver(task, [view](reply_sink& sink, int level) { sink.on_string(view, level); });
        if (depth(to, task) > 0)
            return deliver(task, [view](reply_sink& sink, int level) { sink.on_error(view, level); });
        to.is_error_ = true;
        to.error_text_ = view;
        return &to;
    }

    static void* on_array(redisReadTask const* task, int size) noexcept {
        return deliver(task,
                       [size](reply_sink& sink, int level) { sink.on_array(static_cast<std::size_t>(size), level); });
    }

    static void* on_integer(redisReadTask const* task, long long value) noexcept {
        return deliver(task, [value](reply_sink& sink, int level) { sink.on_integer(value, level); });
    }

    static void* on_nil(redisReadTask const* task) noexcept {
        return deliver(task, [](reply_sink& sink, int level) { sink.on_nil(level); });
    }

    static redisReplyObjectFunctions* table() noexcept {
        static redisReplyObjectFunctions functions{on_string, on_array, on_integer, on_nil, nullptr};
        return &functions;
    }
};

WEIR_DECL void parser::free_reader::operator()(redisReader* reader) const noexcept { ::redisReaderFree(reader); }

WEIR_DECL parser::parser(std::size_t max_reply_bytes)
    : reader_(::redisReaderCreateWithFunctions(callbacks::table()))
    , max_reply_bytes_(max_reply_bytes) {
    if (!reader_)
        throw std::bad_alloc();
    reader_->privdata = this;
}

WEIR_DECL parser::~parser() = default;

WEIR_DECL void parser::feed(std::string_view slice) {
    fed_ += slice.size();
    ::redisReaderFeed(reader_.get(), slice.data(), slice.size());
}

WEIR_DECL parser::event parser::next(reply_sink* sink) {
    sink_ = sink;
    void* done = nullptr;
    if (::redisReaderGetReply(reader_.get(), &done) != REDIS_OK) {
        error_text_ = reader_->errstr;
        return event::broken;
    }
    auto const unparsed = reader_->len - reader_->pos;
    if (done) {
        reply_start_ = fed_ - unparsed;
        return std::exchange(is_error_, false) ? event::error_reply : event::reply;
    }
    if (fed_ - reply_start_ > max_reply_bytes_) {
        error_text_ = "a reply is longer than the " + std::to_string(max_reply_bytes_) + " bytes allowed";
        return event::broken;
    }
    return event::need_more;
}

} // namespace weir::redis
