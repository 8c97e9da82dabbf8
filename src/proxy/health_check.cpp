#include "proxy/health_check.hpp"

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <optional>
#include <tuple>

namespace weir::proxy {
namespace {

using timer =
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, executor>;

/// One target under watch.
class health_watch {
public:
    health_watch(worker_parts& parts, services_ptr of, std::size_t upstream, std::size_t target,
                 log_function const& log)
        : parts_(parts)
        , of_(std::move(of))
        , upstream_(*of_->upstreams[upstream])
        , how_(*upstream_.settings().health)
        , ill_(of_->whole->ill[upstream])
        , target_(target)
        , log_(log) {
        auto const& text = upstream_.settings().targets[target].text;
        request_ = "GET " + how_.path + " HTTP/1.1\r\nHost: " + text +
                   "\r\nUser-Agent: weir-health-check\r\nConnection: close\r\n\r\n";
    }

    awaitable<void> run(executor ex) {
        timer pause(ex);
        while (parts_.now == of_) {
            note(co_await ask());
            pause.expires_after(how_.interval);
            co_await pause.async_wait(use_result);
        }
    }

private:
    /// Whether it is well; nothing where the fault may be ours.
    awaitable<std::optional<bool>> ask() {
        upstream_handle connection;
        why_ = "it does not answer in time";
        auto const failed = co_await upstream_.pool.connect(target_, connection);
        if (failed == connect_failure::own_side || failed == connect_failure::cancelled)
            co_return std::nullopt;
        if (failed != connect_failure::none) {
            why_ = failed == connect_failure::unresolved ? "its name cannot be resolved" : "it cannot be reached";
            if (failed == connect_failure::tls)
                why_ = "TLS with it failed: " + upstream_.pool.tls_failure();
            co_return false;
        }
        of_->wheel.expires_after(*connection, how_.timeout);
        gather_list out;
        out.add(request_);
        if (co_await write(connection->socket, connection->tls.get(), out))
            co_return false;
        co_return co_await read_answer(*connection);
    }

    awaitable<bool> read_answer(upstream_connection& connection) {
        std::string head(8192, '\0');
        std::size_t size = 0;
        http::response_head answer;
        while (size < head.size()) {
            asio::mutable_buffer const room(head.data() + size, head.size() - size);
            std::size_t n = 0;
            auto const ec = co_await read(connection.socket, connection.tls.get(), room, n);
            size += n;
            if (ec)
                break;
            auto const parsed = http::parse_response_head(std::string_view(head).substr(0, size), of_->head_limits(),
                                                          boost::beast::http::verb::get, answer);
            if (parsed.state == http::parse_state::refused) {
                why_ = "its answer is no HTTP";
                break;
            }
            if (parsed.state != http::parse_state::complete)
                continue;
            why_ = "it answered " + std::to_string(answer.status);
            co_return answer.status >= 200 && answer.status < 400;
        }
        co_return false;
    }

    void note(std::optional<bool> well) {
        auto const mark = target_set{1} << target_;
        bool const was_ill = (ill_.load(std::memory_order_relaxed) & mark) != 0;
        if (!well || *well != was_ill) {
            in_a_row_ = well ? 0 : in_a_row_;
            return;
        }
        if (++in_a_row_ < (was_ill ? how_.healthy_after : how_.unhealthy_after))
            return;
        in_a_row_ = 0;
        ill_.fetch_xor(mark, std::memory_order_relaxed);
        upstream_.counts.ill.add(was_ill ? -1 : 1);
        auto const& name = upstream_.settings().targets[target_].text;
        log_(was_ill ? log_level::info : log_level::warning,
             "upstream " + upstream_.settings().name + ": " + name +
                 (was_ill ? " is well again" : " is ill: " + why_ + " at " + how_.path));
    }

    worker_parts& parts_;
    services_ptr of_;
    upstream& upstream_;
    config::health_settings const& how_;
    std::atomic<target_set>& ill_;
    std::size_t target_;
    log_function const& log_;
    std::string request_;
    std::string why_;
    unsigned in_a_row_ = 0;
};

awaitable<void> watch(std::unique_ptr<health_watch> one, executor ex) { co_await one->run(ex); }

} // namespace

void start_health_checks(asio::io_context& io, worker_parts& parts, services_ptr const& of, log_function const& log) {
    for (std::size_t u = 0; u < of->upstreams.size(); ++u) {
        auto const& settings = of->upstreams[u]->settings();
        for (std::size_t t = 0; settings.health && t < settings.targets.size(); ++t)
            asio::co_spawn(io, watch(std::make_unique<health_watch>(parts, of, u, t, log), io.get_executor()),
                           asio::detached);
    }
}

} // namespace weir::proxy
