#pragma once

#include <weir/redis/connection.hpp>

#include <string>
#include <utility>
#include <vector>

namespace weir::redis::detail {

class sentinel_question;

/// The master of a group that Redis Sentinels watch: one connection to it, and one to whichever sentinel answers
/// ("Guidelines for Redis clients with support for Redis Sentinel"). What cannot be sent yet waits in the pipeline of
/// the base, which has no connection of its own.
///
/// | what happens                                       | what follows                                             |
/// |----------------------------------------------------|----------------------------------------------------------|
/// | a sentinel names a master                          | connected to, and asked for its ROLE                     |
/// | it says "master"                                   | what waited is sent to it                                |
/// | it says anything else                              | a stale answer: the sentinels are asked again            |
/// | READONLY, MASTERDOWN                               | what was refused waits; the sentinels are asked          |
/// | the master cannot be reached, no sentinel answers, | what waits, and what comes, is refused at once until a   |
/// | none knows the name                                | master is found                                          |
/// | a sentinel, asked each second, names another       | the connection moves there                               |
class sentinel final : public backend, private connection_owner {
public:
    WEIR_DECL sentinel(asio::io_context& context, client_options options);
    WEIR_DECL ~sentinel() override;

    WEIR_DECL void start() override;
    WEIR_DECL void close() override;
    WEIR_DECL void wait_open(operation& what) override;
    WEIR_DECL void cancel(operation& what) override;
    bool is_open() const noexcept override { return confirmed_ && master_ && master_->is_open(); }
    WEIR_DECL client_statistics stats() const override;

private:
    friend class sentinel_question;
    using place = std::pair<std::string, std::uint16_t>;

    WEIR_DECL void route(operation& what, clock::time_point now) override;
    WEIR_DECL void park(operation& what, clock::time_point now);

    WEIR_DECL void on_open(connection& which) override;
    WEIR_DECL void on_failed(connection& which) override;
    WEIR_DECL void on_redirect(connection& from, operation& what, errc why, std::string_view text) override;

    WEIR_DECL void ask_after(std::chrono::milliseconds pause);
    WEIR_DECL void ask();
    WEIR_DECL void next_sentinel(errc why, std::string text);
    WEIR_DECL void on_answer(sentinel_question const& answer);
    WEIR_DECL void on_role(sentinel_question const& answer);
    WEIR_DECL void follow(place where);
    WEIR_DECL void ask_role();
    WEIR_DECL void leave_master();
    WEIR_DECL void unreachable(errc why, std::string text);
    WEIR_DECL client_options options_for(place const& where, bool is_sentinel) const;

    std::vector<place> sentinels_;
    /// Which of them is asked; how many in a row have not answered.
    std::size_t asked_ = 0, silent_ = 0;
    std::shared_ptr<connection> watcher_;
    std::shared_ptr<connection> master_;
    place master_at_;
    timer ask_timer_;
    bool asking_ = false;
    /// The master has said that it is one, on the connection there is.
    bool confirmed_ = false;
    bool closed_ = false;
};

} // namespace weir::redis::detail

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/sentinel.ipp>
#endif
