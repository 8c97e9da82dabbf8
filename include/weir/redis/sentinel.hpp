#pragma once

#include <weir/redis/connection_group.hpp>
#include <weir/redis/subscriber.hpp>

#include <vector>

namespace weir::redis::detail {

class sentinel_question;

/// The master of a group that Redis Sentinels watch: one connection to it, one to whichever sentinel answers, and one
/// on which that sentinel tells of failovers ("Guidelines for Redis clients with support for Redis Sentinel").
///
/// | what happens                                       | what follows                                             |
/// |----------------------------------------------------|----------------------------------------------------------|
/// | a sentinel names a master                          | connected to, and asked for its ROLE                     |
/// | it says "master"                                   | what waited is sent to it                                |
/// | it says anything else                              | a stale answer: the sentinels are asked again            |
/// | READONLY, MASTERDOWN                               | what was refused waits; the sentinels are asked          |
/// | the master cannot be reached, no sentinel answers, | what waits, and what comes, is refused at once until a   |
/// | none knows the name                                | master is found                                          |
/// | +switch-master, or a gap in which one may have been | the sentinel is asked; where it names another master,   |
/// |                                                    | the connection moves there                               |
/// | nothing                                            | it is asked all the same, each second, or where it tells |
/// |                                                    | of failovers every ten                                   |
///
/// Each answer comes with the other sentinels, which are asked where this one is away.
class sentinel final : public connection_group, private listener {
public:
    WEIR_DECL sentinel(asio::io_context& context, client_options options);
    WEIR_DECL ~sentinel() override;

    WEIR_DECL void start() override;
    WEIR_DECL void flush() override;
    bool is_open() const noexcept override { return confirmed_ && master_ && master_->is_open(); }
    WEIR_DECL std::optional<address> present_address() const override;
    WEIR_DECL client_statistics stats() const override;

private:
    friend class sentinel_question;
    enum class topic { master, others, role };

    std::shared_ptr<sentinel> self() { return std::static_pointer_cast<sentinel>(shared_from_this()); }

    WEIR_DECL void route(operation& what, clock::time_point now) override;
    WEIR_DECL void shut() override;

    WEIR_DECL void on_open(connection& which) override;
    WEIR_DECL void on_failed(connection& which) override;
    WEIR_DECL void on_redirect(connection& from, operation& what, errc why, std::string_view text) override;

    WEIR_DECL void on_message(message const& what) noexcept override;
    WEIR_DECL void on_gap() noexcept override;
    WEIR_DECL void on_refused(error_code why, std::string_view text) noexcept override;

    WEIR_DECL void ask_after(std::chrono::milliseconds pause);
    WEIR_DECL void ask();
    WEIR_DECL void ask_when_due();
    WEIR_DECL void put(connection& whom, topic about, command what);
    WEIR_DECL void next_sentinel(errc why, std::string text);
    WEIR_DECL void on_answer(sentinel_question const& answer);
    WEIR_DECL void on_others(sentinel_question const& answer);
    WEIR_DECL void on_role(sentinel_question const& answer);
    WEIR_DECL void follow(place where);
    WEIR_DECL void leave_master();
    WEIR_DECL void unreachable(errc why, std::string text);
    WEIR_DECL client_options options_for_sentinel() const;

    std::vector<place> const configured_;
    /// Those configured and those learned; whoever answers comes first.
    std::vector<place> sentinels_;
    /// Which of them is asked; how many in a row have not answered.
    std::size_t asked_ = 0, silent_ = 0;
    link watcher_;
    link master_;
    place master_at_;
    alarm ask_;
    std::unique_ptr<subscriber> news_;
    subscription switches_;
    /// Nothing of what the sentinel tells is missed.
    bool hears_ = false;
    bool asking_ = false;
    /// Another reason to ask came while the answer was on its way, which may be older than that reason.
    bool ask_again_ = false;
    /// The master has said that it is one, on the connection there is.
    bool confirmed_ = false;
};

} // namespace weir::redis::detail

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/sentinel.ipp>
#endif
