#include "support/script_runner.hpp"

#include <weir/detail/lua_sources.hpp>

#include <gtest/gtest.h>
#include <hiredis/hiredis.h>

#include <stdexcept>

namespace weir::test {
namespace {

struct reply_deleter {
    void operator()(redisReply* r) const noexcept { freeReplyObject(r); }
};
using reply_ptr = std::unique_ptr<redisReply, reply_deleter>;

reply_ptr next(redisContext* context) {
    void* reply = nullptr;
    if (redisGetReply(context, &reply) != REDIS_OK)
        throw std::runtime_error(std::string{"Redis: "} + context->errstr);
    return reply_ptr{static_cast<redisReply*>(reply)};
}

} // namespace

std::string with_test_clock(std::string source) {
    std::string_view const line = "local time = call('TIME')\n";
    auto const at = source.find(line);
    if (at == std::string::npos)
        throw std::logic_error("a script has lost the line that reads the clock");
    return source.replace(at, line.size(), "local time = call('HMGET', 'clock', 's', 'us')\n");
}

void script_runner::closer::operator()(redisContext* c) const noexcept { redisFree(c); }

script_runner::script_runner(std::string const& socket_path)
    : script_("rate_check_with_test_clock", with_test_clock(lua::rate_check))
    , refund_("rate_refund_with_test_clock", with_test_clock(lua::rate_refund))
    , wait_("rate_wait_with_test_clock", with_test_clock(lua::rate_wait))
    , context_(redisConnectUnix(socket_path.c_str())) {
    if (!context_ || context_->err)
        throw std::runtime_error("cannot connect to " + socket_path);
    for (auto const* each : {&script_, &refund_, &wait_})
        if (command({"SCRIPT", "LOAD", each->source()}) != each->sha1())
            throw std::runtime_error("the server knows the script under another digest");
}

void script_runner::set_clock(std::chrono::microseconds now) {
    auto const seconds = std::to_string(now.count() / 1'000'000);
    auto const rest = std::to_string(now.count() % 1'000'000);
    redisAppendCommand(context_.get(), "HSET clock s %s us %s", seconds.c_str(), rest.c_str());
}

void script_runner::ask(std::chrono::microseconds now, check_request const& request, check_request::form how) {
    set_clock(now);
    request.encode(encoded_, how, script_);
    redisAppendFormattedCommand(context_.get(), encoded_.payload().data(), encoded_.payload().size());
}

void script_runner::ask_back(std::chrono::microseconds now, check_request const& request,
                             std::optional<std::int64_t> receipt) {
    set_clock(now);
    request.encode_refund(encoded_, std::nullopt, receipt, refund_);
    redisAppendFormattedCommand(context_.get(), encoded_.payload().data(), encoded_.payload().size());
}

void script_runner::ask_place(std::chrono::microseconds now, check_request const& request,
                              std::chrono::microseconds longest) {
    set_clock(now);
    request.encode_wait(encoded_, longest, wait_);
    redisAppendFormattedCommand(context_.get(), encoded_.payload().data(), encoded_.payload().size());
}

std::vector<std::int64_t> script_runner::read() {
    next(context_.get());
    auto const reply = next(context_.get());
    std::vector<std::int64_t> numbers;
    if (reply->type == REDIS_REPLY_INTEGER)
        numbers.push_back(reply->integer);
    else if (reply->type == REDIS_REPLY_ARRAY)
        for (std::size_t i = 0; i < reply->elements; ++i)
            numbers.push_back(reply->element[i]->integer);
    else
        ADD_FAILURE() << "reply of type " << reply->type << ": " << std::string(reply->str, reply->len);
    return numbers;
}

std::string script_runner::command(std::vector<std::string> const& words) {
    std::vector<const char*> texts;
    std::vector<std::size_t> sizes;
    for (auto const& word : words) {
        texts.push_back(word.data());
        sizes.push_back(word.size());
    }
    redisAppendCommandArgv(context_.get(), static_cast<int>(texts.size()), texts.data(), sizes.data());
    auto const reply = next(context_.get());
    return reply->type == REDIS_REPLY_INTEGER ? std::to_string(reply->integer) : std::string(reply->str, reply->len);
}

check_request request_of(std::vector<charge> const& charges, std::string_view request_id) {
    check_request request;
    auto const ec = request.assign(charges, "", key_layout::standalone, request_id);
    EXPECT_FALSE(ec) << ec.message();
    return request;
}

} // namespace weir::test
