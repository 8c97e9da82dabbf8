#pragma once

#include <weir/error.hpp>
#include <weir/redis/command.hpp>
#include <weir/redis/reply.hpp>

#include <boost/intrusive/list.hpp>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::redis {

/// One message of a channel. The texts, of any bytes, are valid during the call alone.
struct message {
    std::string_view channel, payload;
    /// The pattern by which it came; empty where the channel itself is listened to.
    std::string_view pattern;
};

/// What listens to a channel or pattern. All calls come on the subscriber's thread, in the order of the server, and
/// never from within `subscribe`; from within them anything may be subscribed, unsubscribed or closed.
class listener {
public:
    virtual void on_message(message const& what) noexcept = 0;
    /// From here on nothing is missed, until the next gap; what was published before may have been. Comes first of
    /// all, and again after each connection that was lost: read anew what the messages are about.
    virtual void on_gap() noexcept = 0;
    /// The server refuses the subscription, in its words (an ACL user without the right to the channel, for example).
    /// It is asked again every `reconnect_max`, and should it agree, `on_gap` tells; a further refusal is not told.
    virtual void on_refused(error_code /*why*/, std::string_view /*text*/) noexcept {}

protected:
    ~listener() = default;
};

namespace detail {

/// Who listens to what, and what is to be said to a server on a connection of pub/sub's own, without I/O and clock.
/// There is one command a name, and never a second before the first is answered, so that its memory is bounded by the
/// names listened to and by what fits into a connection.
/// Thread safety: unsafe.
class subscription_table {
public:
    enum class by : std::uint8_t { channel, pattern };

    struct entry;
    /// One listener's interest in one name.
    struct registration {
        /// Null once it is over.
        listener* to;
        entry* of;
        /// Has been told of the gap before what is now to come.
        bool complete = false;
        /// Has been told of the refusal.
        bool refused = false;
    };

    /// A name, and how far the server is with it.
    struct entry : boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
        enum class state : std::uint8_t { idle, asked, active, leaving, refused };

        entry(by kind, std::string_view text)
            : how(kind)
            , name(text) {}

        by how;
        std::string name;
        state now = state::idle;
        std::vector<std::shared_ptr<registration>> who;
        // In `untidy_`.
        bool untidy = false;
        bool wanted() const noexcept {
            return std::any_of(who.begin(), who.end(), [](auto const& each) { return each->to != nullptr; });
        }
    };

    WEIR_DECL subscription_table();
    subscription_table(subscription_table const&) = delete;
    subscription_table& operator=(subscription_table const&) = delete;
    WEIR_DECL ~subscription_table();

    /// `to` must live until the registration is removed.
    WEIR_DECL std::shared_ptr<registration> add(by how, std::string_view name, listener& to);
    WEIR_DECL void remove(registration& which);
    /// Ends all registrations.
    WEIR_DECL void clear();

    /// A handshake of `auth`, CLIENT SETNAME where `client_name` is not empty, and PING begins on a new connection.
    WEIR_DECL void connected(std::optional<command> auth, std::string_view client_name);
    WEIR_DECL void disconnected();
    /// Whether the handshake is answered.
    bool open() const noexcept { return connected_ && handshake_left_ == 0; }
    /// Whether the server owes a reply.
    bool outstanding() const noexcept { return !asked_.empty(); }
    WEIR_DECL void ping();
    /// Asks again what was refused.
    WEIR_DECL void retry_refused();

    /// Adds what is to be sent to `out`, until that holds `enough` bytes. Precondition: connected.
    WEIR_DECL void prepare(std::string& out, std::size_t enough);

    /// What ends the connection: in the handshake a refusal, later a reply that nobody asked for.
    struct verdict {
        errc why{};
        std::string text;
        explicit operator bool() const noexcept { return why != errc{}; }
    };
    /// Takes one reply, or what the server says unasked.
    WEIR_DECL verdict on_reply(flat_reply const& what);
    /// Takes an error reply.
    WEIR_DECL verdict on_error(std::string_view text);
    /// Tells those that joined a name that was subscribed already.
    WEIR_DECL void tell_newcomers();

    std::uint64_t messages() const noexcept { return messages_; }
    std::size_t names() const noexcept { return entries_.size(); }

private:
    enum class question : std::uint8_t { auth, set_name, hello, ping, subscribe, unsubscribe };
    struct asked {
        question what;
        entry* about = nullptr;
    };
    using key = std::pair<by, std::string>;
    using registrations = std::vector<std::shared_ptr<registration>>;
    struct before {
        using is_transparent = void;
        template <class A, class B>
        bool operator()(A const& a, B const& b) const noexcept {
            return a.first != b.first ? a.first < b.first : std::string_view(a.second) < std::string_view(b.second);
        }
    };

    WEIR_DECL entry* find(by how, std::string_view name);
    WEIR_DECL void say(std::string& out, entry& about);
    WEIR_DECL void settle(entry& about);
    WEIR_DECL void sweep();
    WEIR_DECL verdict on_status();
    WEIR_DECL bool deliver(flat_reply const& what, std::string_view word);
    WEIR_DECL bool confirm(flat_reply const& what, std::string_view word);
    WEIR_DECL void refuse(entry& about, errc why, std::string_view text);
    template <class Tell>
    void each_listener(entry& of, Tell&& tell);

    std::map<key, std::unique_ptr<entry>, before> entries_;
    // What differs from what the server was told last, in the order of the wishes.
    boost::intrusive::list<entry, boost::intrusive::constant_time_size<false>> wishes_;
    std::deque<asked> asked_;
    // To be written before any wish.
    std::string urgent_;
    registrations newcomers_;
    std::size_t handshake_left_ = 0;
    std::uint64_t messages_ = 0;
    // How many loops over listeners are under way: entries and registrations stay where they are meanwhile.
    int telling_ = 0;
    std::vector<entry*> untidy_;
    bool connected_ = false;
};

} // namespace detail
} // namespace weir::redis

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/subscription_table.ipp>
#endif
