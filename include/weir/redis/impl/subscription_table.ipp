#pragma once

#include <weir/redis/subscription_table.hpp>

namespace weir::redis::detail {

WEIR_DECL subscription_table::subscription_table() = default;
WEIR_DECL subscription_table::~subscription_table() = default;

// ---- who listens

WEIR_DECL subscription_table::entry* subscription_table::find(by how, std::string_view name) {
    auto const found = entries_.find(std::pair{how, name});
    return found == entries_.end() ? nullptr : found->second.get();
}

WEIR_DECL std::shared_ptr<subscription_table::registration> subscription_table::add(by how, std::string_view name,
                                                                                    listener& to) {
    auto* of = find(how, name);
    if (!of) {
        auto made = std::make_unique<entry>(how, name);
        of = made.get();
        entries_.emplace(key{how, std::string(name)}, std::move(made));
    }
    auto result = std::make_shared<registration>(registration{&to, of});
    of->who.push_back(result);
    if (of->now == entry::state::active)
        newcomers_.push_back(result);
    if (of->now == entry::state::refused)
        of->now = entry::state::idle; // asks again: the answer is for this listener, too
    settle(*of);
    return result;
}

WEIR_DECL void subscription_table::remove(registration& which) {
    if (!which.to)
        return;
    which.to = nullptr;
    if (!std::exchange(which.of->untidy, true))
        untidy_.push_back(which.of);
    sweep();
}

WEIR_DECL void subscription_table::clear() {
    for (auto const& [name, of] : entries_) {
        for (auto const& each : of->who)
            each->to = nullptr;
        if (!std::exchange(of->untidy, true))
            untidy_.push_back(of.get());
    }
    sweep();
}

// Drops what is over, unless somebody is just being told.
WEIR_DECL void subscription_table::sweep() {
    if (telling_ > 0)
        return;
    for (auto* each : std::exchange(untidy_, {})) {
        each->untidy = false;
        std::erase_if(each->who, [](auto const& one) { return !one->to; });
        settle(*each);
    }
}

// Wishes what the server has yet to be told; forgets what nobody wants and the server does not know.
WEIR_DECL void subscription_table::settle(entry& about) {
    using state = entry::state;
    auto const wanted = about.wanted();
    auto const differs = wanted ? about.now == state::idle : about.now == state::active;
    if (differs && connected_ && !about.is_linked())
        wishes_.push_back(about);
    if (!differs && about.is_linked())
        about.unlink();
    bool const unknown = about.now == state::idle || about.now == state::refused;
    if (!wanted && unknown && telling_ == 0 && !about.untidy)
        entries_.erase(entries_.find(std::pair{about.how, std::string_view(about.name)}));
}

template <class Tell>
void subscription_table::each_listener(entry& of, Tell&& tell) {
    ++telling_;
    // Those that join meanwhile are newcomers, told later.
    auto const many = of.who.size();
    for (std::size_t i = 0; i < many; ++i)
        if (auto const each = of.who[i]; each->to)
            tell(*each);
    --telling_;
    // Nobody may want it any more since before the loop, when it could not be dropped.
    if (!std::exchange(of.untidy, true))
        untidy_.push_back(&of);
    sweep();
}

WEIR_DECL void subscription_table::tell_newcomers() {
    for (auto const& each : std::exchange(newcomers_, {}))
        if (each->to && !each->complete && each->of->now == entry::state::active) {
            each->complete = true;
            each->to->on_gap();
        }
}

// ---- the connection

WEIR_DECL void subscription_table::connected(std::optional<command> auth, std::string_view client_name) {
    connected_ = true;
    auto const ask = [this](question what, command const& words) {
        urgent_ += words.payload();
        asked_.push_back({what});
        ++handshake_left_;
    };
    if (auth)
        ask(question::auth, *auth);
    if (!client_name.empty())
        ask(question::set_name, command("CLIENT", "SETNAME", client_name));
    ask(question::hello, command("PING"));
    for (auto const& [name, of] : entries_)
        if (of->wanted())
            wishes_.push_back(*of);
}

WEIR_DECL void subscription_table::disconnected() {
    connected_ = false;
    handshake_left_ = 0;
    asked_.clear();
    urgent_.clear();
    wishes_.clear();
    newcomers_.clear();
    for (auto const& [name, of] : entries_) {
        of->now = entry::state::idle;
        for (auto const& each : of->who)
            each->complete = false;
        if (!std::exchange(of->untidy, true))
            untidy_.push_back(of.get());
    }
    sweep();
}

WEIR_DECL void subscription_table::ping() {
    urgent_ += command("PING").payload();
    asked_.push_back({question::ping});
}

WEIR_DECL void subscription_table::retry_refused() {
    for (auto const& [name, of] : entries_)
        if (of->now == entry::state::refused && of->wanted()) {
            of->now = entry::state::idle;
            settle(*of);
        }
}

WEIR_DECL void subscription_table::prepare(std::string& out, std::size_t enough) {
    out += urgent_;
    urgent_.clear();
    while (open() && !wishes_.empty() && out.size() < enough) {
        auto& first = wishes_.front();
        first.unlink();
        say(out, first);
    }
}

WEIR_DECL void subscription_table::say(std::string& out, entry& about) {
    bool const joins = about.now == entry::state::idle;
    bool const pattern = about.how == by::pattern;
    about.now = joins ? entry::state::asked : entry::state::leaving;
    asked_.push_back({joins ? question::subscribe : question::unsubscribe, &about});
    out += command(joins     ? pattern ? "PSUBSCRIBE" : "SUBSCRIBE"
                   : pattern ? "PUNSUBSCRIBE"
                             : "UNSUBSCRIBE",
                   about.name)
               .payload();
}

// ---- what the server says

WEIR_DECL subscription_table::verdict subscription_table::on_reply(flat_reply const& what) {
    using type = flat_reply::type;
    auto const& nodes = what.nodes();
    if (nodes.front().type == type::string)
        return on_status();
    if (nodes.front().type == type::array && nodes.size() > 1 && nodes[1].type == type::string) {
        auto const word = what.text(nodes[1]);
        if (word == "pong")
            return on_status();
        if (deliver(what, word) || confirm(what, word))
            return {};
    }
    return {errc::protocol_error, "a reply that nothing on a connection for pub/sub is answered by"};
}

WEIR_DECL subscription_table::verdict subscription_table::on_status() {
    if (asked_.empty() || asked_.front().about)
        return {errc::protocol_error, "a reply that nobody asked for"};
    if (asked_.front().what != question::ping)
        --handshake_left_;
    asked_.pop_front();
    return {};
}

WEIR_DECL bool subscription_table::deliver(flat_reply const& what, std::string_view word) {
    auto const& nodes = what.nodes();
    bool const by_pattern = word == "pmessage" && nodes.size() == 5;
    if (!by_pattern && !(word == "message" && nodes.size() == 4))
        return false;
    for (std::size_t i = 1; i < nodes.size(); ++i)
        if (nodes[i].type != flat_reply::type::string || nodes[i].depth != 1)
            return false;
    auto const name = what.text(nodes[2]);
    message const told{by_pattern ? what.text(nodes[3]) : name, what.text(nodes.back()),
                       by_pattern ? name : std::string_view{}};
    auto* const to = find(by_pattern ? by::pattern : by::channel, name);
    // One that is just being left, and perhaps joined again, which a gap will tell.
    if (!to || to->now != entry::state::active)
        return true;
    ++messages_;
    each_listener(*to, [&told](registration& each) {
        if (!std::exchange(each.complete, true))
            each.to->on_gap();
        if (each.to)
            each.to->on_message(told);
    });
    return true;
}

WEIR_DECL bool subscription_table::confirm(flat_reply const& what, std::string_view word) {
    auto const& nodes = what.nodes();
    if (nodes.size() != 4 || nodes[2].type != flat_reply::type::string || asked_.empty() || !asked_.front().about)
        return false;
    auto& about = *asked_.front().about;
    if (word.starts_with('p') != (about.how == by::pattern))
        return false;
    if (word.starts_with('p'))
        word.remove_prefix(1);
    bool const joins = asked_.front().what == question::subscribe;
    if (word != (joins ? "subscribe" : "unsubscribe") || what.text(nodes[2]) != about.name)
        return false;
    asked_.pop_front();
    about.now = joins ? entry::state::active : entry::state::idle;
    if (joins)
        each_listener(about, [](registration& each) {
            each.complete = true;
            each.refused = false;
            each.to->on_gap();
        });
    else
        settle(about);
    return true;
}

WEIR_DECL subscription_table::verdict subscription_table::on_error(std::string_view text) {
    auto const why = error_of_reply(text);
    if (asked_.empty())
        return {why, std::string(text)};
    auto const [what, about] = asked_.front();
    switch (what) {
    case question::set_name:
    case question::hello:
        if (why != errc::no_permission)
            return {why, std::string(text)};
        return on_status(); // works all the same
    case question::ping:
        return on_status(); // says no, and so lives
    case question::subscribe:
        asked_.pop_front();
        refuse(*about, why, text);
        return {};
    case question::auth:
    case question::unsubscribe: // whom the server does not let go, the end of the connection does
        break;
    }
    return {why, std::string(text)};
}

WEIR_DECL void subscription_table::refuse(entry& about, errc why, std::string_view text) {
    about.now = entry::state::refused;
    each_listener(about, [&](registration& each) {
        if (!std::exchange(each.refused, true))
            each.to->on_refused(why, text);
    });
}

} // namespace weir::redis::detail
