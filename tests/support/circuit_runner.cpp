#include "support/circuit_runner.hpp"

#include "support/script_runner.hpp"

#include <gtest/gtest.h>
#include <hiredis/hiredis.h>

#include <array>
#include <stdexcept>

namespace weir::test {
circuit_runner::circuit_runner(std::string const& socket_path)
    : report_("circuit_report_with_test_clock", with_test_clock(circuit::report_script().source()))
    , probe_("circuit_probe_with_test_clock", with_test_clock(circuit::probe_script().source()))
    , override_("circuit_override_with_test_clock", with_test_clock(circuit::override_script().source()))
    , context_(socket_path)
    , subscribed_(socket_path) {
    for (auto const* each : {&report_, &probe_, &override_})
        if (auto const said = command({"SCRIPT", "LOAD", each->source()}); said != each->sha1())
            throw std::runtime_error(each->name() + ": " + said);
    subscribed_.command(std::array<std::string_view, 2>{"PSUBSCRIBE", "*circuit:*"});
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
    context_.append(std::array<std::string_view, 6>{"HSET", "clock", "s", seconds, "us", rest});
    context_.append_encoded(encoded_.payload());
    context_.next();
    auto const reply = context_.next();
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
    subscribed_.append(std::array<std::string_view, 1>{"PING"});
    std::vector<std::string> all;
    for (;;) {
        auto const reply = subscribed_.next();
        if (reply->type != REDIS_REPLY_ARRAY || std::string_view(reply->element[0]->str) != "pmessage")
            return all;
        all.emplace_back(reply->element[3]->str, reply->element[3]->len);
    }
}

} // namespace weir::test
