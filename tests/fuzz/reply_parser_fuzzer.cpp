// Replies from a server that has gone mad, cut where the fuzzer likes, while operations come, expire, are cancelled and
// the connection breaks. Whatever comes: every operation completes exactly once, nothing is left over, and where the
// bytes are cut makes no difference.
#include <weir/redis/pipeline.hpp>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

namespace {

using namespace weir;
using redis::flat_reply;
using redis::parser;
using redis::pipeline;

constexpr std::size_t max_reply_bytes = 1 << 16;

void require(bool holds) {
    if (!holds)
        std::abort();
}

class input {
public:
    input(std::uint8_t const* data, std::size_t size)
        : rest_(reinterpret_cast<char const*>(data), size) {}
    bool empty() const { return rest_.empty(); }
    std::uint8_t byte() {
        if (rest_.empty())
            return 0;
        auto const first = static_cast<std::uint8_t>(rest_.front());
        rest_.remove_prefix(1);
        return first;
    }
    std::string_view bytes(std::size_t n) {
        auto const taken = rest_.substr(0, n);
        rest_.remove_prefix(taken.size());
        return taken;
    }

private:
    std::string_view rest_;
};

// All replies as text, and whether the parser gave up.
struct transcript {
    std::string text;
    bool broken = false;

    void take(parser& from, flat_reply& reply, std::string_view bytes) {
        while (!bytes.empty() && !broken) {
            auto const slice = bytes.substr(0, parser::max_slice);
            bytes.remove_prefix(slice.size());
            from.feed(slice);
            for (auto what = from.next(&reply); what != parser::event::need_more; what = from.next(&reply)) {
                if (what == parser::event::broken) {
                    broken = true;
                    return;
                }
                text += what == parser::event::error_reply ? '!' + from.error_text() + '\n' : text_of(reply);
            }
        }
    }

    static std::string text_of(flat_reply const& reply) {
        std::string result;
        for (auto const& node : reply.nodes()) {
            require(node.depth <= 8);
            result += std::to_string(node.depth) + ',' + std::to_string(static_cast<int>(node.type)) + ',' +
                      std::string(reply.text(node)) + ',';
            if (node.type == flat_reply::type::integer || node.type == flat_reply::type::array)
                result += std::to_string(node.value);
            result += ' ';
        }
        return result + '\n';
    }
};

void cuts_make_no_difference(input in) {
    parser whole(max_reply_bytes), cut(max_reply_bytes);
    flat_reply whole_reply, cut_reply;
    transcript whole_text, cut_text;
    std::string all;
    while (!in.empty() && !cut_text.broken) {
        auto const piece = in.bytes(1 + in.byte() % 32);
        all += piece;
        cut_text.take(cut, cut_reply, piece);
    }
    whole_text.take(whole, whole_reply, all);
    require(whole_text.broken == cut_text.broken);
    require(whole_text.text == cut_text.text);
}

class probe final : public redis::operation {
public:
    probe(std::uint8_t choice, redis::script const& code)
        : operation(&probe::finish) {
        if (choice & 1)
            bytes.evalsha(code, 0, 0);
        else
            bytes.start(1).arg("PING");
        command = &bytes;
        idempotent = choice & 2;
        sink = choice & 4 ? static_cast<redis::reply_sink*>(&integers) : &any;
    }
    redis::command bytes;
    redis::int_sink<2> integers;
    flat_reply any;
    int completed = 0;

private:
    static void finish(operation* base, bool invoke) {
        require(invoke);
        ++static_cast<probe*>(base)->completed;
    }
};

class scenario {
public:
    void play(input in) {
        connect();
        while (!in.empty() && operations_.size() < 200)
            step(in);
        under_test_.close();
        drain();
        for (auto const& each : operations_)
            require(each->completed == 1);
        auto const& stats = under_test_.stats();
        require(stats.in_flight == 0 && stats.queued == 0 && stats.queued_bytes == 0 && stats.tombstones == 0);
        require(!under_test_.next_deadline());
    }

private:
    void step(input& in) {
        auto const choice = in.byte();
        switch (choice % 8) {
        case 0:
            return submit(in.byte());
        case 1:
            return under_test_.written(std::min<std::size_t>(in.byte(), under_test_.prepare_write().size()));
        case 2:
            return under_test_.written(under_test_.prepare_write().size());
        case 3:
            return cancel(in.byte());
        case 4:
            now_ += std::chrono::milliseconds(in.byte());
            under_test_.expire(now_);
            return drain();
        case 5:
            if (choice & 8)
                under_test_.ping();
            else
                reconnect(choice & 16);
            return;
        default:
            return feed(in.bytes(in.byte()));
        }
    }

    void submit(std::uint8_t choice) {
        auto& added = *operations_.emplace_back(std::make_unique<probe>(choice, code_));
        added.deadline = now_ + std::chrono::milliseconds(choice);
        under_test_.submit(added, now_);
    }

    void cancel(std::uint8_t which) {
        if (!operations_.empty())
            under_test_.cancel(*operations_[which % operations_.size()]);
        drain();
    }

    void feed(std::string_view bytes) {
        if (under_test_.feed(bytes, now_))
            reconnect(false);
        drain();
    }

    void reconnect(bool fails_first) {
        under_test_.disconnected(now_);
        if (fails_first)
            under_test_.connect_failed(errc::not_connected);
        connect();
        drain();
    }

    void connect() {
        under_test_.connected();
        under_test_.open();
    }

    void drain() {
        redis::operation_list done;
        under_test_.take_completed(done);
        while (!done.empty()) {
            auto& first = done.front();
            done.pop_front();
            first.complete();
        }
    }

    static redis::pipeline_limits limits() {
        redis::pipeline_limits small;
        small.max_queued_operations = 20;
        small.max_queued_bytes = 1000;
        small.max_reply_bytes = max_reply_bytes;
        small.max_batch_bytes = 200;
        return small;
    }

    redis::script code_{"one", "return 1"};
    std::vector<std::unique_ptr<probe>> operations_;
    pipeline under_test_{limits(), nullptr};
    pipeline::time_point now_{};
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    input in(data, size);
    if (in.byte() % 2)
        cuts_make_no_difference(in);
    else
        scenario().play(in);
    return 0;
}
