#include "support/script_runner.hpp"

#include <weir/detail/lua_sources.hpp>

#include <gtest/gtest.h>
#include <hiredis/hiredis.h>

#include <array>
#include <stdexcept>

namespace weir::test {
std::string with_test_clock(std::string source) {
    std::string_view const line = "local time = call('TIME')\n";
    auto const at = source.find(line);
    if (at == std::string::npos)
        throw std::logic_error("a script has lost the line that reads the clock");
    return source.replace(at, line.size(), "local time = call('HMGET', 'clock', 's', 'us')\n");
}

namespace {

// With a thousand times the life for each key that it writes.
std::string with_long_lives(std::string const& source) {
    return R"(local server = redis
local redis = setmetatable({call = function(...)
  local words = {...}
  if words[1] == 'PSETEX' then words[3] = string.format('%d', words[3] * 1000) end
  return server.call(unpack(words))
end}, {__index = server})
)" + source;
}

} // namespace

script_runner::script_runner(std::string const& socket_path, lives how)
    : script_("rate_check_with_test_clock", how == lives::prolonged ? with_long_lives(with_test_clock(lua::rate_check))
                                                                    : with_test_clock(lua::rate_check))
    , refund_("rate_refund_with_test_clock", with_test_clock(lua::rate_refund))
    , wait_("rate_wait_with_test_clock", with_test_clock(lua::rate_wait))
    , context_(socket_path) {
    for (auto const* each : {&script_, &refund_, &wait_})
        if (command({"SCRIPT", "LOAD", each->source()}) != each->sha1())
            throw std::runtime_error("the server knows the script under another digest");
}

void script_runner::send(std::chrono::microseconds now) {
    auto const seconds = std::to_string(now.count() / 1'000'000);
    auto const rest = std::to_string(now.count() % 1'000'000);
    context_.append(std::array<std::string_view, 6>{"HSET", "clock", "s", seconds, "us", rest});
    context_.append_encoded(encoded_.payload());
}

void script_runner::ask(std::chrono::microseconds now, check_request const& request, check_request::form how) {
    request.encode(encoded_, how, script_);
    send(now);
}

void script_runner::ask(std::chrono::microseconds now, check_batch& batch) {
    batch.encode(encoded_, script_);
    send(now);
}

void script_runner::ask_back(std::chrono::microseconds now, check_request const& request,
                             std::optional<std::int64_t> receipt) {
    request.encode_refund(encoded_, std::nullopt, receipt, refund_);
    send(now);
}

void script_runner::ask_place(std::chrono::microseconds now, check_request const& request,
                              check_request::wait_form const& how) {
    request.encode_wait(encoded_, how, wait_);
    send(now);
}

std::vector<std::int64_t> script_runner::read() {
    context_.next();
    auto const reply = context_.next();
    std::vector<std::int64_t> numbers;
    if (reply->type == REDIS_REPLY_INTEGER)
        numbers.push_back(reply->integer);
    else if (reply->type == REDIS_REPLY_ARRAY)
        for (std::size_t i = 0; i < reply->elements; ++i)
            numbers.push_back(reply->element[i]->integer);
    else if (reply->type == REDIS_REPLY_STRING && reply->len == 33 && reply->str[0] == '\x80')
        for (std::size_t i = 1; i < reply->len; i += 8) {
            std::uint64_t value = 0;
            for (std::size_t k = i; k < i + 8; ++k)
                value = value << 8 | static_cast<unsigned char>(reply->str[k]);
            numbers.push_back(static_cast<std::int64_t>(value));
        }
    else
        ADD_FAILURE() << "reply of type " << reply->type << ": " << std::string(reply->str, reply->len);
    return numbers;
}

check_request request_of(std::vector<charge> const& charges, std::string_view request_id) {
    check_request request;
    auto const ec = request.assign(charges, "", key_layout::standalone, request_id);
    EXPECT_FALSE(ec) << ec.message();
    return request;
}

} // namespace weir::test
