#pragma once

#include "proxy/log.hpp"

#include <weir/metrics/blocks.hpp>
#include <weir/redis/client.hpp>

#include <string>
#include <vector>

namespace weir::proxy {

/// Counts what a worker's Redis client does, and says when it loses or finds its server.
class redis_metrics final : public redis::client_observer {
public:
    /// `scripts` gives the numbers of `redis_block::scripts`. The block and the log must outlive the object.
    redis_metrics(metrics::redis_block& counts, std::vector<redis::script const*> scripts, log_function const& log)
        : counts_(counts)
        , scripts_(std::move(scripts))
        , log_(log) {}

    void on_connected() override {
        counts_.up.set(1);
        if (connected_before_)
            counts_.reconnects.increment();
        if (told_lost_)
            log_(log_level::info, "Redis is back");
        connected_before_ = true;
        told_lost_ = false;
    }

    void on_disconnected(error_code why, std::string_view text) override { lost(why, text); }

    void on_connect_failed(error_code why, std::string_view text, std::chrono::milliseconds /*next*/) override {
        lost(why, text);
    }

    void on_reply(redis::script const* code, std::chrono::nanoseconds elapsed) override {
        auto& counts = counts_.scripts[number_of(code)];
        counts.commands.increment();
        counts.duration.observe(elapsed);
    }

    void on_error(errc code, std::string_view /*server_text*/) override { counts_.errors[code].increment(); }

    void update(redis::client_statistics const& now) noexcept {
        counts_.in_flight.set(static_cast<std::int64_t>(now.in_flight + now.queued));
    }

private:
    std::size_t number_of(redis::script const* code) const noexcept {
        std::size_t i = 0;
        while (i < scripts_.size() && scripts_[i] != code)
            ++i;
        return i;
    }

    void lost(error_code why, std::string_view text) {
        counts_.up.set(0);
        if (!told_lost_ || why != last_)
            log_(log_level::error, "Redis is away: " + std::string(text.empty() ? why.message() : text));
        told_lost_ = true;
        last_ = why;
    }

    metrics::redis_block& counts_;
    std::vector<redis::script const*> scripts_;
    log_function const& log_;
    error_code last_;
    bool connected_before_ = false;
    bool told_lost_ = false;
};

} // namespace weir::proxy
