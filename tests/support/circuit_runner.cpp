#include "support/circuit_runner.hpp"

#include "support/script_runner.hpp"

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

redisContext* connect(std::string const& path) {
    auto* const made = redisConnectUnix(path.c_str());
    if (!made || made->err)
        throw std::runtime_error("cannot connect to " + path);
    return made;
}

std::string text_of(redisReply const& r) {
    if (r.type == REDIS_REPLY_INTEGER)
        return std::to_string(r.integer);
    return r.type == REDIS_REPLY_NIL ? "(nil)" : std::string(r.str, r.len);
}

} // namespace

void circuit_runner::closer::operator()(redisContext* c) const noexcept { redisFree(c); }

circuit_runner::circuit_runner(std::string const& socket_path)
    : report_("circuit_report_with_test_clock", with_test_clock(circuit::report_script().source()))
    , probe_("circuit_probe_with_test_clock", with_test_clock(circuit::probe_script().source()))
    , override_("circuit_override_with_test_clock", with_test_clock(circuit::override_script().source()))
    , context_(connect(socket_path))
    , subscribed_(connect(socket_path)) {
    for (auto const* each : {&report_, &probe_, &override_})
        if (auto const said = command({"SCRIPT", "LOAD", each->source()}); said != each->sha1())
            throw std::runtime_error(each->name() + ": " + said);
    redisAppendCommand(subscribed_.get(), "PSUBSCRIBE *circuit:*");
    next(subscribed_.get());
}

circuit::script_answer circuit_runner::run(circuit::script_calls const& calls, circuit::caller const& who,
                                           circuit::report const& what) {
    calls.encode(encoded_, who, what, report_);
    return send();
}

circuit::script_answer circuit_runner::run(circuit::script_calls const& calls, circuit::caller const& who,
                                           circuit::probe const& what) {
    calls.encode(encoded_, who, what, probe_);
    return send();
}

circuit::script_answer circuit_runner::run(circuit::script_calls const& calls, circuit::override_request const& what) {
    calls.encode(encoded_, what, override_);
    return send();
}

circuit::script_answer circuit_runner::send() {
    auto const seconds = std::to_string(now_.count() / 1'000'000), rest = std::to_string(now_.count() % 1'000'000);
    redisAppendCommand(context_.get(), "HSET clock s %s us %s", seconds.c_str(), rest.c_str());
    redisAppendFormattedCommand(context_.get(), encoded_.payload().data(), encoded_.payload().size());
    next(context_.get());
    auto const reply = next(context_.get());
    if (reply->type != REDIS_REPLY_ARRAY)
        throw std::runtime_error("the script says: " + text_of(*reply));
    circuit::script_reply sink;
    sink.begin();
    sink.on_array(reply->elements, 0);
    for (std::size_t i = 0; i < reply->elements; ++i)
        sink.on_integer(reply->element[i]->integer, 1);
    auto const answer = sink.finish() ? std::nullopt : circuit::read_reply(sink);
    if (!answer)
        throw std::runtime_error("a reply of another shape");
    return *answer;
}

std::vector<std::string> circuit_runner::heard() {
    // What was published before is written to this connection before the answer to the PING.
    redisAppendCommand(subscribed_.get(), "PING");
    std::vector<std::string> all;
    for (;;) {
        auto const reply = next(subscribed_.get());
        if (reply->type != REDIS_REPLY_ARRAY || std::string_view(reply->element[0]->str) != "pmessage")
            return all;
        all.emplace_back(reply->element[3]->str, reply->element[3]->len);
    }
}

std::string circuit_runner::command(std::vector<std::string> const& words) {
    std::vector<const char*> texts;
    std::vector<std::size_t> sizes;
    for (auto const& word : words) {
        texts.push_back(word.data());
        sizes.push_back(word.size());
    }
    redisAppendCommandArgv(context_.get(), static_cast<int>(texts.size()), texts.data(), sizes.data());
    return text_of(*next(context_.get()));
}

} // namespace weir::test
