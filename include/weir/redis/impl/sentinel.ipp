#pragma once

#include <weir/redis/sentinel.hpp>

#include <utility>

namespace weir::redis::detail {

// How often a sentinel is asked while all is well, and the pause before it is asked again while it is not.
inline constexpr std::chrono::milliseconds watch_interval{1000};
inline constexpr std::chrono::milliseconds ask_pause{100};
inline constexpr std::chrono::milliseconds question_timeout{500};

// A question to a sentinel or to the master. Deletes itself when it is answered.
class sentinel_question final : public operation {
public:
    enum class topic { master_address, role };

    sentinel_question(std::weak_ptr<sentinel> owner, connection const& whom, topic of, redis::command what)
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
    topic about;
    flat_reply reply;

private:
    static void finish(operation* base, bool invoke) {
        std::unique_ptr<sentinel_question> const self(static_cast<sentinel_question*>(base));
        auto const owner = self->owner_.lock();
        if (!owner || !invoke || owner->closed_)
            return;
        if (self->about == topic::role)
            owner->on_role(*self);
        else
            owner->on_answer(*self);
    }

    std::weak_ptr<sentinel> owner_;
    redis::command what_;
};

WEIR_DECL sentinel::sentinel(asio::io_context& context, client_options options)
    : backend(context, std::move(options))
    , ask_timer_(context.get_executor()) {
    sentinels_.emplace_back(options_.server.host, options_.server.port);
    sentinels_.insert(sentinels_.end(), options_.server.nodes.begin(), options_.server.nodes.end());
}

WEIR_DECL sentinel::~sentinel() {
    for (auto const& each : {watcher_, master_})
        if (each)
            each->disown();
}

WEIR_DECL void sentinel::start() { ask_after(std::chrono::milliseconds{0}); }

WEIR_DECL void sentinel::close() {
    if (std::exchange(closed_, true))
        return;
    for (auto const& each : {watcher_, master_})
        if (each) {
            each->disown();
            each->close();
        }
    ask_timer_.cancel();
    pipeline_.close();
    stop_deadlines();
    schedule();
}

WEIR_DECL client_statistics sentinel::stats() const {
    auto sum = pipeline_.stats();
    if (master_)
        sum += master_->stats();
    return sum;
}

// ---- operations

WEIR_DECL void sentinel::wait_open(operation& what) {
    auto const now = clock::now();
    what.deadline = now + max_timeout;
    pipeline_.wait_open(what, now);
    schedule();
}

WEIR_DECL void sentinel::cancel(operation& what) {
    if (auto* const holder = static_cast<connection*>(what.holder))
        return holder->cancel(what);
    pipeline_.cancel(what);
    schedule();
}

WEIR_DECL void sentinel::route(operation& what, clock::time_point now) {
    if (!confirmed_)
        return park(what, now);
    what.holder = master_.get();
    master_->route(what, now);
}

WEIR_DECL void sentinel::park(operation& what, clock::time_point now) {
    what.holder = nullptr;
    pipeline_.submit(what, now);
    schedule();
}

WEIR_DECL void sentinel::on_redirect(connection& from, operation& what, errc why, std::string_view) {
    if (&from == master_.get() && why != errc::redirected && !what.internal) {
        confirmed_ = false;
        ask_after(std::chrono::milliseconds{0});
        return park(what, clock::now());
    }
    what.holder = nullptr;
    pipeline_.refuse(what, why); // a node of a cluster: no group of sentinels
    schedule();
}

// ---- the sentinels

WEIR_DECL client_options sentinel::options_for(place const& where, bool is_sentinel) const {
    auto made = options_;
    made.server.host = where.first;
    made.server.port = where.second;
    made.server.topology = topology::standalone;
    if (is_sentinel) {
        made.server.user = options_.server.sentinel_user;
        made.server.password = options_.server.sentinel_password;
        made.server.database = 0;
        made.scripts.clear();
        made.observer = nullptr;
    }
    return made;
}

WEIR_DECL void sentinel::ask_after(std::chrono::milliseconds pause) {
    if (closed_)
        return;
    ask_timer_.expires_after(pause);
    ask_timer_.async_wait([self = std::static_pointer_cast<sentinel>(shared_from_this())](error_code ec) {
        if (!ec && self->ask_timer_.expiry() <= clock::now())
            self->ask();
    });
}

WEIR_DECL void sentinel::ask() {
    if (closed_ || asking_)
        return;
    if (!watcher_) {
        watcher_ = std::make_shared<connection>(context_, options_for(sentinels_[asked_], true),
                                                static_cast<connection_owner*>(this));
        watcher_->start();
    }
    asking_ = true;
    auto question = std::make_unique<sentinel_question>(
        std::static_pointer_cast<sentinel>(shared_from_this()), *watcher_, sentinel_question::topic::master_address,
        redis::command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", options_.server.master_name));
    auto const now = clock::now();
    question->deadline = now + question_timeout;
    watcher_->route(*question.release(), now);
}

WEIR_DECL void sentinel::on_answer(sentinel_question const& answer) {
    if (answer.asked != watcher_.get())
        return;
    asking_ = false;
    auto const& nodes = answer.reply.nodes();
    if (answer.result)
        return next_sentinel(errc::not_connected, watcher_->last_error_text().empty()
                                                      ? "the sentinel " + watcher_->options().server.display() + ": " +
                                                            answer.result.message()
                                                      : watcher_->last_error_text());
    auto const where =
        nodes.size() == 3 && nodes[1].type == flat_reply::type::string && nodes[2].type == flat_reply::type::string
            ? parse_node('[' + std::string(answer.reply.text(nodes[1])) +
                         "]:" + std::string(answer.reply.text(nodes[2])))
            : std::nullopt;
    if (!where)
        return next_sentinel(errc::not_connected, "the sentinel " + watcher_->options().server.display() +
                                                      " knows no master of the name " + options_.server.master_name);
    silent_ = 0;
    std::swap(sentinels_[0], sentinels_[asked_]); // whoever answers is asked first
    asked_ = 0;
    follow(*where);
    ask_after(confirmed_ ? watch_interval : ask_pause);
}

WEIR_DECL void sentinel::next_sentinel(errc why, std::string text) {
    if (watcher_) {
        watcher_->disown();
        watcher_->close();
        watcher_.reset();
    }
    asking_ = false;
    asked_ = (asked_ + 1) % sentinels_.size();
    if (++silent_ % sentinels_.size() != 0)
        return ask();
    if (!confirmed_)
        unreachable(why, std::move(text));
    ask_after(confirmed_ ? watch_interval : ask_pause);
}

WEIR_DECL void sentinel::unreachable(errc why, std::string text) {
    last_error_ = why;
    last_error_text_ = std::move(text);
    pipeline_.connect_failed(why);
    schedule();
}

// ---- the master

WEIR_DECL void sentinel::follow(place where) {
    if (master_ && where == master_at_) {
        if (!confirmed_ && master_->is_open())
            ask_role();
        return;
    }
    leave_master();
    master_at_ = std::move(where);
    master_ =
        std::make_shared<connection>(context_, options_for(master_at_, false), static_cast<connection_owner*>(this));
    master_->start();
}

WEIR_DECL void sentinel::leave_master() {
    confirmed_ = false;
    if (!master_)
        return;
    operation_list waiting;
    master_->take_queued(waiting);
    auto const now = clock::now();
    while (!waiting.empty()) {
        auto& first = waiting.front();
        waiting.pop_front();
        park(first, now);
    }
    master_->disown();
    master_->close();
    master_.reset();
}

WEIR_DECL void sentinel::on_open(connection& which) {
    if (&which == master_.get())
        ask_role();
}

WEIR_DECL void sentinel::ask_role() {
    auto question =
        std::make_unique<sentinel_question>(std::static_pointer_cast<sentinel>(shared_from_this()), *master_,
                                            sentinel_question::topic::role, redis::command("ROLE"));
    auto const now = clock::now();
    question->deadline = now + question_timeout;
    master_->route(*question.release(), now);
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
    operation_list waiting;
    pipeline_.take_queued(waiting);
    auto const now = clock::now();
    while (!waiting.empty()) {
        auto& first = waiting.front();
        waiting.pop_front();
        route(first, now);
    }
    ask_after(watch_interval);
    schedule();
}

WEIR_DECL void sentinel::on_failed(connection& which) {
    if (&which == watcher_.get())
        return; // its question fails
    confirmed_ = false;
    unreachable(which.last_error(), which.last_error_text());
    ask_after(ask_pause);
}

} // namespace weir::redis::detail
