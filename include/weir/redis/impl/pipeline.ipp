#pragma once

#include <weir/redis/pipeline.hpp>

#include <algorithm>
#include <atomic>

namespace weir::redis {
namespace detail {

// How long an operation waits after BUSY or LOADING: a tenth of the default deadline.
inline constexpr std::chrono::milliseconds refusal_delay{5};
// The part of an operation's time that has to be left for another attempt.
inline constexpr int last_attempt_part = 8;
inline constexpr unsigned resend_cost = 5;
inline constexpr unsigned max_retry_budget = 500;

inline std::uint64_t next_connection_number() noexcept {
    static std::atomic<std::uint64_t> last{0};
    return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

} // namespace detail

WEIR_DECL pipeline::pipeline(pipeline_limits const& limits, client_observer* observer)
    : limits_(limits)
    , observer_(observer)
    , slots_(64) {}

WEIR_DECL pipeline::~pipeline() {
    for (auto const& each : slots_)
        if (each.who)
            each.who->destroy();
    for (auto* list : {&waiters_, &handshake_, &retry_, &queue_, &delayed_, &completed_})
        while (!list->empty()) {
            auto& first = list->front();
            list->pop_front();
            first.destroy();
        }
}

// ---- operations come and go

WEIR_DECL void pipeline::submit(operation& what, time_point now) {
    ++stats_.submitted;
    if (what.submitted_ == time_point{})
        what.submitted_ = now;
    retry_budget_ = std::min(retry_budget_ + 1, detail::max_retry_budget);
    if (!what.command->complete())
        return finish(what, errc::invalid_argument);
    if (refuse_with_ == errc::not_connected && redirector_)
        return hand_over(what, errc::not_connected);
    if (refuse_with_)
        return finish(what, refuse_with_);
    if (stats_.queued >= limits_.max_queued_operations ||
        stats_.queued_bytes + what.command->payload().size() > limits_.max_queued_bytes)
        return finish(what, errc::queue_full);
    deadlines_.insert(what, what.deadline);
    enqueue(what, queue_);
}

WEIR_DECL void pipeline::submit_later(operation& what, time_point now, time_point until) {
    submit(what, now);
    if (refuse_with_ || what.phase_ != operation::phase::queued)
        return;
    leave_queue(what);
    delay(what, until);
}

WEIR_DECL void pipeline::wait_open(operation& what, time_point now) {
    what.submitted_ = now;
    what.internal = true;
    if (open_ || connect_error_)
        return finish(what, connect_error_);
    deadlines_.insert(what, what.deadline);
    enqueue(what, waiters_);
}

WEIR_DECL void pipeline::submit_handshake(operation& what, time_point now) {
    what.submitted_ = now;
    what.internal = true;
    deadlines_.insert(what, what.deadline);
    enqueue(what, handshake_);
}

WEIR_DECL void pipeline::enqueue(operation& what, operation_list& to) noexcept {
    what.phase_ = operation::phase::queued;
    to.push_back(what);
    ++stats_.queued;
    stats_.queued_bytes += what.command->payload().size();
}

WEIR_DECL void pipeline::leave_queue(operation& what) noexcept {
    what.unlink();
    --stats_.queued;
    stats_.queued_bytes -= what.command->payload().size();
}

WEIR_DECL void pipeline::refuse(operation& what, error_code why) {
    finish(what, what.maybe_executed_ && why == kind::not_sent ? errc::connection_lost : why);
}

WEIR_DECL void pipeline::take_queued(operation_list& to) {
    for (auto* list : {&retry_, &queue_, &delayed_})
        while (!list->empty()) {
            auto& first = list->front();
            leave_queue(first);
            deadlines_.erase(first);
            first.phase_ = operation::phase::idle;
            to.push_back(first);
        }
}

WEIR_DECL void pipeline::hand_over(operation& what, errc why, std::string_view text) {
    deadlines_.erase(what);
    what.phase_ = operation::phase::idle;
    redirector_->on_redirect(what, why, text);
}

WEIR_DECL void pipeline::cancel(operation& what) {
    if (what.phase_ == operation::phase::idle || what.phase_ == operation::phase::done)
        return;
    ++stats_.cancellations;
    give_up(what, errc::cancelled_unsent, errc::cancelled);
}

WEIR_DECL void pipeline::expire(time_point now) {
    while (!deadlines_.empty() && deadlines_.next() <= now) {
        auto& due = deadlines_.top();
        if (due.phase_ == operation::phase::delayed && now < due.deadline) {
            deadlines_.erase(due);
            deadlines_.insert(due, due.deadline);
            due.unlink();
            due.phase_ = operation::phase::queued;
            retry_.push_back(due);
        } else {
            ++stats_.timeouts;
            give_up(due, due.refusal_ != errc{} ? due.refusal_ : errc::timed_out_unsent, errc::timed_out);
        }
    }
}

WEIR_DECL void pipeline::give_up(operation& what, errc unsent, errc sent) {
    if (what.phase_ == operation::phase::sent) {
        auto& left = slots_[static_cast<std::size_t>(what.slot_ - first_slot_)];
        left = {slot::kind::tombstone, nullptr, nullptr};
        --stats_.in_flight;
        ++stats_.tombstones;
        return finish(what, sent);
    }
    leave_queue(what);
    finish(what, what.maybe_executed_ ? sent : unsent);
}

WEIR_DECL void pipeline::finish(operation& what, error_code result, std::string_view server_text) {
    deadlines_.erase(what);
    what.phase_ = operation::phase::done;
    what.result = result;
    completed_.push_back(what);
    if (result && observer_ && !what.internal)
        observer_->on_error(result.category() == error_category() ? static_cast<errc>(result.value())
                                                                  : errc::unexpected_reply,
                            server_text);
}

WEIR_DECL void pipeline::finish_all(operation_list& of, errc unsent) {
    while (!of.empty())
        give_up(of.front(), unsent, errc::connection_lost);
}

WEIR_DECL void pipeline::take_completed(operation_list& to) { to.splice(to.end(), completed_); }

// ---- the connection comes and goes

WEIR_DECL void pipeline::connected() {
    connected_ = true;
    connection_ = detail::next_connection_number();
    parser_.emplace(limits_.max_reply_bytes);
}

WEIR_DECL void pipeline::open() {
    open_ = true;
    refuse_with_ = connect_error_ = {};
    ++stats_.connects;
    while (!waiters_.empty()) {
        auto& first = waiters_.front();
        leave_queue(first);
        finish(first, {});
    }
}

WEIR_DECL void pipeline::disconnected(time_point now) { abandon_slots(true, now); }

WEIR_DECL void pipeline::connect_failed(errc why) {
    ++stats_.connect_failures;
    out_of_reach(why);
}

WEIR_DECL void pipeline::out_of_reach(errc why) {
    abandon_slots(false, {});
    connect_error_ = why;
    auto const code = connect_error_ == kind::authentication ? why : errc::not_connected;
    refuse_with_ = code;
    finish_all(waiters_, why);
    if (redirector_ && code == errc::not_connected) {
        operation_list unsent;
        take_queued(unsent);
        while (!unsent.empty()) {
            auto& first = unsent.front();
            unsent.pop_front();
            hand_over(first, code);
        }
    }
    for (auto* list : {&retry_, &queue_, &delayed_})
        finish_all(*list, code);
}

WEIR_DECL void pipeline::close() {
    abandon_slots(false, {});
    refuse_with_ = connect_error_ = errc::client_closed;
    for (auto* list : {&waiters_, &retry_, &queue_, &delayed_})
        finish_all(*list, errc::client_closed);
}

WEIR_DECL void pipeline::abandon_slots(bool resend, time_point now) {
    for (auto const& each : slots_) {
        if (each.what == slot::kind::tombstone)
            --stats_.tombstones;
        if (each.what != slot::kind::operation)
            continue;
        --stats_.in_flight;
        auto& who = *each.who;
        if (!who.internal && who.wire_start_ >= wire_written_) {
            enqueue(who, retry_);
        } else if (resend && may_resend(who, now)) {
            who.maybe_executed_ = true;
            enqueue(who, retry_);
        } else {
            finish(who, errc::connection_lost);
        }
    }
    first_slot_ += slots_.size();
    slots_.clear();
    finish_all(handshake_, errc::not_connected);
    parser_.reset();
    buffer_.clear();
    buffer_offset_ = 0;
    wire_prepared_ = wire_written_ = 0;
    scripts_.clear();
    connected_ = open_ = ping_due_ = false;
}

WEIR_DECL bool pipeline::may_resend(operation const& what, time_point now) noexcept {
    if (!what.idempotent || now >= what.deadline || retry_budget_ < detail::resend_cost)
        return false;
    retry_budget_ -= detail::resend_cost;
    ++stats_.resends;
    return true;
}

// ---- bytes go

WEIR_DECL std::string_view pipeline::prepare_write() {
    if (buffer_offset_ == buffer_.size() && connected_) {
        buffer_.clear();
        buffer_offset_ = 0;
        write_operations(handshake_);
        if (open_) {
            write_upkeep();
            write_operations(retry_);
            write_operations(queue_);
        }
        if (!buffer_.empty())
            ++stats_.batches;
    }
    return std::string_view(buffer_).substr(buffer_offset_);
}

WEIR_DECL void pipeline::written(std::size_t size) {
    buffer_offset_ += size;
    wire_written_ += size;
    stats_.bytes_written += size;
}

WEIR_DECL void pipeline::push_slot(slot what) {
    if (slots_.full())
        slots_.set_capacity(slots_.capacity() * 2);
    slots_.push_back(what);
}

WEIR_DECL void pipeline::write_upkeep() {
    for (auto& each : scripts_) {
        if (!each.load_due)
            continue;
        each.load_due = false;
        each.last_load = ++loads_written_;
        ++stats_.scripts_reloaded;
        command const load("SCRIPT", "LOAD", each.code->source());
        buffer_ += load.payload();
        wire_prepared_ += load.payload().size();
        push_slot({slot::kind::script_load, nullptr, each.code});
    }
    if (std::exchange(ping_due_, false)) {
        command const ping("PING");
        buffer_ += ping.payload();
        wire_prepared_ += ping.payload().size();
        push_slot({slot::kind::ping, nullptr, nullptr});
    }
}

WEIR_DECL void pipeline::write_operations(operation_list& from) {
    while (!from.empty() && has_room()) {
        auto& next = from.front();
        leave_queue(next);
        if (next.asking) {
            static command const asking("ASKING");
            buffer_ += asking.payload();
            wire_prepared_ += asking.payload().size();
            push_slot({slot::kind::ping, nullptr, nullptr}); // its reply means nothing either
        }
        auto const bytes = next.command->payload();
        next.phase_ = operation::phase::sent;
        next.slot_ = first_slot_ + slots_.size();
        next.wire_start_ = wire_prepared_;
        next.loads_before_ = loads_written_;
        push_slot({slot::kind::operation, &next, nullptr});
        ++stats_.in_flight;
        wire_prepared_ += bytes.size();
        buffer_ += bytes;
    }
}

// ---- bytes come

WEIR_DECL error_code pipeline::feed(std::string_view bytes, time_point now) {
    stats_.bytes_read += bytes.size();
    while (!bytes.empty()) {
        auto const slice = bytes.substr(0, parser::max_slice);
        bytes.remove_prefix(slice.size());
        parser_->feed(slice);
        for (;;) {
            auto* const who = slots_.empty() ? nullptr : slots_.front().who;
            auto const event = parser_->next(who ? who->sink : nullptr);
            if (event == parser::event::need_more)
                break;
            if (event == parser::event::broken) {
                error_text_ = parser_->error_text();
                return errc::protocol_error;
            }
            if (slots_.empty()) {
                auto const is_error = event == parser::event::error_reply;
                error_text_ = is_error ? parser_->error_text() : "a reply came that nothing had asked for";
                return is_error ? error_of_reply(error_text_) : errc::protocol_error;
            }
            answered(event, now);
        }
    }
    return {};
}

WEIR_DECL void pipeline::answered(parser::event what, time_point now) {
    auto const head = slots_.front();
    slots_.pop_front();
    ++first_slot_;
    ++stats_.replies;
    switch (head.what) {
    case slot::kind::ping:
        return;
    case slot::kind::tombstone:
        --stats_.tombstones;
        return;
    case slot::kind::script_load:
        state_of(*head.code).load_error.reset();
        // BUSY and LOADING pass; the EVALSHA behind it met the same.
        if (auto const code = error_of_reply(parser_->error_text());
            what == parser::event::error_reply && code != errc::busy && code != errc::loading)
            state_of(*head.code).load_error = code;
        return;
    case slot::kind::operation:
        break;
    }
    --stats_.in_flight;
    if (head.who->answered_by)
        *head.who->answered_by = connection_;
    if (what == parser::event::error_reply)
        return refused(*head.who, now);
    if (observer_ && !head.who->internal)
        observer_->on_reply(head.who->command->evaluated(), now - head.who->submitted_);
    finish(*head.who, head.who->sink->finish());
}

WEIR_DECL void pipeline::refused(operation& what, time_point now) {
    auto code = error_of_reply(parser_->error_text());
    if (!what.internal) {
        if (code == errc::no_script && heal(what, code))
            return;
        if ((code == errc::busy || code == errc::loading) && retry_later(what, code, now))
            return;
        if (redirector_ && sent_elsewhere(what, code, now))
            return;
    }
    what.sink->begin();
    what.sink->on_error(parser_->error_text(), 0);
    finish(what, what.maybe_executed_ ? errc::connection_lost : code, parser_->error_text());
}

WEIR_DECL bool pipeline::sent_elsewhere(operation& what, errc code, time_point now) {
    auto const& text = parser_->error_text();
    if (code == errc::cluster_down || text.starts_with("TRYAGAIN"))
        return retry_later(what, code, now);
    if (code != errc::redirected && code != errc::read_only && code != errc::master_down)
        return false;
    hand_over(what, code, text);
    return true;
}

// A refusal is certain not to have been executed, so that even a write may be tried again; but an attempt under way at
// the deadline makes an unknown outcome of it.
WEIR_DECL bool pipeline::retry_later(operation& what, errc code, time_point now) {
    auto const again = now + detail::refusal_delay;
    if (what.deadline - again < (what.deadline - what.submitted_) / detail::last_attempt_part)
        return false;
    ++stats_.refusals_retried;
    what.refusal_ = code;
    delay(what, again);
    return true;
}

WEIR_DECL void pipeline::delay(operation& what, time_point until) {
    enqueue(what, delayed_);
    what.phase_ = operation::phase::delayed;
    deadlines_.erase(what);
    deadlines_.insert(what, std::min(what.deadline, until));
}

// Queues the operation again behind a SCRIPT LOAD. One that was written before the script's last SCRIPT LOAD only met
// the gap that this has closed; one that was written after it has found a new gap.
WEIR_DECL bool pipeline::heal(operation& what, errc& code) {
    if (!what.command->evaluated())
        return false;
    auto& state = state_of(*what.command->evaluated());
    if (!state.load_due && what.loads_before_ >= state.last_load) {
        if (state.load_error && what.refusal_ == errc::no_script) {
            code = *state.load_error;
            return false;
        }
        state.load_due = true;
    }
    ++stats_.refusals_retried;
    what.refusal_ = errc::no_script;
    enqueue(what, retry_);
    return true;
}

WEIR_DECL pipeline::script_state& pipeline::state_of(script const& code) {
    auto const found = std::find_if(scripts_.begin(), scripts_.end(), [&](auto const& s) { return s.code == &code; });
    return found != scripts_.end() ? *found : scripts_.emplace_back(script_state{&code, 0, false, std::nullopt});
}

} // namespace weir::redis
