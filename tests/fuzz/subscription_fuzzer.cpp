// What a server says on a connection for pub/sub, from one that has gone mad, while listeners come and go, also from
// within themselves. Whatever comes: nobody hears a message before his gap, nobody hears anything once he has left, and
// nothing is left over when all have.
#include <weir/redis/parser.hpp>
#include <weir/redis/subscription_table.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>

namespace {

using namespace weir::redis;
using detail::subscription_table;
using by = subscription_table::by;

void require(bool holds) {
    if (!holds)
        std::abort();
}

class scenario;

struct ear final : listener {
    void on_message(message const&) noexcept override;
    void on_gap() noexcept override;
    void on_refused(weir::error_code, std::string_view) noexcept override;
    scenario* in = nullptr;
    std::size_t index = 0;
    bool complete = false;
};

class scenario {
public:
    scenario() {
        for (std::size_t i = 0; i < ears_.size(); ++i) {
            ears_[i].in = this;
            ears_[i].index = i;
        }
    }

    void play(std::string_view input) {
        connect();
        while (!input.empty()) {
            auto const choice = static_cast<std::uint8_t>(input.front());
            input.remove_prefix(1);
            auto const piece = input.substr(0, choice / 8);
            switch (choice % 8) {
            case 0:
                join(choice / 8);
                break;
            case 1:
                leave(choice / 8);
                break;
            case 2:
                from_within_ = choice / 8;
                break;
            case 3:
                choice & 8 ? table_.ping() : table_.retry_refused();
                break;
            case 4:
                connect();
                break;
            case 5:
                answer();
                break;
            default:
                input.remove_prefix(piece.size());
                hear(piece);
            }
            said_.clear();
            table_.prepare(said_, 100);
            table_.tell_newcomers();
        }
        for (std::size_t i = 0; i < ears_.size(); ++i)
            leave(i);
        table_.disconnected();
        require(table_.names() == 0 && !table_.outstanding());
    }

    void heard(ear& who) {
        require(held_[who.index] != nullptr);
        // Somebody comes or goes while being told.
        auto const what = std::exchange(from_within_, 0U);
        if (what % 4 == 1)
            leave(what / 4);
        else if (what % 4 == 2)
            join(what / 4);
        else if (what % 4 == 3)
            leave(who.index);
    }

private:
    void join(std::size_t which) {
        which %= ears_.size();
        if (held_[which])
            return;
        ears_[which].complete = false;
        auto const how = which % 2 ? by::pattern : by::channel;
        held_[which] = table_.add(how, std::string(1, static_cast<char>('a' + which / 4)), ears_[which]);
    }

    void leave(std::size_t which) {
        which %= ears_.size();
        if (auto const left = std::exchange(held_[which], nullptr))
            table_.remove(*left);
    }

    void connect() {
        table_.disconnected();
        for (auto& each : ears_)
            each.complete = false;
        parser_.emplace(1u << 16);
        table_.connected(std::nullopt, {});
        said_.clear();
        table_.prepare(said_, 100);
        hear("+PONG\r\n");
    }

    // As a server that is sane answers a name.
    void answer() {
        for (auto const* word : {"subscribe", "psubscribe", "unsubscribe", "punsubscribe"})
            if (said_.find(word[0] == 'p' ? (word[1] == 's' ? "PSUB" : "PUNS")
                                          : (word[0] == 's' ? "\nSUB" : "\nUNS")) != std::string::npos) {
                auto const name = said_.substr(said_.size() - 3, 1);
                return hear("*3\r\n$" + std::to_string(std::string_view(word).size()) + "\r\n" + word + "\r\n$1\r\n" +
                            name + "\r\n:1\r\n");
            }
    }

    void hear(std::string_view bytes) {
        parser_->feed(bytes);
        for (auto what = parser_->next(&reply_); what != parser::event::need_more; what = parser_->next(&reply_)) {
            if (what == parser::event::broken)
                return connect();
            if (what == parser::event::reply ? bool(table_.on_reply(reply_))
                                             : bool(table_.on_error(parser_->error_text())))
                return connect();
        }
    }

    subscription_table table_;
    std::array<ear, 16> ears_;
    std::array<std::shared_ptr<subscription_table::registration>, 16> held_;
    std::optional<parser> parser_;
    flat_reply reply_;
    std::string said_;
    unsigned from_within_ = 0;
};

void ear::on_message(message const&) noexcept {
    require(complete);
    in->heard(*this);
}
void ear::on_gap() noexcept {
    complete = true;
    in->heard(*this);
}
void ear::on_refused(weir::error_code, std::string_view) noexcept { in->heard(*this); }

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    scenario().play({reinterpret_cast<char const*>(data), std::min<std::size_t>(size, 200)});
    return 0;
}
