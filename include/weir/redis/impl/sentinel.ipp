#pragma once

#include <weir/redis/sentinel.hpp>
#include <weir/redis/sentinel_replies.hpp>

#include <algorithm>
#include <utility>

namespace weir::redis::detail {

// How often a sentinel is asked while all is well: where it does not tell of failovers, and where it does.
inline constexpr std::chrono::milliseconds watch_interval{1000}, patient_watch_interval{10'000};
// The pause before it is asked again while all is not well.
inline constexpr std::chrono::milliseconds ask_pause{100};
inline constexpr std::chrono::milliseconds question_timeout{500};
// Those that a sentinel tells of are remembered up to here.
inline constexpr std::size_t max_sentinels = 64;

// A question to a sentinel or to the master. Deletes itself when it is answered.
class sentinel_question final : public operation {
public:
    sentinel_question(std::weak_ptr<sentinel> owner, connection const& whom, sentinel::topic of, redis::command what)
        : operation(&sentinel_question::finish)
        , asked(&whom)
        , about(of)
        , owner_(std::move(owner))
        , what_(std::move(what)) {
        command = &what_;
        sink = &reply;
        internal = true;
    }

    // To be compared alone: it may be gone.
    connection const* asked;
    sentinel::topic about;
    flat_reply reply;

private:
    static void finish(operation* base, bool invoke) {
        std::unique_ptr<sentinel_question> const self(static_cast<sentinel_question*>(base));
        auto const owner = self->owner_.lock();
        if (!owner || !invoke || owner->closed())
            return;
        switch (self->about) {
        case sentinel::topic::master:
            return owner->on_answer(*self);
        case sentinel::topic::others:
            return owner->on_others(*self);
        case sentinel::topic::role:
            return owner->on_role(*self);
        }
    }

    std::weak_ptr<sentinel> owner_;
    redis::command what_;
};

inline std::vector<std::pair<std::string, std::uint16_t>> configured_sentinels(address const& server) {
    std::vector<std::pair<std::string, std::uint16_t>> result{{server.host, server.port}};
    result.insert(result.end(), server.nodes.begin(), server.nodes.end());
    return result;
}

WEIR_DECL sentinel::sentinel(asio::io_context& context, client_options options)
    : connection_group(context, std::move(options))
    , configured_(configured_sentinels(options_.server))
    , sentinels_(configured_)
    , ask_(context) {}

WEIR_DECL sentinel::~sentinel() {
    for (auto const& each : {watcher_, master_})
        if (each)
            each->disown();
}

WEIR_DECL void sentinel::start() {
    auto where = [weak = std::weak_ptr(self())]() -> std::optional<address> {
        auto const owner = weak.lock();
        return owner && !owner->closed() ? std::optional{owner->options_for_sentinel().server} : std::nullopt;
    };
    news_ = std::make_unique<subscriber>(context_, options_for_sentinel(), std::move(where));
    switches_ = news_->subscribe("+switch-master", *this);
    ask_after(std::chrono::milliseconds{0});
}

WEIR_DECL void sentinel::flush() {
    if (master_)
        master_->flush();
}

WEIR_DECL void sentinel::shut() {
    leave(watcher_);
    if (master_) { // operations still name it while they end
        master_->disown();
        master_->close();
    }
    ask_.cancel();
    news_->close();
}

WEIR_DECL std::optional<address> sentinel::present_address() const {
    return is_open() ? std::optional{master_->options().server} : std::nullopt;
}

WEIR_DECL client_statistics sentinel::stats() const {
    auto sum = stats_of_the_past();
    if (master_)
        sum += master_->stats();
    return sum;
}

// ---- operations

WEIR_DECL void sentinel::route(operation& what, clock::time_point now) {
    if (confirmed_)
        return send(what, *master_, now);
    if (master_)
        master_->hurry(now);
    park(what, now);
}

WEIR_DECL void sentinel::on_redirect(connection& from, operation& what, errc why, std::string_view) {
    if (&from != master_.get() || why == errc::redirected || what.internal)
        return refuse(what, why); // redirected: a node of a cluster, no group of sentinels
    confirmed_ = false;
    ask_after(std::chrono::milliseconds{0});
    park(what, clock::now());
}

// ---- the sentinels

WEIR_DECL client_options sentinel::options_for_sentinel() const {
    auto made = options_for(sentinels_[asked_]);
    made.server.user = options_.server.sentinel_user;
    made.server.password = options_.server.sentinel_password;
    made.server.database = 0;
    made.scripts.clear();
    made.observer = nullptr;
    return made;
}

WEIR_DECL void sentinel::ask_after(std::chrono::milliseconds pause) {
    if (!closed())
        ask_.set(clock::now() + pause, [self = self()](clock::time_point) { self->ask(); });
}

WEIR_DECL void sentinel::ask_when_due() {
    if (std::exchange(ask_again_, false))
        return ask_after(std::chrono::milliseconds{0});
    auto const quiet = hears_ && news_->connected() ? patient_watch_interval : watch_interval;
    ask_after(confirmed_ ? quiet : ask_pause);
}

WEIR_DECL void sentinel::put(connection& whom, topic about, command what) {
    auto question = std::make_unique<sentinel_question>(self(), whom, about, std::move(what));
    auto const now = clock::now();
    question->deadline = now + question_timeout;
    whom.route(*question.release(), now);
}

WEIR_DECL void sentinel::ask() {
    if (closed())
        return;
    if (asking_) {
        ask_again_ = true;
        return;
    }
    if (!watcher_)
        watcher_ = connect_to(options_for_sentinel());
    asking_ = true;
    auto const& group = options_.server.master_name;
    put(*watcher_, topic::master, command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", group));
    put(*watcher_, topic::others, command("SENTINEL", "SENTINELS", group));
}

WEIR_DECL void sentinel::on_answer(sentinel_question const& answer) {
    if (answer.asked != watcher_.get())
        return;
    asking_ = false;
    auto const asked = "the sentinel " + watcher_->options().server.display();
    if (answer.result) {
        bool const denied = answer.result == kind::authentication;
        return next_sentinel(denied ? static_cast<errc>(answer.result.value()) : errc::not_connected,
                             watcher_->last_error_text().empty() ? asked + ": " + answer.result.message()
                                                                 : watcher_->last_error_text());
    }
    auto where = read_master_address(answer.reply);
    if (!where)
        return next_sentinel(errc::not_connected,
                             asked + " knows no master of the name " + options_.server.master_name);
    silent_ = 0;
    std::swap(sentinels_[0], sentinels_[asked_]);
    asked_ = 0;
    follow(*std::move(where));
    ask_when_due();
}

WEIR_DECL void sentinel::on_others(sentinel_question const& answer) {
    if (answer.asked != watcher_.get() || answer.result)
        return; // without the right to ask, those configured are all
    std::vector<place> all{sentinels_[asked_]};
    asked_ = 0;
    for (auto const& several : {configured_, read_sentinels(answer.reply)})
        for (auto const& each : several)
            if (all.size() < max_sentinels && std::find(all.begin(), all.end(), each) == all.end())
                all.push_back(each);
    sentinels_ = std::move(all);
}

WEIR_DECL void sentinel::next_sentinel(errc why, std::string text) {
    leave(watcher_);
    asking_ = ask_again_ = false;
    asked_ = (asked_ + 1) % sentinels_.size();
    if (++silent_ % sentinels_.size() != 0)
        return ask();
    if (!confirmed_)
        unreachable(why, std::move(text));
    if (error_code{why} == kind::authentication)
        return ask_after(options_.reconnect_max);
    ask_when_due();
}

WEIR_DECL void sentinel::unreachable(errc why, std::string text) {
    last_error_ = why;
    last_error_text_ = std::move(text);
    out_of_reach(why);
}

// What the sentinel tells is not believed but taken as the moment to ask it: it has told itself before.
WEIR_DECL void sentinel::on_message(message const& what) noexcept {
    if (is_switch_of(what.payload, options_.server.master_name))
        ask();
}

WEIR_DECL void sentinel::on_gap() noexcept {
    hears_ = true;
    ask();
}

WEIR_DECL void sentinel::on_refused(error_code, std::string_view) noexcept { hears_ = false; }

// ---- the master

WEIR_DECL void sentinel::follow(place where) {
    if (master_ && where == master_at_) {
        if (!confirmed_ && master_->is_open())
            put(*master_, topic::role, command("ROLE"));
        return;
    }
    leave_master();
    master_at_ = std::move(where);
    master_ = connect_to(options_for(master_at_));
}

WEIR_DECL void sentinel::leave_master() {
    confirmed_ = false;
    if (master_)
        park_queued_of(*master_, clock::now());
    retire(master_);
}

WEIR_DECL void sentinel::on_open(connection& which) {
    if (&which == master_.get())
        put(*master_, topic::role, command("ROLE"));
}

WEIR_DECL void sentinel::on_role(sentinel_question const& answer) {
    if (answer.asked != master_.get())
        return;
    auto const& nodes = answer.reply.nodes();
    if (answer.result || nodes.size() < 2 || answer.reply.text(nodes[1]) != "master") {
        // The sentinels have not agreed yet on who follows: what they said last is stale.
        leave_master();
        return ask_after(ask_pause);
    }
    confirmed_ = true;
    last_error_ = {};
    last_error_text_.clear();
    pipeline_.open();
    send_parked(clock::now());
    ask_when_due();
}

WEIR_DECL void sentinel::on_failed(connection& which) {
    if (&which == watcher_.get())
        return; // its question fails
    confirmed_ = false;
    unreachable(which.last_error(), which.last_error_text());
    ask_after(ask_pause);
}

} // namespace weir::redis::detail
